"""Every fault of the published timing model as a switch, and what is done instead."""

from dataclasses import dataclass

import msgspec

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value


class Faults(Value, frozen=True):
    """Which faults are kept; the default is the published model. `FAULTS` says what each is."""

    odd_bandwidth: bool = True
    bus_in_cycles: bool = True
    nothing_returned: bool = True
    bus_between_stages: bool = True
    sort_divided_twice: bool = True
    reduction_dropped: bool = True
    one_load: bool = True
    clipped_tiles: bool = True
    joined_vectors: bool = True
    four_byte_words: bool = True
    sram_replicated: bool = True
    small_sram: bool = True
    weights_every_layer: bool = True
    constant_misses: bool = True
    no_bursts: bool = True
    slow_hits: bool = True
    hits_after_misses: bool = True
    gather_before_layers: bool = True

    def without(self, *names: str) -> "Faults":
        """The same with some of them corrected.

        Raises:
            StudyError: no fault has this name.
        """
        known = {fault.name for fault in FAULTS}
        for name in names:
            if name not in known:
                raise StudyError(f"no fault {name!r}; known: {', '.join(sorted(known))}")
        return msgspec.structs.replace(self, **dict.fromkeys(names, False))


@dataclass(frozen=True, slots=True)
class Fault:
    """One of them.

    Args:
        name: of its switch.
        fault: what the published model does.
        correction: what is done instead.
    """

    name: str
    fault: str
    correction: str


FAULTS = (
    Fault(
        "odd_bandwidth",
        "1/64 of the chip has 0.125 GiB/s of DRAM",
        "1/64 of the chip's, 0.5 GiB/s",
    ),
    Fault(
        "bus_in_cycles",
        "PCIe takes a number of the accelerator's cycles",
        "the same seconds at any clock; nothing changes at the published 8 ns",
    ),
    Fault(
        "nothing_returned",
        "0 items are returned over PCIe",
        "the items that the next stage reads, or the answer's",
    ),
    Fault(
        "bus_between_stages",
        "every stage takes its items from the host and returns them",
        "the first stage takes them, the last one returns them",
    ),
    Fault(
        "sort_divided_twice",
        "cycles of the sort, items / 16, are divided by the cycle's 8 ns once more",
        "items / 16 cycles",
    ),
    Fault(
        "reduction_dropped",
        "cycles of adding up partial sums are computed and not used",
        "added to each layer",
    ),
    Fault(
        "one_load",
        "weights enter the array in min(K, A) cycles and results leave in min(N, A)",
        "weights are loaded, then inputs cross the array: 2 R + C + M - 2 a fold, as SCALE-Sim",
    ),
    Fault(
        "clipped_tiles",
        "a tile smaller than the array is crossed in its own size",
        "every tile crosses the whole array",
    ),
    Fault(
        "joined_vectors",
        "27 d joined numbers enter the last network; their interaction costs nothing",
        "351 dots and d numbers enter it; the dots are made on the published 1,024 lanes",
    ),
    Fault(
        "four_byte_words",
        "weights and rows have 4 bytes a number",
        "2 bytes, as the published RTL",
    ),
    Fault(
        "sram_replicated",
        "every part of the chip has all of its SRAM",
        "its share of it",
    ),
    Fault(
        "small_sram",
        "1 MB for weights and 1 MB for rows",
        "4 and 16 MiB, of which the area and power are published",
    ),
    Fault(
        "weights_every_layer",
        "every layer of every query reads its weights from DRAM and waits for them",
        "weights that fit into SRAM stay there, others are read once a query",
    ),
    Fault(
        "constant_misses",
        "half of the lookups miss, whatever the cache",
        "the hit rate of the authors' own study of caches for as many rows as fit, its largest one "
        "beyond",
    ),
    Fault(
        "no_bursts",
        "a miss moves the row's own bytes",
        "whole bursts of 64 bytes",
    ),
    Fault(
        "slow_hits",
        "SRAM gives 64 bytes a cycle, 8 GB/s, less than DRAM",
        "each of the 64 published macros gives 8 bytes a cycle",
    ),
    Fault(
        "hits_after_misses",
        "SRAM is read after DRAM",
        "at the same time",
    ),
    Fault(
        "gather_before_layers",
        "the first network waits for rows, which it does not read",
        "rows are gathered beside it",
    ),
)
"""In the order of the waterfall: constants, bus, filter, array, memory, overlap."""

PUBLISHED = Faults()
"""The published model."""

CORRECTED = PUBLISHED.without(*(fault.name for fault in FAULTS))
"""None of them."""
