"""ONNX Runtime: models as exported graphs, and users' own ONNX files.

Letters: C candidates, S score inputs.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.load import load_graph
from recfunnel.core.errors import MissingExtraError, ModelError, StudyError
from recfunnel.core.features import Features
from recfunnel.core.graph import GRAPH_FILE
from recfunnel.core.spec import Spec
from recfunnel.runtime.base import RuntimeSpec, runtimes
from recfunnel.runtime.export_onnx import OnnxExport, with_external_tables
from recfunnel.runtime.exported import NO_GRAPH, exported_model
from recfunnel.runtime.feeds import SCORES
from recfunnel.runtime.one_query import OneQueryModel

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@runtimes.register
class OnnxRuntime(Spec, RuntimeSpec, frozen=True, tag="onnx"):
    """ONNX Runtime in float32.

    Args:
        device: `cpu` or `cuda`; the latter needs the package onnxruntime-gpu.
        cache_items: compute the item part of the whole catalogue once, when loading; false computes
            it for the candidates of every query, as for features that come with the request.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    cache_items: bool = True

    def refusal(self, folder: Path) -> str:
        """Without the library, or for a model without a graph."""
        for library in ("onnx", "onnxruntime"):
            if importlib.util.find_spec(library) is None:
                return str(MissingExtraError(library, "onnx"))
        return "" if (folder / GRAPH_FILE).exists() else NO_GRAPH

    def load(self, folder: Path, items: Features, *, num_threads: int = 1) -> OneQueryModel:
        """Export a finished model's graph and make it ready.

        Raises:
            StorageError: the folder is missing, damaged or of another version.
            MissingExtraError: ONNX Runtime is not installed.
            ModelError: the model has no graph.
            StudyError: there is no such device.
        """
        stored = load_graph(folder)

        def build(export: OnnxExport) -> "Session":
            tables = export.tables
            file = with_external_tables(export).SerializeToString()
            return Session(stored.name, self, num_threads, file, tables)

        return exported_model(stored, items, build, cache_items=self.cache_items)


class Session:
    """A loaded ONNX model.

    Args:
        name: of the model, for errors.
        spec: device.
        num_threads: cores a call may use.
        file: the model, serialised or as the path of a file.
        tables: constants that lie outside the file, by name.
    """

    def __init__(
        self,
        name: str,
        spec: OnnxRuntime,
        num_threads: int,
        file: bytes | str,
        tables: Mapping[str, NDArray[Any]],
    ) -> None:
        onnxruntime = import_onnxruntime()
        self._name = name
        provider = PROVIDERS[spec.device]
        if provider not in onnxruntime.get_available_providers():
            raise StudyError(
                f"ONNX Runtime has no device {spec.device!r} here; install onnxruntime-gpu, or use "
                "device = 'cpu'"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
        options.log_severity_level = 3
        if tables:
            from_numpy = onnxruntime.OrtValue.ortvalue_from_numpy  # shares the memory
            self._kept = [from_numpy(table) for table in tables.values()]
            options.add_external_initializers(list(tables), self._kept)
        self.session = onnxruntime.InferenceSession(file, options, providers=[provider])

    def __call__(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Scores (C,)."""
        try:
            scores: NDArray[np.float32] = self.session.run([SCORES], feeds)[0]
        except Exception as error:  # the library's own errors have no common base
            raise ModelError(f"{self._name!r} failed in ONNX Runtime: {error}") from error
        return scores


def import_onnxruntime() -> Any:
    """The library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "onnx") from error
    return onnxruntime
