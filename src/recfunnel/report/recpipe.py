"""RecPipe's accelerator figures as values: published, by its own model, and by ours."""

from typing import Literal

from recfunnel.core.results import Estimate
from recfunnel.core.spec import Value


class LoadRow(Value, frozen=True):
    """One mapping at one load; all times but the logged ones are simulated.

    Args:
        num_stages: of the pipeline.
        items: each stage reads.
        fission: the part of the chip that each stage's engines are.
        rate_qps: that was set.
        service_s: of all stages in the published model.
        corrected_service_s: with its faults corrected.
        logged_p95_s: of the authors' one run.
        logged_qps: answered in it.
        logged_saturated: whether it could not keep up.
        emulated_p95_s: the published model with what the authors' emulation adds.
        gaps_p95_s: the published model with their gaps of whole milliseconds alone.
        p95_s: the published model with exponential gaps; inf where it cannot keep up.
        p99_s: the same.
        corrected_p95_s: the corrected model with exponential gaps.
        corrected_p99_s: the same.
    """

    num_stages: int
    items: tuple[int, ...]
    fission: tuple[int, ...]
    rate_qps: float
    service_s: float
    corrected_service_s: float
    logged_p95_s: float
    logged_qps: float
    logged_saturated: bool
    emulated_p95_s: Estimate
    gaps_p95_s: Estimate
    p95_s: Estimate
    p99_s: Estimate
    corrected_p95_s: Estimate
    corrected_p99_s: Estimate


class MappingRow(Value, frozen=True):
    """One mapping without load, by each model; all simulated.

    Args:
        items: each stage reads.
        fission: the part of the chip that each stage's engines are.
        host_sort: whether the host sorts, to which all scores go: the paper's prior art.
        published_s: service time of all stages in the published model.
        published_qps: its capacity.
        corrected_s: with its faults corrected.
        corrected_qps: the same.
        ours_s: latency of a query alone on our model, with the best number of sub-batches.
        ours_qps: that its busiest unit can do.
        sub_batches: that number.
    """

    items: tuple[int, ...]
    fission: tuple[int, ...]
    host_sort: bool
    published_s: float
    published_qps: float
    corrected_s: float
    corrected_qps: float
    ours_s: float
    ours_qps: float
    sub_batches: int


class OursRow(Value, frozen=True):
    """The best of a kind of mapping at one load on our model; simulated.

    Args:
        kind: of mapping.
        items: each stage reads.
        rate_qps: exponential gaps.
        fission: of the best; empty where none has the capacity.
        sub_batches: of the best.
        p95_s: inf where it is not steady.
        p99_s: the same.
    """

    kind: str
    items: tuple[int, ...]
    rate_qps: float
    fission: tuple[int, ...]
    sub_batches: int
    p95_s: Estimate
    p99_s: Estimate


class BestRow(Value, frozen=True):
    """Figure 14: the least p95 of any mapping at a load or a higher one.

    Args:
        target: the load, in words.
        platform: CPU, GPU or RPAccel.
        num_stages: of the pipeline.
        published_p95_s: theirs; None where no configuration holds the load.
        p95_s: of the published model, simulated; None but for RPAccel.
        corrected_p95_s: of the corrected model; None but for RPAccel.
        ours_p95_s: of our model; None but for RPAccel.
    """

    target: str
    platform: str
    num_stages: int
    published_p95_s: float | None
    p95_s: float | None
    corrected_p95_s: float | None
    ours_p95_s: float | None


class SystolicRow(Value, frozen=True):
    """Figure 10a: one network on one square array, 4096 items, weights staying.

    Args:
        network: S, M or L.
        side: of the array.
        published_cycles: of the artifact's SCALE-Sim; None where its run was not finished.
        published_utilisation: of the elements, 0 to 1.
        artifact_cycles: of the artifact's timing model, whose vectors are joined.
        cycles: ours of the same layers, fold by fold.
        utilisation: with these.
        overlapped_cycles: ours, the next fold's weights loaded behind the computing.
        true_cycles: of the network whose quality is reported, overlapped, its dots on 1,024 lanes.
    """

    network: str
    side: int
    published_cycles: int | None
    published_utilisation: float | None
    artifact_cycles: int
    cycles: int
    utilisation: float
    overlapped_cycles: int
    true_cycles: int


