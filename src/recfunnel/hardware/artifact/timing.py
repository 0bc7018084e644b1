"""Service times of the published model, whole or with some of its faults corrected.

Letters: M items, an (M, K) input times (K, N) weights on A x A processing elements. In the
published form all parts of a query are added up; nothing overlaps and nothing is cut into
sub-batches. What stays wrong after all corrections is what the form itself cannot say: sub-batches,
look-ahead gathers and a DRAM that parts of the chip share.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.artifact import constants as at
from recfunnel.hardware.artifact.constants import Engine, PublishedNetwork
from recfunnel.hardware.artifact.faults import PUBLISHED, Faults


class ServiceTime(Value, frozen=True):
    """Parts of one stage's service time.

    Args:
        bus_in_s: items from the host.
        gather_s: rows, as far as layers wait for them.
        bottom_s: the first network.
        dots_s: the interaction.
        top_s: the last network.
        sort_s: choosing the best.
        bus_out_s: items to the host.
    """

    bus_in_s: float
    gather_s: float
    bottom_s: float
    dots_s: float
    top_s: float
    sort_s: float
    bus_out_s: float

    @property
    def total_s(self) -> float:
        """All of it."""
        parts = (self.bus_in_s, self.gather_s, self.bottom_s, self.dots_s)
        return sum(parts) + self.top_s + self.sort_s + self.bus_out_s


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a pipeline on engines of one size.

    Args:
        network: what it runs.
        num_items: M it reads.
        engine: that runs it.
        num_engines: side by side, each with a query of its own.
    """

    network: PublishedNetwork
    num_items: int
    engine: Engine
    num_engines: int = 1

    def __post_init__(self) -> None:
        if min(self.num_items, self.num_engines) < 1:
            raise StudyError(
                f"a stage of {self.num_items} items on {self.num_engines} engines; "
                "both must be 1 or more"
            )


def service_times(
    stages: Sequence[Stage],
    faults: Faults = PUBLISHED,
    *,
    num_answers: int = 64,
    host_sort: bool = False,
    miss_share: float | None = None,
) -> tuple[ServiceTime, ...]:
    """Time of a query in each stage of a pipeline, without waiting.

    Args:
        stages: in order.
        faults: which are kept.
        num_answers: items the last stage returns, where it returns any.
        host_sort: the host sorts, to which all scores go; the prior art the paper compares with.
        miss_share: of lookups, 0 to 1, instead of the published or corrected one.

    Returns:
        One a stage.

    Raises:
        StudyError: no stage, a share outside 0 to 1, or more items than the host's sort has a time
            for.
    """
    if not stages:
        raise StudyError("a pipeline without stages; give at least one")
    if miss_share is not None and not 0 <= miss_share <= 1:
        raise StudyError(f"a share of {miss_share:g} misses; it must be 0 to 1")
    num_out = [*(stage.num_items for stage in stages[1:]), num_answers]
    return tuple(
        _service(
            stage,
            faults,
            num_out=stage.num_items if host_sort else num_out[place],
            host_sort=host_sort,
            miss_share=miss_share,
            from_host=place == 0 or faults.bus_between_stages,
            to_host=place == len(stages) - 1 or faults.bus_between_stages,
        )
        for place, stage in enumerate(stages)
    )


def total_s(times: Sequence[ServiceTime]) -> float:
    """Of all stages."""
    return sum(time.total_s for time in times)


def capacity_qps(stages: Sequence[Stage], times: Sequence[ServiceTime]) -> float:
    """Queries a second that the slowest stage's engines can answer."""
    return min(stage.num_engines / time.total_s for stage, time in zip(stages, times, strict=True))


