"""The machine a measurement ran on: its name, its peaks, and the versions of what was compared."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from recfunnel.bench.results import Machine
from recfunnel.hardware.limits import num_allowed_cores
from recfunnel.hardware.peaks import bandwidth_bytes_per_s, compute_flops_per_s
from recfunnel.hardware.processor import processor_name, vector_instructions

LIBRARIES = ("recfunnel", "numpy", "torch", "onnxruntime", "openvino", "fbgemm-gpu-cpu")
MEASURE_S = 0.5
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


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


def cache_bytes(folder: Path = CACHES) -> dict[str, int]:
    """Sizes of the data caches one core sees, such as {"L2": 1048576}; empty where not told.

    Args:
        folder: where the system tells them.
    """
    found: dict[str, int] = {}
    for cache in sorted(folder.glob("index*")):
        if (cache / "type").read_text().strip() != "Instruction":
            size = (cache / "size").read_text().strip()
            scale = {"K": 1 << 10, "M": 1 << 20}[size[-1]]
            found[f"L{(cache / 'level').read_text().strip()}"] = int(size[:-1]) * scale
    return found


def _version(library: str) -> tuple[str, str] | None:
    try:
        return library, version(library)
    except PackageNotFoundError:
        return None
