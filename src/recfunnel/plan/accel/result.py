"""What a search of the accelerator's designs found; all of it simulated."""

from recfunnel.core.results import Estimate, Shortfall
from recfunnel.core.spec import Value
from recfunnel.hardware.accel.design import Policy
from recfunnel.plan.accel.problem import AccelPipeline, AccelTarget


class StageDesign(Value, frozen=True):
    """What one stage of a point is given.

    Args:
        model: its model.
        side: of its square sub-arrays.
        copies: sub-arrays.
        shared: whether all stages work on the same ones in turn.
        static_bytes: of embedding SRAM, for its hottest rows.
        ahead_bytes: of embedding SRAM, to read ahead into.
        policy: of its filter.
    """

    model: str
    side: int
    copies: int
    shared: bool
    static_bytes: int
    ahead_bytes: int
    policy: Policy


class AccelPoint(Value, frozen=True):
    """A chip, how it is used, and what that achieves.

    Args:
        pipeline: models and keep-counts.
        array_side: of the chip's square array.
        row_sram_bytes: of the chip.
        weight_sram_bytes: of the chip.
        stages: how each is mapped.
        sub_batches: of a query.
        ndcg: of what the filters pass on.
        p99_s: at the target's load; inf where that is not steady.
        throughput_qps: of queries that always wait.
        energy_j: of a query at the load, leakage included.
        alone_s: latency of a query that has the accelerator to itself.
        area_mm2: of the chip.
        power_w: of the chip, at the activity of the published synthesis.
        busiest: unit that is busiest at the load.
    """

    pipeline: AccelPipeline
    array_side: int
    row_sram_bytes: int
    weight_sram_bytes: int
    stages: tuple[StageDesign, ...]
    sub_batches: int
    ndcg: Estimate
    p99_s: Estimate
    throughput_qps: Estimate
    energy_j: float
    alone_s: float
    area_mm2: float
    power_w: float
    busiest: str


class Exploration(Value, frozen=True):
    """The front, and what it was found among.

    Args:
        target: load and bounds.
        points: none beaten in NDCG, p99, throughput and energy by another; best NDCG first.
        shortfall: the bound that nothing meets; None where there are points.
        num_designs: complete designs whose service times were computed.
        num_pipelines: models with keep-counts.
        num_simulated: designs that were simulated under load.
        num_queries: that judge.
        method: how designs were gone through.
        simulated: always; no such chip exists.
    """

    target: AccelTarget
    points: tuple[AccelPoint, ...]
    shortfall: Shortfall | None
    num_designs: int
    num_pipelines: int
    num_simulated: int
    num_queries: int
    method: str = "exact enumeration"
    simulated: bool = True