def _service(
    stage: Stage,
    faults: Faults,
    *,
    num_out: int,
    host_sort: bool,
    miss_share: float | None,
    from_host: bool,
    to_host: bool,
) -> ServiceTime:
    engine, network, num_items = stage.engine, stage.network, stage.num_items
    cycle_s = engine.clock_period_s
    unit_s = at.PCIE_UNIT_CYCLES * (cycle_s if faults.bus_in_cycles else at.CLOCK_PERIOD_S)
    top = _top_sizes(network, faults)
    streamed = _streamed_weights_s(network, engine, faults)
    bottom_s = cycle_s * _layers_cycles(network.bottom, num_items, engine.side, faults)
    top_s = cycle_s * _layers_cycles(top, num_items, engine.side, faults)
    gather_s = _gather_s(network, num_items, engine, faults, miss_share)
    if not faults.gather_before_layers:
        gather_s = max(0.0, gather_s - bottom_s - streamed[0])
    returned = num_out if host_sort or not faults.nothing_returned else 0
    return ServiceTime(
        bus_in_s=_bus_units(at.PCIE_IN_BASE, at.PCIE_IN_FULL, num_items) * unit_s * from_host,
        gather_s=gather_s,
        bottom_s=bottom_s + streamed[0],
        dots_s=cycle_s * _dots_cycles(network, num_items, engine, faults),
        top_s=top_s + streamed[1],
        sort_s=_host_sort_s(num_items) if host_sort else _sort_s(num_items, cycle_s, faults),
        bus_out_s=_bus_units(at.PCIE_OUT_BASE, at.PCIE_OUT_FULL, returned) * unit_s * to_host,
    )


def joined_layers_cycles(network: PublishedNetwork, num_items: int, side: int) -> float:
    """Cycles of a network's layers in the published model, without its weights' way."""
    top = _top_sizes(network, PUBLISHED)
    return sum(_layers_cycles(each, num_items, side, PUBLISHED) for each in (network.bottom, top))


def weights_stay(network: PublishedNetwork, engine: Engine, faults: Faults) -> bool:
    """Whether a network's weights fit into an engine's SRAM and are kept there."""
    room = _sram_bytes(engine, faults, at.WEIGHT_SRAM_BYTES, at.AREA_WEIGHT_SRAM_BYTES)
    needed = sum(map(sum, _weight_bytes(network, faults)))
    return not faults.weights_every_layer and needed <= room


def miss_share_of(network: PublishedNetwork, engine: Engine, faults: Faults) -> float:
    """Share of a network's lookups that its engine's SRAM does not hold."""
    if faults.constant_misses:
        return at.MISS_SHARE
    room = _sram_bytes(engine, faults, at.ROW_SRAM_BYTES, at.AREA_ROW_SRAM_BYTES)
    word = 4 if faults.four_byte_words else 2
    return 1 - hit_share(room * len(network.lookups) / (word * sum(network.lookups)))


def hit_share(num_rows: float) -> float:
    """Hit rate of the authors' study for a cache of so many rows.

    On a line over the logarithm of the rows, from none at one row; the largest cache's beyond it.
    """
    rows, hits = np.array(((1, 0.0), *at.FIFO_HITS)).T
    return float(np.interp(np.log(max(num_rows, 1.0)), np.log(rows), hits))


def _bus_units(base: float, full: float, num_items: int) -> float:
    return base + full * num_items / at.PCIE_FULL_ITEMS


def _sort_s(num_items: int, cycle_s: float, faults: Faults) -> float:
    cycles = num_items / at.NUM_SORT_LANES
    return cycles * cycle_s / (cycle_s * 1e9 if faults.sort_divided_twice else 1)


def _host_sort_s(num_items: int) -> float:
    for most, taken_s in at.HOST_SORT_S:
        if num_items <= most:
            return taken_s
    raise StudyError(
        f"the published time of a sort on the host ends at {at.HOST_SORT_S[-1][0]} items, "
        f"not {num_items}; sort on the accelerator"
    )


