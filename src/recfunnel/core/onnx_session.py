"""ONNX files in ONNX Runtime, behind one call; a file is read and described by its own words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.errors import MissingExtraError, ModelError, StorageError, StudyError
from recfunnel.core.own_checks import FileInput

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxSession:
    """A loaded ONNX model.

    Args:
        name: of the model, for errors.
        file: the model, serialised or as a file.
        num_threads: cores a call may use.
        device: `cpu` or `cuda`.
        tables: inputs that are the same in every call; their memory is shared, where that of
            constants would be copied.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        StudyError: there is no such device.
        StorageError: ONNX Runtime cannot load it.
    """

    def __init__(
        self,
        name: str,
        file: bytes | Path,
        *,
        num_threads: int = 1,
        device: str = "cpu",
        tables: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        onnxruntime = import_onnxruntime()
        self._name, self._tables = name, dict(tables or {})
        provider = PROVIDERS[device]
        if provider not in onnxruntime.get_available_providers():
            raise StudyError(
                f"ONNX Runtime has no device {device!r} here; install onnxruntime-gpu, or use "
                "device = 'cpu'"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
        options.log_severity_level = 3
        source = file if isinstance(file, bytes) else str(file)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=[provider])
        except Exception as error:  # the library's own errors have no common base
            raise StorageError(
                f"ONNX Runtime cannot load the file of {name!r}: {_short(error)}"
            ) from error

    def __call__(self, feeds: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        """One output.

        Args:
            feeds: arrays by input.
            output: its name; empty for the first.

        Raises:
            ModelError: the model failed.
        """
        try:
            found = self._session.run([output] if output else None, {**self._tables, **feeds})[0]
        except Exception as error:  # the library's own errors have no common base
            raise ModelError(f"{self._name!r} failed in ONNX Runtime: {_short(error)}") from error
        return np.asarray(found)


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


def onnx_inputs(name: str, file: Path, output: str) -> Sequence[FileInput]:
    """What an ONNX file says of its inputs.

    Args:
        name: of the model, for errors.
        file: the file.
        output: that is wanted; empty for the only one.

    Raises:
        MissingExtraError: `onnx` is not installed.
        StorageError: the file is missing or damaged.
        StudyError: it has no such output.
    """
    model = _read(name, file)
    outputs = [value.name for value in model.graph.output]
    if output and output not in outputs:
        raise StudyError(
            f"the file of {name!r} has no output {output!r}; it has: {', '.join(outputs)}"
        )
    if not output and len(outputs) != 1:
        raise StudyError(
            f"the file of {name!r} has {len(outputs)} outputs ({', '.join(outputs)}); name one in "
            "'output'"
        )
    constants = {tensor.name for tensor in model.graph.initializer}
    return [_described(value) for value in model.graph.input if value.name not in constants]


def outside_files(file: Path) -> tuple[str, ...]:
    """Names of files beside an ONNX file that hold its tables.

    Raises:
        StorageError: the file is damaged, or a name leads out of its folder.
    """
    model = _read(file.name, file)
    names = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    for name in names:
        if Path(name).name != name:
            raise StorageError(
                f"{file} keeps tables in {name!r}, outside its folder; store them beside it"
            )
    return tuple(sorted(names))


def _read(name: str, file: Path) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "onnx") from error
    try:
        model = onnx.load(file, load_external_data=False)
        onnx.checker.check_model(str(file))
    except FileNotFoundError as error:
        raise StorageError(f"{file}, the file of {name!r}, does not exist") from error
    except OSError as error:
        raise StorageError(f"{file}, the file of {name!r}, cannot be read: {error}") from error
    except Exception as error:  # protobuf's and the checker's errors have no common base
        raise StorageError(
            f"{file}, the file of {name!r}, is damaged or no ONNX file: {_short(error)}"
        ) from error
    return model


def _described(value: Any) -> FileInput:
    from onnx import helper

    tensor = value.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    except (KeyError, TypeError):
        dtype = "no tensor"
    return FileInput(value.name, dtype, shape)


def _short(error: Exception) -> str:
    """The first line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
