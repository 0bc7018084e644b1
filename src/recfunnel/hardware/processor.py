"""Which processor this is and which vector instructions it has."""

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")

_INTERESTING = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512_vnni",
    "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "sve", "sve2", "bf16", "i8mm",
)  # fmt: skip


def processor_name(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's own name, or the architecture where the system does not tell it."""
    fields = _fields(cpuinfo)
    return fields.get("model name") or platform.processor() or platform.machine()


def vector_instructions(cpuinfo: Path = _CPUINFO) -> tuple[str, ...]:
    """The instruction sets that matter for ranking, oldest first; empty where not told."""
    fields = _fields(cpuinfo)
    present = set(fields.get("flags", fields.get("Features", "")).split())
    return tuple(name for name in _INTERESTING if name in present)


def _fields(cpuinfo: Path) -> dict[str, str]:
    """Of the first processor listed."""
    if not cpuinfo.is_file():
        return {}
    first = cpuinfo.read_text().strip().split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