def _top_sizes(network: PublishedNetwork, faults: Faults) -> tuple[int, ...]:
    if not network.dots:
        return network.top
    width, num_vectors = network.bottom[-1], len(network.lookups) + 1
    if faults.joined_vectors:
        return (num_vectors * width, *network.top)
    return (width + num_vectors * (num_vectors - 1) // 2, *network.top)


def _dots_cycles(network: PublishedNetwork, num_items: int, engine: Engine, faults: Faults) -> int:
    """On the lanes that belong to this part of the chip."""
    if not network.dots or faults.joined_vectors:
        return 0
    num_vectors = len(network.lookups) + 1
    macs = num_items * num_vectors * (num_vectors - 1) // 2 * network.bottom[-1]
    return -(-macs // max(1, at.NUM_LANES // engine.fission))


def _layers_cycles(sizes: Sequence[int], num_items: int, side: int, faults: Faults) -> float:
    return sum(_layer_cycles(k, n, num_items, side, faults) for k, n in pairwise(sizes))


def _layer_cycles(
    num_inputs: int, num_outputs: int, num_items: int, side: int, faults: Faults
) -> float:
    """Of one layer whose weights and inputs are at the array."""
    down, across = -(-num_inputs // side), -(-num_outputs // side)
    rows, cols = side, side
    if faults.clipped_tiles:
        rows, cols = min(num_inputs, side), min(num_outputs, side)
    cycles: float = down * across * (rows + cols + num_items)
    if not faults.one_load:
        cycles += down * across * (rows - 2) - 1
    return cycles if faults.reduction_dropped else cycles + (num_outputs + down) / 8


def _streamed_weights_s(
    network: PublishedNetwork, engine: Engine, faults: Faults
) -> tuple[float, float]:
    """Reading the first and the last network's weights from DRAM."""
    layers = _weight_bytes(network, faults)
    if weights_stay(network, engine, faults):
        return 0.0, 0.0
    room = _sram_bytes(engine, faults, at.WEIGHT_SRAM_BYTES, at.AREA_WEIGHT_SRAM_BYTES)
    if faults.weights_every_layer:
        first, last = (sum(_slices_s(each, room, engine, faults) for each in s) for s in layers)
        return first, last
    first, last = (_read_s(sum(each), engine, faults) for each in layers)
    return first, last


def _weight_bytes(network: PublishedNetwork, faults: Faults) -> list[list[int]]:
    """Of every layer of the first and of the last network."""
    word = 4 if faults.four_byte_words else 2
    return [
        [word * k * n for k, n in pairwise(sizes)]
        for sizes in (network.bottom, _top_sizes(network, faults))
    ]


def _slices_s(num_bytes: int, room: float, engine: Engine, faults: Faults) -> float:
    """In slices of the SRAM's size, of which the last is read in full length."""
    return math.ceil(num_bytes / room) * _read_s(min(num_bytes, room), engine, faults)


def _read_s(num_bytes: float, engine: Engine, faults: Faults) -> float:
    latency_s = at.DRAM_LATENCY_CYCLES * engine.clock_period_s
    return latency_s + num_bytes / _dram_bytes_per_s(engine, faults)


def _dram_bytes_per_s(engine: Engine, faults: Faults) -> float:
    if faults.odd_bandwidth:
        return engine.dram_bytes_per_s
    return at.ENGINES[1].dram_bytes_per_s / engine.fission


def _sram_bytes(engine: Engine, faults: Faults, small: int, large: int) -> float:
    whole = small if faults.small_sram else large
    return whole if faults.sram_replicated else whole / engine.fission


def _gather_s(
    network: PublishedNetwork,
    num_items: int,
    engine: Engine,
    faults: Faults,
    miss_share: float | None,
) -> float:
    word = 4 if faults.four_byte_words else 2
    row_bytes = [word * width for width in network.lookups]
    misses = miss_share_of(network, engine, faults) if miss_share is None else miss_share
    moved = row_bytes
    if not faults.no_bursts:
        moved = [at.BURST_BYTES * -(-size // at.BURST_BYTES) for size in row_bytes]
    width = at.SRAM_BYTES_PER_CYCLE
    if not faults.slow_hits:
        share = 1 if faults.sram_replicated else engine.fission
        width = at.NUM_ROW_MACROS // share * at.MACRO_BYTES_PER_CYCLE
    dram_s = _read_s(misses * num_items * sum(moved), engine, faults)
    sram_s = (1 - misses) * num_items * sum(row_bytes) / width * engine.clock_period_s
    return dram_s + sram_s if faults.hits_after_misses else max(dram_s, sram_s)
