"""CUDA graphs in miniature: torch's operations are recorded as they run, and run again at will.

As on a GPU, what Python does between them is not recorded, and neither is waiting for a value.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("_local_scalar_dense", "nonzero", "is_pinned", "equal")


class Recorder(TorchDispatchMode):
    """Runs operations and keeps them."""

    def __init__(self, steps: list[tuple[Any, tuple, dict, Any]]) -> None:
        super().__init__()
        self.steps = steps

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        assert not any(name in str(func) for name in WAITS), f"{func} waits for the device"
        result = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, result))
        return result


class RecordedGraph:
    """In place of `torch.cuda.CUDAGraph`."""

    num_made = num_replays = 0

    def __init__(self) -> None:
        self.steps: list[tuple[Any, tuple, dict, Any]] = []
        RecordedGraph.num_made += 1

    @torch.inference_mode()
    def replay(self) -> None:
        RecordedGraph.num_replays += 1
        for func, args, kwargs, result in self.steps:
            again = func(*args, **kwargs)
            for kept, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(kept, torch.Tensor) and kept.data_ptr() != new.data_ptr():
                    kept.copy_(new)


@contextmanager
def recording(graph: RecordedGraph, **_: Any) -> Iterator[None]:
    """In place of `torch.cuda.graph`."""
    with Recorder(graph.steps):
        yield


def record_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have torch record in this way; memory cannot be pinned without a GPU."""
    zeros = torch.zeros

    def unpinned(*size: Any, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        del pin_memory
        return zeros(*size, **options)

    monkeypatch.setattr(torch, "zeros", unpinned)
    RecordedGraph.num_made = RecordedGraph.num_replays = 0
    monkeypatch.setattr(torch.cuda, "CUDAGraph", RecordedGraph)
    monkeypatch.setattr(torch.cuda, "graph", recording)
