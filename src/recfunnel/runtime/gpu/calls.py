"""Calls of one shape: their message, the work on it and its answer, in memory that stays.

On a GPU the work is recorded as a CUDA graph the first time, so that a call is one transfer in, one
launch, one transfer out and one wait.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Literal
from warnings import warn

import torch
from torch import Tensor

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.runtime.gpu.head import triton_is_installed
from recfunnel.runtime.gpu.message import CallShape, Message
from recfunnel.runtime.gpu.resident import Resident

Kernels = Literal["auto", "torch", "triton"]

RUNS_BEFORE_RECORDING = 2
"""Libraries choose their kernels and take their memory in the first runs."""

REPLAYS_TIMED = 30

AGREEMENT = 1e-2
"""Largest difference between kernels, relative to the largest score; a wrong one is far off."""


class Device:
    """Where calls run, and in what order: a stream of its own on a GPU, nothing on a CPU.

    Args:
        name: torch's name of it.
        records: whether calls are recorded as CUDA graphs.
        kernels: torch's, ours, or `auto`: whichever a recorded call is faster with.
    """

    def __init__(self, name: str, *, records: bool, kernels: Kernels = "torch") -> None:
        self.name, self.is_gpu, self.kernels = name, name != "cpu", kernels
        self.records = records and self.is_gpu
        self.stream: torch.cuda.Stream | None = None
        if self.is_gpu:
            self.stream = torch.cuda.Stream(torch.device(name))  # type: ignore[no-untyped-call]
        # Graphs share their memory: only one runs at a time, and its answer is copied at once.
        self.pool = torch.cuda.graph_pool_handle() if self.records else None

    def in_order(self) -> AbstractContextManager[object]:
        """What is started inside runs in the order of the device's stream."""
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)

    def wait(self) -> None:
        """Until all that was started is done."""
        if self.stream is not None:
            self.stream.synchronize()


class PreparedCall:
    """Calls of one shape.

    Args:
        resident: the model.
        shape: of the calls.
        device: where they run.
        records: whether to record a CUDA graph; false for shapes that come once.
    """

    def __init__(
        self, resident: Resident, shape: CallShape, device: Device, *, records: bool = True
    ) -> None:
        self._resident, self._shape, self._device = resident, shape, device
        with device.in_order():
            self.message = Message(resident.reads.parts(shape), device.name)
        self._recorded: Recording | None = None
        size = shape.num_queries, shape.num_columns
        self._answer = torch.empty(size, dtype=torch.float32, pin_memory=device.is_gpu)
        can_fuse = resident.head is not None and shape.num_queries == 1
        self._fused = can_fuse and device.kernels == "triton"
        if records and device.records:
            self._recorded = self._record_best(can_fuse=can_fuse)

    def scores(self) -> FloatArray:
        """Scores of the message as it is filled now, (Q, B); overwritten by the next call."""
        with self._device.in_order():
            self._answer.copy_(self._run(), non_blocking=True)
            self._device.wait()
        array: FloatArray = self._answer.numpy()
        return array

    def top_k(self, num_columns: int, k: int) -> tuple[IntArray, FloatArray]:
        """The best of one query's first columns, chosen on the device.

        Args:
            num_columns: without those that fill up the bucket.
            k: how many.

        Returns:
            int64 positions and float32 scores, best first, among equals the lower position first.
        """
        with self._device.in_order():
            scores = self._run()[0, :num_columns]
            # Sorting is stable; a partial selection may take any of several equals.
            best, positions = torch.sort(scores, descending=True, stable=True)
            return positions[:k].cpu().numpy(), best[:k].cpu().numpy()

    def _run(self) -> Tensor:
        self.message.send()
        if self._recorded is None:
            with torch.inference_mode():
                return self._resident.scores(self.message, self._shape, fused=self._fused)
        self._recorded.graph.replay()
        return self._recorded.scores

    def _record_best(self, *, can_fuse: bool) -> "Recording":
        """The work recorded, with our kernel at its end where that is wanted or faster."""
        self.message.rehearse(self._resident.num_items)
        if self._device.kernels != "auto" or not can_fuse or not triton_is_installed():
            return self._record(fused=self._fused)
        plain = self._record(fused=False)
        try:
            fused = self._record(fused=True)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # Triton's errors, and a missing compiler's, have no common base
            warn(f"no Triton kernel for {self._shape}: {error}", RuntimeWarning, stacklevel=2)
            return plain
        if not self._agree(plain, fused):
            warn(f"the Triton kernel is wrong for {self._shape}", RuntimeWarning, stacklevel=2)
            return plain
        return min(plain, fused, key=self._replay_s)

    def _record(self, *, fused: bool) -> "Recording":
        def work() -> Tensor:
            return self._resident.scores(self.message, self._shape, fused=fused)

        with self._device.in_order(), torch.inference_mode():
            self.message.send()
            for _ in range(RUNS_BEFORE_RECORDING):
                work()
            self._device.wait()
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile.
            recording = torch.cuda.graph(
                graph,
                pool=self._device.pool,
                stream=self._device.stream,
                capture_error_mode="thread_local",
            )
            with recording:
                scores = work()
        return Recording(graph, scores)

    def _agree(self, one: "Recording", other: "Recording") -> bool:
        with self._device.in_order():
            one.graph.replay()
            expected = one.scores.clone()
            other.graph.replay()
            limit = AGREEMENT * expected.abs().max()
            return bool((other.scores - expected).abs().max() <= limit)

    def _replay_s(self, recording: "Recording") -> float:
        """Seconds of one replay."""
        with self._device.in_order():
            began = perf_counter()
            for _ in range(REPLAYS_TIMED):
                recording.graph.replay()
            self._device.wait()
        return (perf_counter() - began) / REPLAYS_TIMED


@dataclass(frozen=True, eq=False, slots=True)
class Recording:
    """Work recorded once and replayed at will.

    Args:
        graph: the work.
        scores: where it leaves them.
    """

    graph: torch.cuda.CUDAGraph
    scores: Tensor
