"""Compiling what a network does with each pair, ahead of time, into one file.

Letters: I items, C candidates, S score inputs.
"""

import fcntl
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recfunnel.core.errors import ModelError, StudyError
from recfunnel.core.storage import content_hash, replacing_file
from recfunnel.models.base import RankingModel

Package = Any
"""The loaded file: called as `Pairs` is."""


class Pairs(nn.Module):
    """What is compiled: gathers the candidates' states and scores one query.

    Args:
        model: whose `interact` it is.
        num_context: tensors of the context's state.
        num_items: tensors of the items' state.
        bf16: whether layers run in bfloat16.
    """

    def __init__(
        self, model: RankingModel, num_context: int, num_items: int, *, bf16: bool
    ) -> None:
        super().__init__()
        self.model, self.bf16 = model, bf16
        self.num_context, self.num_items = num_context, num_items

    def forward(self, columns: Tensor, *tensors: Tensor) -> Tensor:
        """Scores (C,).

        Args:
            columns: int64 (C,), rows of the items' state.
            tensors: the context's state (1, ...), the items' (I, ...), and given scores (1, C, S)
                where the network reads any.
        """
        split = self.num_context + self.num_items
        items = [state.index_select(0, columns) for state in tensors[self.num_context : split]]
        states = tuple(state.unsqueeze(0) for state in items)
        given = tensors[split] if len(tensors) > split else None
        device = columns.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.bf16):
            scores = self.model.interact(tensors[: self.num_context], states, given)
        return scores.float().reshape(-1)


def package_file(folder: Path, what: object, num_threads: int) -> Path:
    """Where a model's compiled file is kept.

    Args:
        folder: of the model; replaced whole when the model is trained again.
        what: the runtime's spec.
        num_threads: is written into the code.

    Returns:
        A name that differs by all that the file depends on.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    digest = content_hash([str(torch.__version__), capability, num_threads, what])
    return folder / f"aot-{digest}.pt2"


def compiler() -> str:
    """The C++ compiler that would be called; empty where there is none."""
    return shutil.which(os.environ.get("CXX", "g++")) or ""


NO_COMPILER = (
    "AOTInductor needs a C++ compiler and found none; install g++ or set CXX, or use the runtime "
    "'torch' or 'native'"
)


def load_package(file: Path) -> Package:
    """A compiled file, ready to call.

    Raises:
        ModelError: torch cannot load it.
    """
    from torch._inductor import aoti_load_package

    try:
        return aoti_load_package(str(file))
    except RuntimeError as error:
        raise ModelError(f"{file} cannot be loaded: {error}; delete it") from error


def compile_package(name: str, pairs: Pairs, example: Sequence[Tensor], file: Path) -> None:
    """Compile, unless another process just has.

    Args:
        name: of the model, for errors.
        pairs: what to compile.
        example: a call's arguments; C and I become free, every other size stays.
        file: where to.

    Raises:
        StudyError: there is no compiler.
        ModelError: torch cannot compile the network.
        StorageError: no space, no permission.
    """
    if not compiler():
        raise StudyError(NO_COMPILER)
    with _alone(file), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.13 warns of its own parts
        if file.exists():
            return
        with replacing_file(file) as temporary:
            made = temporary.with_suffix(".pt2")  # the only name torch writes to
            try:
                sizes = _sizes(pairs, example)
                exported = torch.export.export(pairs, tuple(example), dynamic_shapes=sizes)
                torch._inductor.aoti_compile_and_package(exported, package_path=str(made))
                made.rename(temporary)
            except OSError:
                raise  # said in words by whoever writes files
            except Exception as error:  # torch's compilers raise whatever they like
                raise ModelError(
                    f"{name!r} cannot be compiled by AOTInductor: {type(error).__name__}: {error}; "
                    "use the runtime 'torch'"
                ) from error
            finally:
                made.unlink(missing_ok=True)


def _sizes(pairs: Pairs, example: Sequence[Tensor]) -> dict[str, Any]:
    """Which sizes are free: candidates and items."""
    candidates, items = torch.export.Dim("C", min=2), torch.export.Dim("I", min=2)
    split = pairs.num_context + pairs.num_items
    rest: list[dict[int, Any] | None] = []
    for position in range(len(example) - 1):
        if position < pairs.num_context:
            rest.append(None)
        else:
            rest.append({0: items} if position < split else {1: candidates})
    return {"columns": {0: candidates}, "tensors": tuple(rest)}


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold other processes off while one compiles."""
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
