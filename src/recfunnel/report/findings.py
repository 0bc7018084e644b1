"""What a run found: quality lost by stage, comparisons, latency under load, verification."""

from typing import Literal

from recfunnel.core.pipeline import Stage
from recfunnel.core.results import Estimate
from recfunnel.core.spec import Value
from recfunnel.core.verified import VerifiedLoad

Role = Literal["chosen", "baseline"]
Verdict = Literal["same", "better", "worse", "undecided"]


class StageLoss(Value, frozen=True):
    """What one cut costs.

    Args:
        stage: who cut.
        ideal_ndcg: NDCG if everything it kept were ordered perfectly.
        loss: the ideal before the cut less the ideal after it.
    """

    stage: Stage
    ideal_ndcg: Estimate
    loss: Estimate


class QualityAttribution(Value, frozen=True):
    """Where the distance from a perfect list (NDCG 1) is lost.

    Args:
        stages: the cuts in order; their losses and `ordering_loss` add up to 1 - `ndcg`.
        ordering_loss: the ideal after the last cut less what its order achieved.
        ndcg: what was achieved.
    """

    stages: tuple[StageLoss, ...]
    ordering_loss: Estimate
    ndcg: Estimate


class PairedComparison(Value, frozen=True):
    """The chosen pipeline against one rival, query by query.

    Args:
        rival: name of the pipeline or model compared with.
        difference: chosen less rival, mean NDCG over the same queries.
        low: lower end of the difference's interval.
        high: upper end of the difference's interval.
        confidence: of the interval.
        tolerance: loss of NDCG, absolute, that still counts as the same quality.
        verdict: what the interval says.
        capacity_ratio: predicted capacity of the chosen over the rival's.
        measured_capacity_ratio: the same, both served for real.
    """

    rival: str
    difference: Estimate
    low: float
    high: float
    confidence: float = 0.95
    tolerance: float = 0.0
    verdict: Verdict = "undecided"
    capacity_ratio: Estimate | None = None
    measured_capacity_ratio: Estimate | None = None


class LoadPoint(Value, frozen=True):
    """Latency at one offered load.

    Args:
        rate_qps: offered load.
        p50_s: median latency; it and the others mean nothing where not steady.
        p95_s: latency 95 of 100 queries stay below.
        p99_s: latency 99 of 100 queries stay below.
        throughput_qps: answered queries a second.
        steady: false when the queue grew without end.
    """

    rate_qps: float
    p50_s: Estimate
    p95_s: Estimate
    p99_s: Estimate
    throughput_qps: float
    steady: bool


class LoadCurve(Value, frozen=True):
    """Latency over rising load of one path.

    Args:
        name: short enough for a legend.
        role: `chosen` or `baseline`.
        points: rising in load.
        saturation_qps: load from which the queue grows without end; None when not reached.
    """

    name: str
    role: Role
    points: tuple[LoadPoint, ...]
    saturation_qps: float | None = None


class VerificationRow(VerifiedLoad, frozen=True, kw_only=True):
    """Prediction against measurement of one path at one load.

    Args:
        name: of the path, short enough for a table.
        role: `chosen` or `baseline`.
    """

    name: str
    role: Role
