"""A user's own ONNX file as a model."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from recfunnel.core.features import FeatureSchema
from recfunnel.core.onnx_session import OnnxSession, onnx_inputs, outside_files
from recfunnel.core.own_file import STORED_ONNX
from recfunnel.core.own_inputs import FileInputs
from recfunnel.models.base import models
from recfunnel.models.own_file import FileNetwork, OwnFile


@models.register
class OnnxFile(OwnFile, frozen=True, tag="onnx"):
    """Any ONNX model; tables it keeps outside the file lie beside it.

    It runs on ONNX Runtime and OpenVINO without torch, and on `torch` through ONNX Runtime on a
    CPU.
    """

    @property
    def stored_name(self) -> str:
        """`model.onnx`."""
        return STORED_ONNX

    def opened(self, file: Path, schema: FeatureSchema, num_score_inputs: int) -> FileNetwork:
        """The file in ONNX Runtime."""
        name, call = self.file, self.call()
        wanted = onnx_inputs(name, file, self.output)
        inputs = FileInputs(name, call, wanted, schema, num_score_inputs)
        return FileNetwork(name, call, inputs, _OnThreads(name, file, self.output))

    def store(self, folder: Path) -> None:
        """Copy the file and the tables beside it."""
        shutil.copyfile(self.source, folder / self.stored_name)
        for name in outside_files(self.source):
            shutil.copyfile(self.source.parent / name, folder / name)


class _OnThreads:
    """A session with as many threads as torch has."""

    def __init__(self, name: str, file: Path, output: str) -> None:
        self._name, self._file, self._output = name, file, output
        self._num_threads = 0
        self._session: OnnxSession | None = None

    def __call__(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        num_threads = torch.get_num_threads()
        if self._session is None or num_threads != self._num_threads:
            self._session = OnnxSession(self._name, self._file, num_threads=num_threads)
            self._num_threads = num_threads
        return self._session(arrays, self._output)