class CachePoint(Value, frozen=True):
    """Figure 10c: one division of memory between two stages' caches.

    Args:
        filter_ratio: share of the items that the back stage sees.
        size_mb: of both caches.
        front_share: of the memory, the front stage's.
        published_cycles: mean time of an access, hits 1 and misses 100 cycles.
        fifo_cycles: ours with their policy.
        lru_cycles: least recently used.
        static_cycles: the rows looked up most in the first half, counted on the second.
    """

    filter_ratio: float
    size_mb: int
    front_share: float
    published_cycles: float
    fifo_cycles: float
    lru_cycles: float
    static_cycles: float


class ComponentRow(Value, frozen=True):
    """Figure 11: one component of the baseline's chip and of RPAccel's.

    Args:
        name: of the component.
        num_blocks: of each chip.
        published_mm2: of each chip, by the published scaling.
        area_mm2: of each chip, without its rounding.
        published_w: of each chip.
        power_w: of each chip, without its rounding.
    """

    name: str
    num_blocks: tuple[float, float]
    published_mm2: tuple[float, float]
    area_mm2: tuple[float, float]
    published_w: tuple[float, float]
    power_w: tuple[float, float]


class EnergyRow(Value, frozen=True):
    """Energy of a query, of one component.

    Args:
        mapping: name.
        component: that uses it.
        energy_j: simulated.
        low_j: with the least plausible energy of an operation.
        high_j: with the most plausible one.
        source: of the energy of an operation.
    """

    mapping: str
    component: str
    energy_j: float
    low_j: float
    high_j: float
    source: str


class StepRow(Value, frozen=True):
    """What correcting one fault of the published model does.

    Args:
        name: of the fault's switch.
        fault: what the published model does.
        correction: what is done instead.
        cumulative_s: service time with this and all faults before it corrected.
        alone_s: with this one alone corrected.
        kept_s: with this one alone kept.
        cumulative_qps: capacity with this and all faults before it corrected.
    """

    name: str
    fault: str
    correction: str
    cumulative_s: float
    alone_s: float
    kept_s: float
    cumulative_qps: float


class WaterfallRow(Value, frozen=True):
    """From the published model to the corrected one, for one mapping.

    Args:
        mapping: name.
        published_s: service time of all stages.
        published_qps: capacity.
        steps: one a fault.
    """

    mapping: str
    published_s: float
    published_qps: float
    steps: tuple[StepRow, ...]


class RecPipeReproduction(Value, frozen=True):
    """RecPipe's accelerator figures; those that were not asked for are empty.

    Args:
        figures: that were asked for.
        systolic: figure 10a.
        caches: figure 10c.
        cache_lookups: lookups of the trace drawn for it.
        components: figure 11.
        energies: of a query, beside figure 11.
        loads: figure 12.
        mappings: those of figure 12 without load.
        ours: our model at the loads of figure 12.
        waterfalls: beside figure 12.
        scaling: figure 13.
        ours_scaling: our model at the loads of figure 13.
        ndcg_by_items: the authors' own, for figure 13.
        best: figure 14.
        notes: what must be known to read the figures.
        simulated: everything that is not called published or logged.
    """

    figures: tuple[str, ...]
    systolic: tuple[SystolicRow, ...] = ()
    caches: tuple[CachePoint, ...] = ()
    cache_lookups: int = 0
    components: tuple[ComponentRow, ...] = ()
    energies: tuple[EnergyRow, ...] = ()
    loads: tuple[LoadRow, ...] = ()
    mappings: tuple[MappingRow, ...] = ()
    ours: tuple[OursRow, ...] = ()
    waterfalls: tuple[WaterfallRow, ...] = ()
    scaling: tuple[LoadRow, ...] = ()
    ours_scaling: tuple[OursRow, ...] = ()
    ndcg_by_items: tuple[tuple[int, float], ...] = ()
    best: tuple[BestRow, ...] = ()
    notes: tuple[str, ...] = ()
    simulated: Literal[True] = True
