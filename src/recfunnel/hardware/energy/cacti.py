"""Figures of an SRAM by CACTI itself, where `hwcomponents-cacti` is installed."""

import sys

from recfunnel.core.errors import MissingExtraError, RecfunnelError, StudyError
from recfunnel.core.spec import Value

LEAST_PYTHON = (3, 12)
LEAST_BYTES = 64


class SramFigures(Value, frozen=True):
    """What CACTI says about a memory macro.

    Args:
        read_j: energy of reading a word.
        write_j: energy of writing one.
        area_um2: of the macro.
        leakage_w: at rest.
        access_s: of a read.
    """

    read_j: float
    write_j: float
    area_um2: float
    leakage_w: float
    access_s: float


def cacti_sram(macro_bytes: int, width_bits: int, technology_m: float = 22e-9) -> SramFigures:
    """Ask CACTI; seconds the first time, then read from its own store.

    Areas were 1.6 to 2.6 times below macros that were really built, so do not mix them with those.

    Args:
        macro_bytes: size.
        width_bits: of a word, 16 or more.
        technology_m: feature size; below 22 nm hwcomponents scales CACTI's.

    Returns:
        Its figures.

    Raises:
        StudyError: a size CACTI does not take, or no whole number of words.
        MissingExtraError: hwcomponents-cacti is not installed, or this Python is too old for it.
        RecfunnelError: CACTI could not be run.
    """
    if macro_bytes < LEAST_BYTES or width_bits < 16 or 8 * macro_bytes % width_bits:
        raise StudyError(
            f"an SRAM of {macro_bytes} bytes in words of {width_bits} bits; give "
            f"{LEAST_BYTES} bytes or more in whole words of 16 bits or more"
        )
    if sys.version_info < LEAST_PYTHON:
        least, here = (".".join(map(str, v[:2])) for v in (LEAST_PYTHON, sys.version_info))
        raise MissingExtraError(
            f"hwcomponents-cacti (Python {least} or newer, not {here})", "cacti"
        )
    try:
        from hwcomponents_cacti import SRAM
    except ImportError as error:
        raise MissingExtraError("hwcomponents-cacti", "cacti") from error
    size, depth = 8 * macro_bytes, 8 * macro_bytes // width_bits
    try:
        memory = SRAM(tech_node=technology_m, width=width_bits, depth=depth, size=size)
        read, write = memory.read(), memory.write()
    except Exception as error:  # it raises Exception itself
        raise RecfunnelError(
            f"CACTI could not be run: {error}; its wheel needs glibc 2.38, on older systems run "
            "`make opt` in the cacti folder of the hwcomponents_cacti package"
        ) from error
    return SramFigures(
        read_j=float(read.energy),
        write_j=float(write.energy),
        area_um2=float(memory.area) * 1e12,
        leakage_w=float(memory.leak_power),
        access_s=float(read.latency),
    )
