"""Users' own torch files as models: TorchScript, and what `torch.export` saves."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recfunnel.core.errors import ModelError, StorageError, StudyError
from recfunnel.core.features import FeatureSchema
from recfunnel.core.own_checks import FileInput
from recfunnel.core.own_inputs import FileInputs
from recfunnel.models.base import models
from recfunnel.models.own_file import FileNetwork, OwnFile


@models.register
class TorchScriptFile(OwnFile, frozen=True, tag="torchscript"):
    """What `torch.jit.save` wrote; it runs on `torch`, on a CPU.

    The file names its inputs but says nothing of their types and shapes: ids are given as int64 and
    numbers as float32.
    """

    @property
    def stored_name(self) -> str:
        """`model.pt`."""
        return "model.pt"

    def opened(self, file: Path, schema: FeatureSchema, num_score_inputs: int) -> FileNetwork:
        """The file in torch."""
        _check_there(self.file, file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch would rather have exports
            try:
                module: Any = torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
            except (RuntimeError, ValueError, OSError) as error:
                raise _damaged(self.file, file, error) from error
        names = [argument.name for argument in module.forward.schema.arguments[1:]]
        wanted = [FileInput(name) for name in names]
        inputs = FileInputs(self.file, self.call(), wanted, schema, num_score_inputs)
        run = _TorchRun(self.file, module, names, _place(self.file, self.output, ()))
        return FileNetwork(self.file, self.call(), inputs, run)


@models.register
class ExportedFile(OwnFile, frozen=True, tag="exported"):
    """What `torch.export.save` wrote, with a free number of candidates; it runs on `torch`."""

    @property
    def stored_name(self) -> str:
        """`model.pt2`."""
        return "model.pt2"

    def opened(self, file: Path, schema: FeatureSchema, num_score_inputs: int) -> FileNetwork:
        """The file in torch."""
        _check_there(self.file, file)
        try:
            program = torch.export.load(str(file))
        except Exception as error:  # zip, JSON, pickle and torch errors have no common base
            raise _damaged(self.file, file, error) from error
        names = list(program.graph_signature.user_inputs)
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        wanted = [_described(str(name), values.get(str(name))) for name in names]
        inputs = FileInputs(self.file, self.call(), wanted, schema, num_score_inputs)
        outputs = tuple(str(name) for name in program.graph_signature.user_outputs)
        place = _place(self.file, self.output, outputs)
        run = _TorchRun(self.file, program.module(), [str(name) for name in names], place)
        # an export with a free size takes no single row
        return FileNetwork(self.file, self.call(), inputs, run, fewest=2)


class _TorchRun:
    """A loaded torch file, called with arrays in the order of its arguments."""

    def __init__(self, name: str, module: Callable[..., Any], order: list[str], place: int) -> None:
        self._name, self._module, self._order, self._place = name, module, order, place

    def __call__(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        tensors = [torch.from_numpy(arrays[name]) for name in self._order]
        try:
            with torch.inference_mode():
                output = self._module(*tensors)
        except Exception as error:  # a user's code raises whatever it likes
            raise ModelError(f"{self._name!r} failed: {type(error).__name__}: {error}") from error
        found = output[self._place] if isinstance(output, tuple | list) else output
        if not isinstance(found, Tensor):
            raise ModelError(
                f"{self._name!r} returned a {type(found).__name__}, expected a tensor of scores"
            )
        return np.asarray(found.detach().float().cpu().numpy())


def _place(name: str, output: str, outputs: tuple[str, ...]) -> int:
    """Which of several outputs: by name where the file has names, else by number; the first."""
    if not output:
        return 0
    if output in outputs:
        return outputs.index(output)
    if output.isdigit() and (not outputs or int(output) < len(outputs)):
        return int(output)
    known = ", ".join(outputs) or "numbers from 0"
    raise StudyError(f"the file of {name!r} has no output {output!r}; it has: {known}")


def _described(name: str, value: object) -> FileInput:
    if not isinstance(value, Tensor):
        return FileInput(name, "no tensor", ())
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return FileInput(name, str(value.dtype).removeprefix("torch."), shape)


def _check_there(name: str, file: Path) -> None:
    if not file.is_file():
        raise StorageError(f"{file}, the file of {name!r}, does not exist")


def _damaged(name: str, file: Path, error: Exception) -> StorageError:
    first = (str(error).strip().splitlines() or [""])[0][:200]
    return StorageError(
        f"{file}, the file of {name!r}, is damaged or of another kind "
        f"({type(error).__name__}: {first})"
    )
