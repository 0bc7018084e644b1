"""OpenVINO: models as exported graphs, and users' own ONNX files.

Letters: C candidates.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.load import load_graph
from recfunnel.compile.passes import CompileOptions
from recfunnel.core.errors import MissingExtraError, ModelError, StudyError
from recfunnel.core.features import Features
from recfunnel.core.spec import Spec
from recfunnel.runtime.base import RuntimeSpec, runtimes
from recfunnel.runtime.export_onnx import OnnxExport
from recfunnel.runtime.exported import exported_model, refusal_of_export
from recfunnel.runtime.one_query import OneQueryModel
from recfunnel.runtime.own_file import StoredFile, own_model, stored_file

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


@runtimes.register
class OpenVINO(Spec, RuntimeSpec, frozen=True, tag="openvino"):
    """OpenVINO.

    Args:
        device: as OpenVINO calls it, such as `CPU` or `GPU`.
        precision: of the arithmetic; only `fp32` is exact, `bf16` needs a CPU that has it.
        cache_items: compute the item part of the whole catalogue once, when loading; false computes
            it for the candidates of every query, as for features that come with the request. A
            user's own file is always called whole.
        without: passes to leave out when compiling a model, see `recfunnel.compile.passes`.
    """

    device: str = "CPU"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    cache_items: bool = True
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        CompileOptions(without=self.without)  # refuses a pass that is not known

    @property
    def exact(self) -> bool:
        """In float32."""
        return self.precision == "fp32"

    def refusal(self, folder: Path) -> str:
        """Without the library, or for a model without a graph that is no ONNX file."""
        return refusal_of_export(folder, "openvino", "openvino")

    def load(self, folder: Path, items: Features, *, num_threads: int = 1) -> OneQueryModel:
        """Make a finished model ready: its graph exported, or the user's file.

        Raises:
            StorageError: the folder is missing, damaged or of another version.
            MissingExtraError: OpenVINO is not installed.
            ModelError: the model has no graph and is no ONNX file, or OpenVINO cannot compile it.
            StudyError: there is no such device, or a file's inputs do not fit the features.
        """
        import_openvino()
        own = stored_file(folder)
        if own is not None:
            return own_model(own, items, lambda one: self._compiled(one, num_threads))
        stored = load_graph(folder)

        def build(export: OnnxExport) -> "Compiled":
            file = export.proto.SerializeToString()
            return Compiled(stored.name, self, num_threads, file, export.tables)

        return exported_model(
            stored, items, build, cache_items=self.cache_items, without=self.without
        )

    def _compiled(self, own: StoredFile, num_threads: int) -> "Compiled":
        return Compiled(own.name, self, num_threads, own.file, {}, own.call.output)


class Compiled:
    """A compiled ONNX model.

    Args:
        name: of the model, for errors.
        spec: device and precision.
        num_threads: cores a call may use.
        file: the model, serialised or as a path.
        tables: inputs that are the same in every call; they become constants where they lie.
        output: the one that is wanted; empty for the first.
    """

    def __init__(
        self,
        name: str,
        spec: OpenVINO,
        num_threads: int,
        file: bytes | Path,
        tables: Mapping[str, NDArray[Any]],
        output: str = "",
    ) -> None:
        openvino = import_openvino()
        core = openvino.Core()
        if not any(device.split(".")[0] == spec.device for device in core.available_devices):
            raise StudyError(
                f"OpenVINO has no device {spec.device!r} here; known: "
                f"{', '.join(core.available_devices)}"
            )
        self._name, self._tables = name, tables
        try:
            model = core.read_model(file)
            _fix_tables(model, tables)
            compiled = core.compile_model(model, spec.device, _settings(spec, num_threads))
        except RuntimeError as error:
            raise ModelError(f"{name!r} cannot be compiled by OpenVINO: {error}") from error
        self._kept = (core, model, compiled)  # a request does not say what it leans on
        self._request = compiled.create_infer_request()
        self._output = compiled.output(output) if output else compiled.output(0)
        self._feeds: Mapping[str, NDArray[Any]] = {}

    def __call__(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """One output; it is overwritten by the next call."""
        self._feeds = feeds  # the request goes on pointing at them
        try:
            self._request.infer(feeds, share_inputs=True)
        except RuntimeError as error:
            raise ModelError(f"{self._name!r} failed in OpenVINO: {error}") from error
        found: NDArray[Any] = self._request.get_tensor(self._output).data
        return found


def import_openvino() -> Any:
    """The library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino") from error
    return openvino


def _settings(spec: OpenVINO, num_threads: int) -> dict[str, Any]:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    settings["INFERENCE_PRECISION_HINT"] = HINTS[spec.precision]
    if spec.device == "CPU":
        settings |= {"INFERENCE_NUM_THREADS": num_threads, "NUM_STREAMS": 1}
        settings["ENABLE_CPU_PINNING"] = False  # whoever runs the process has pinned it
    return settings


def _fix_tables(model: Any, tables: Mapping[str, NDArray[Any]]) -> None:
    """Put constants in the place of inputs, sharing their memory.

    As inputs, tables are converted in every call where the precision is not float32.
    """
    import openvino
    from openvino import opset13

    for parameter in list(model.get_parameters()):
        found = parameter.get_output_tensor(0).get_names() & tables.keys()
        for name in found:
            constant = opset13.constant(
                openvino.Tensor(_writeable(tables[name]), shared_memory=True)
            )
            parameter.output(0).replace(constant.output(0))
            model.remove_parameter(parameter)
    model.validate_nodes_and_infer_types()


class _Alias:
    """Numpy's description of an array's memory."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.kept = array
        place = array.__array_interface__["data"][0]
        self.__array_interface__ = {**array.__array_interface__, "data": (place, False)}


def _writeable(array: NDArray[Any]) -> NDArray[Any]:
    """The same memory, row by row, as an array that may be written: OpenVINO shares no other.

    It never writes constants, so that the memory may be a mapped file that cannot be written.
    """
    return np.asarray(_Alias(array))
