"""ONNX Runtime: models as exported graphs, and users' own ONNX files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from recfunnel.compile.load import load_graph
from recfunnel.compile.passes import CompileOptions
from recfunnel.core.arrays import FloatArray
from recfunnel.core.features import Features
from recfunnel.core.onnx_session import OnnxSession, import_onnxruntime
from recfunnel.core.spec import Spec
from recfunnel.runtime.base import RuntimeSpec, runtimes
from recfunnel.runtime.export_onnx import OnnxExport
from recfunnel.runtime.exported import Run, exported_model, refusal_of_export
from recfunnel.runtime.feeds import SCORES
from recfunnel.runtime.one_query import OneQueryModel
from recfunnel.runtime.own_file import Run as OwnRun
from recfunnel.runtime.own_file import StoredFile, own_model, stored_file


@runtimes.register
class OnnxRuntime(Spec, RuntimeSpec, frozen=True, tag="onnx"):
    """ONNX Runtime in float32.

    Args:
        device: `cpu` or `cuda`; the latter needs the package onnxruntime-gpu.
        cache_items: compute the item part of the whole catalogue once, when loading; false computes
            it for the candidates of every query, as for features that come with the request. A
            user's own file is always called whole.
        without: passes to leave out when compiling a model, see `recfunnel.compile.passes`.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    cache_items: bool = True
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        CompileOptions(without=self.without)  # refuses a pass that is not known

    def refusal(self, folder: Path) -> str:
        """Without the library, or for a model without a graph that is no ONNX file."""
        return refusal_of_export(folder, "onnxruntime", "onnx")

    def load(self, folder: Path, items: Features, *, num_threads: int = 1) -> OneQueryModel:
        """Make a finished model ready: its graph exported, or the user's file.

        Raises:
            StorageError: the folder is missing, damaged or of another version.
            MissingExtraError: ONNX Runtime is not installed.
            ModelError: the model has no graph and is no ONNX file.
            StudyError: there is no such device, or a file's inputs do not fit the features.
        """
        import_onnxruntime()
        own = stored_file(folder)
        if own is not None:
            return own_model(own, items, lambda one: self._run_of(one, num_threads))
        stored = load_graph(folder)

        def build(export: OnnxExport) -> Run:
            file = export.proto.SerializeToString()
            session = OnnxSession(
                stored.name,
                file,
                num_threads=num_threads,
                device=self.device,
                tables=export.tables,
            )

            def run(feeds: Mapping[str, NDArray[Any]]) -> FloatArray:
                return session(feeds, SCORES)

            return run

        return exported_model(
            stored, items, build, cache_items=self.cache_items, without=self.without
        )

    def _run_of(self, own: StoredFile, num_threads: int) -> OwnRun:
        session = OnnxSession(own.name, own.file, num_threads=num_threads, device=self.device)

        def run(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
            return session(arrays, own.call.output)

        return run
