"""The machine a measurement ran on: its name, its peaks, and the versions of what was compared."""

from importlib.metadata import PackageNotFoundError, version

from recfunnel.bench.results import Machine
from recfunnel.hardware.limits import num_allowed_cores
from recfunnel.hardware.peaks import bandwidth_bytes_per_s, compute_flops_per_s
from recfunnel.hardware.processor import processor_name, vector_instructions

LIBRARIES = ("recfunnel", "numpy", "torch", "onnxruntime", "openvino", "fbgemm-gpu-cpu")
MEASURE_S = 0.5


def look_at_machine() -> Machine:
    """Its peaks on one core, measured within a second."""
    return Machine(
        processor=processor_name(),
        instructions=vector_instructions(),
        num_cores=num_allowed_cores(),
        compute_flops_per_s=compute_flops_per_s(1, MEASURE_S),
        bandwidth_bytes_per_s=bandwidth_bytes_per_s(1, MEASURE_S),
        versions=dict(filter(None, map(_version, LIBRARIES))),
    )


def _version(library: str) -> tuple[str, str] | None:
    try:
        return library, version(library)
    except PackageNotFoundError:
        return None
