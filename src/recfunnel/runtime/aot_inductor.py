"""AOTInductor: what a network does with each pair, compiled by torch into a file.

The context's side runs in eager torch, the items' once for the whole catalogue.

Letters: I items, C candidates, S score inputs.
"""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import MissingExtraError, ModelError
from recfunnel.core.features import Features
from recfunnel.core.graph import GRAPH_FILE, RankingGraph, RowSum
from recfunnel.core.spec import Spec
from recfunnel.core.storage import MANIFEST, read_json
from recfunnel.runtime.base import RuntimeSpec, runtimes
from recfunnel.runtime.feeds import SideCheck
from recfunnel.runtime.one_query import OneQueryModel, Rows
from recfunnel.runtime.torch_device import check_torch

if TYPE_CHECKING:  # torch is optional: nothing here is imported until a model is loaded
    from torch import Tensor

    from recfunnel.models.base import RankingModel
    from recfunnel.models.checkpoint import Checkpoint
    from recfunnel.runtime.aot_package import Package

ITEMS_AT_ONCE = 1 << 16

OWN_KINDS = ("module", "onnx", "torchscript", "exported")

SIDES_UNKNOWN = (
    "it is no network of a built-in kind, so what belongs to the context and what to the items is "
    "not known; use the runtime 'torch'"
)

LOOKUPS_ALONE = (
    "its work is a sum of table rows, as many as the context's list is long: there is nothing to "
    "compile; use the runtime 'torch'"
)


@runtimes.register
class AOTInductor(Spec, RuntimeSpec, frozen=True, tag="aot_inductor"):
    """torch, compiled ahead of time; the first load takes a compiler and some ten seconds.

    The compiled file is kept in the model's folder, one for each torch version, instruction set,
    number of threads and spec.

    Args:
        device: torch device, such as `cpu` or `cuda`.
        precision: of the layers; only `fp32` is exact.
        cache_items: compute the item part of the whole catalogue once, when loading; false computes
            it for the candidates of every query, as for features that come with the request.
    """

    device: str = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    cache_items: bool = True

    @property
    def exact(self) -> bool:
        """In float32."""
        return self.precision == "fp32"

    def refusal(self, folder: Path) -> str:
        """Without torch or a compiler, for a user's own model, or for a sum of table rows."""
        if importlib.util.find_spec("torch") is None:
            return str(MissingExtraError("torch", "train"))
        from recfunnel.runtime.aot_package import NO_COMPILER, compiler

        if not compiler():
            return NO_COMPILER
        if read_json(folder / MANIFEST, dict[str, Any]).get("spec", {}).get("kind") in OWN_KINDS:
            return SIDES_UNKNOWN
        if not (folder / GRAPH_FILE).exists():
            return ""
        graph = read_json(folder / GRAPH_FILE, RankingGraph)
        return LOOKUPS_ALONE if any(isinstance(op, RowSum) for op in graph.nodes) else ""

    def load(self, folder: Path, items: Features, *, num_threads: int = 1) -> OneQueryModel:
        """Read a finished model, and compile it where no compiled file is kept.

        Raises:
            StorageError: the folder is missing, damaged or of another version.
            MissingExtraError: torch is not installed.
            StudyError: there is no such device, or no compiler.
            ModelError: the network cannot be compiled.
        """
        check_torch(self.device)
        from recfunnel.models.base import RankingModel
        from recfunnel.models.checkpoint import load_checkpoint

        checkpoint = load_checkpoint(folder)
        if not isinstance(checkpoint.module, RankingModel):
            raise ModelError(f"{checkpoint.name!r} cannot be compiled: {SIDES_UNKNOWN}")
        call = _Call(checkpoint, checkpoint.module, folder, items, self, num_threads)
        return OneQueryModel(checkpoint.name, checkpoint.score_inputs, len(items), call)


class _Call:
    """Encodes a call's context, and runs the compiled file."""

    def __init__(
        self,
        checkpoint: "Checkpoint",
        module: "RankingModel",
        folder: Path,
        items: Features,
        spec: AOTInductor,
        num_threads: int,
    ) -> None:
        import torch

        self._torch, self._num_threads, self._device = torch, num_threads, spec.device
        self._module = module.to(spec.device).requires_grad_(requires_grad=False)
        self._items, self._known = items, SideCheck(checkpoint.schema, "context")
        self._use_threads()
        self._states = self._encode(np.arange(len(items))) if spec.cache_items else None
        self._run = self._loaded(checkpoint, folder, spec)

    def __call__(self, context: Features, rows: Rows, given: FloatArray | None) -> FloatArray:
        from recfunnel.models.base import as_tensor, to_tensors

        self._known.check(context)
        self._use_threads()
        torch = self._torch
        picks = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        num_rows = picks.size
        if num_rows == 1:  # compiled for two and more
            picks = np.repeat(picks, 2)
            given = None if given is None else np.repeat(given, 2, axis=0)
        with torch.inference_mode():
            if self._states is None:
                states, columns = self._encode(picks), torch.arange(picks.size)
            else:
                states, columns = self._states, as_tensor(picks)
            user = self._module.encode_context(to_tensors(context, self._device))
            extra = [] if given is None else [as_tensor(given, self._device).unsqueeze(0)]
            scores = self._run(columns.to(self._device), *user, *states, *extra)
            array: FloatArray = scores.cpu().numpy()
        return array[:num_rows]

    def _use_threads(self) -> None:
        """Make torch use this model's number of cores; the setting belongs to the whole process."""
        if self._torch.get_num_threads() != self._num_threads:
            self._torch.set_num_threads(self._num_threads)

    def _encode(self, rows: IntArray) -> "tuple[Tensor, ...]":
        """Item states (I, ...) of some rows, two at least, made in steps that bound memory."""
        from recfunnel.models.base import to_tensors

        rows = np.repeat(rows, 2) if rows.size == 1 else rows
        parts = []
        with self._torch.inference_mode():
            for start in range(0, max(1, rows.size), ITEMS_AT_ONCE):
                some = self._items.take(rows[start : start + ITEMS_AT_ONCE])
                parts.append(self._module.encode_items(to_tensors(some, self._device)))
            return tuple(self._torch.cat(states) for states in zip(*parts, strict=True))

    def _loaded(self, checkpoint: "Checkpoint", folder: Path, spec: AOTInductor) -> "Package":
        """The compiled file, made where there is none."""
        from recfunnel.models.base import to_tensors
        from recfunnel.runtime.aot_package import Pairs, compile_package, load_package, package_file

        file = package_file(folder, spec, self._num_threads)
        if not file.exists():
            torch, device = self._torch, spec.device
            states = self._encode(np.arange(2)) if self._states is None else self._states
            with torch.inference_mode():
                user = self._module.encode_context(
                    to_tensors(Features.unknown(checkpoint.schema, "context", 1), device)
                )
            pairs = Pairs(self._module, len(user), len(states), bf16=spec.precision == "bf16")
            num_inputs = len(checkpoint.score_inputs)
            example = [torch.arange(2, device=device)]
            # a copy made here can be exported, what inference mode made cannot
            example += [state.clone() for state in user]
            example += [state[:3].clone() for state in states]
            example += [torch.zeros(1, 2, num_inputs, device=device)] if num_inputs else []
            compile_package(checkpoint.name, pairs, example, file)
        return load_package(file)
