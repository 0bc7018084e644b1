"""What the published model of RPAccel is built of: engines, networks, times of the PCIe bus.

Facts of the authors' configuration files and code, written anew; the artifact has no licence, so
nothing of its code is here. An *engine* is the whole chip or the 4th, 16th or 64th part of it.
"""

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value

CLOCK_PERIOD_S = 8e-9
"""The artifact's field is called a frequency; its arithmetic makes it nanoseconds."""

GIB = 2**30
DRAM_LATENCY_CYCLES = 100
WEIGHT_SRAM_BYTES = 1_000_000
ROW_SRAM_BYTES = 1_000_000
AREA_WEIGHT_SRAM_BYTES = 4 * 2**20
AREA_ROW_SRAM_BYTES = 16 * 2**20
"""SRAM of the chip whose area and power are published; the timing model has other sizes."""

NUM_ROW_MACROS = 64
"""Memory macros of 256 KiB that the published area counts for rows."""

MACRO_BYTES_PER_CYCLE = 8
"""Of a macro: the width of the published crossbar's ports."""

NUM_LANES = 1024
"""Accumulators beside the array in the published area."""

SRAM_BYTES_PER_CYCLE = 64
MISS_SHARE = 0.5
BURST_BYTES = 64
NUM_SORT_LANES = 16

PCIE_IN_BASE, PCIE_IN_FULL, PCIE_OUT_BASE, PCIE_OUT_FULL = 5.0, 12.0, 5.0, 5.0
"""In units of 1000 cycles; `FULL` is what 4096 items add."""

PCIE_FULL_ITEMS = 4096
PCIE_UNIT_CYCLES = 1000

HOST_SORT_S = ((511, 0.03e-3), (1024, 0.07e-3), (4096, 0.35e-3))
"""(most items, seconds) of sorting on the host, a branch that the artifact never takes."""

FIFO_HITS = (
    (819, 0.0947),
    (1638, 0.1432),
    (4096, 0.2199),
    (8192, 0.2831),
    (16_384, 0.3470),
    (32_768, 0.4093),
    (49_152, 0.4442),
    (65_536, 0.4683),
    (98_304, 0.5009),
    (131_072, 0.5231),
)
"""(rows held, hit rate) of the authors' own study of caches, on Criteo's five largest tables."""


class Engine(Value, frozen=True):
    """A part of the chip that runs one query at a time.

    Args:
        fission: it is this part of the chip: 1, 4, 16 or 64.
        side: of its square array.
        dram_bytes_per_s: of its own.
        clock_period_s: of a cycle.
    """

    fission: int
    side: int
    dram_bytes_per_s: float
    clock_period_s: float = CLOCK_PERIOD_S

    def __post_init__(self) -> None:
        if (
            min(self.fission, self.side) < 1
            or not min(self.dram_bytes_per_s, self.clock_period_s) > 0
        ):
            raise StudyError(
                f"an engine of part 1/{self.fission}, side {self.side}, "
                f"{self.dram_bytes_per_s:g} bytes/s and a cycle of {self.clock_period_s:g} s; "
                "all must be above 0"
            )


ENGINES = {
    1: Engine(fission=1, side=128, dram_bytes_per_s=32.0 * GIB),
    4: Engine(fission=4, side=64, dram_bytes_per_s=8.0 * GIB),
    16: Engine(fission=16, side=32, dram_bytes_per_s=2.0 * GIB),
    64: Engine(fission=64, side=16, dram_bytes_per_s=0.125 * GIB),
}
"""By fission. A 64th of the bandwidth would be 0.5 GiB/s."""


def engine(fission: int) -> Engine:
    """The published engine of a part of the chip.

    Raises:
        StudyError: there is none of this size.
    """
    if fission not in ENGINES:
        raise StudyError(
            f"the published model has no engine of 1/{fission} of the chip; "
            f"known: {', '.join(map(str, ENGINES))}"
        )
    return ENGINES[fission]


class PublishedNetwork(Value, frozen=True):
    """A network as the published configurations have it.

    Args:
        name: short.
        bottom: sizes of the first network's layers, from its inputs on.
        top: sizes of the last network's layers; without its inputs where `dots` is set.
        lookups: numbers in each row that a candidate looks up.
        dots: vectors meet in dot products before the last network.
    """

    name: str
    bottom: tuple[int, ...]
    top: tuple[int, ...]
    lookups: tuple[int, ...]
    dots: bool = True


def _dlrm(name: str, bottom: tuple[int, ...], top: tuple[int, ...]) -> PublishedNetwork:
    return PublishedNetwork(name=name, bottom=bottom, top=top, lookups=(bottom[-1],) * 26)


def _neumf(
    name: str, bottom: tuple[int, ...], top: tuple[int, ...], widths: tuple[int, int]
) -> PublishedNetwork:
    lookups = (widths[0],) * 2 + (widths[1],) * 2
    return PublishedNetwork(name=name, bottom=bottom, top=top, lookups=lookups, dots=False)


CRITEO = {
    "S": _dlrm("S", (13, 64, 4), (64, 1)),
    "M": _dlrm("M", (13, 64, 16), (64, 1)),
    "L": _dlrm("L", (13, 512, 256, 128, 64, 32), (96, 1)),
}

MOVIELENS = {
    "1M S": _neumf("1M S", (64, 32, 1), (129, 1), (32, 128)),
    "1M M": _neumf("1M M", (800, 512, 256, 128, 64, 32, 1), (17, 1), (128, 16)),
    "1M L": _neumf("1M L", (1024, 512, 256, 128, 1), (128, 1), (384, 128)),
    "20M S": _neumf("20M S", (32, 1), (2, 1), (16, 1)),
    "20M M": _neumf("20M M", (16, 512, 256, 128, 64, 32, 1), (65, 1), (8, 16)),
    "20M L": _neumf("20M L", (64, 2048, 512, 256, 128, 64, 1), (257, 1), (32, 64)),
}
"""NeuMF; several of these shapes contradict themselves, and are kept as the authors have them."""
