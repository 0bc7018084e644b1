"""What a run found beside the plan: comparisons, latency under load, verification."""

from typing import Literal

from recfunnel.core.results import Estimate
from recfunnel.core.spec import Value
from recfunnel.core.verified import VerifiedLoad
from recfunnel.simulate.load import LoadPoint

Role = Literal["chosen", "baseline"]
Verdict = Literal["same", "better", "worse", "undecided"]


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
