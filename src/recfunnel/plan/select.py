"""Choose one point of the front for a target."""

from collections.abc import Sequence
from typing import Literal

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Pipeline
from recfunnel.core.results import DesignPoint, Estimate
from recfunnel.core.seeds import rng_for
from recfunnel.core.spec import Value
from recfunnel.core.workload import ServiceLevel
from recfunnel.plan.inputs import QualitySource
from recfunnel.quality.compare import Comparison, compare

Objective = Literal["quality", "capacity"]
"""`quality`: the best ranking that meets the service level at the load. `capacity`: the most load
among rankings statistically equal to that one."""


class Target(Value, frozen=True):
    """A promise at a load, and what to make most of within it.

    Args:
        rate_qps: offered load, queries a second.
        service_level: latency quantile and deadline.
        objective: `quality` or `capacity`.
        tolerance: relative loss of NDCG that still counts as equal, for `capacity`.
    """

    rate_qps: float
    service_level: ServiceLevel
    objective: Objective = "quality"
    tolerance: float = 0.005

    def __post_init__(self) -> None:
        if not 0 < self.rate_qps < float("inf"):
            raise StudyError(f"the load is {self.rate_qps} queries/s, must be above 0 and finite")
        if not 0 <= self.tolerance < 1:
            raise StudyError(f"the tolerance is {self.tolerance}, must be 0 to below 1")

    @property
    def name(self) -> str:
        """In words, such as `p99 within 25 ms at 200 queries/s`."""
        return f"{level_name(self.service_level)} at {self.rate_qps:g} queries/s"


def level_name(level: ServiceLevel) -> str:
    """A service level in words, such as `p99 within 25 ms`."""
    return f"p{100 * level.quantile:g} within {1000 * level.deadline_s:g} ms"


class PairedTests:
    """Compares pipelines query by query; each pipeline is ranked once.

    Args:
        quality: of any pipeline.
        seed: of the study.
        tolerance: relative loss that still counts as equal.
    """

    def __init__(self, quality: QualitySource, seed: int, tolerance: float) -> None:
        self._quality = quality
        self._seed = seed
        self._tolerance = tolerance
        self._ndcg: dict[Pipeline, DoubleArray] = {}

    def compare(self, reference: Pipeline, challenger: Pipeline) -> Comparison:
        """Paired bootstrap over queries; the same pair gives the same answer."""
        rng = rng_for(self._seed, "compare", reference.name, challenger.name)
        return compare(self._of(reference), self._of(challenger), rng, self._tolerance)

    def equal_enough(self, best: Pipeline, other: Pipeline) -> bool:
        """The interval of the relative difference excludes a loss larger than the tolerance."""
        lost = float(self._of(best).mean() - self._of(other).mean())
        if lost > self._tolerance * float(self._of(best).mean()):
            return False  # then the interval cannot exclude it
        return best == other or self.compare(best, other).within_tolerance

    def alike(self, best: Pipeline, other: Pipeline, *, strict: bool) -> bool:
        """Within the tolerance; when strict, not to be told from the best either."""
        if strict and not self.indistinguishable(best, other):
            return False
        return self.equal_enough(best, other)

    def indistinguishable(self, best: Pipeline, other: Pipeline) -> bool:
        """The interval of the difference reaches 0: the queries do not tell which is better."""
        difference = Estimate.of(self._of(other) - self._of(best))
        if difference.mean < -4 * difference.stderr:
            return False  # far outside; not worth a bootstrap
        return best == other or self.compare(best, other).interval[1] >= 0

    def _of(self, pipeline: Pipeline) -> DoubleArray:
        if pipeline not in self._ndcg:
            self._ndcg[pipeline] = self._quality.ndcg(pipeline)
        return self._ndcg[pipeline]


def meets(point: DesignPoint, target: Target) -> bool:
    """Whether a point's tail at the load is within the deadline."""
    return point.objectives.tail_latency_s.mean <= target.service_level.deadline_s


def choose(points: Sequence[DesignPoint], target: Target, tests: PairedTests) -> DesignPoint | None:
    """The point to deploy, or None when the target cannot be met.

    The best is the point of highest NDCG of those that meet the deadline at the load. `quality`:
    the best, or the one of most capacity that the queries cannot tell from it (the paired 95 %
    interval of the difference reaches 0) and that shows to be within the tolerance. `capacity`:
    the one of most capacity whose loss against the best is shown to be within the tolerance (the
    interval excludes a larger one).

    Args:
        points: of the front.
        target: what to achieve.
        tests: compare pipelines.

    Returns:
        One of the points.
    """
    able = [point for point in points if meets(point, target)]
    if not able:
        return None
    best = max(able, key=lambda p: (p.objectives.ndcg.mean, p.objectives.capacity_qps.mean))
    strict = target.objective == "quality"
    by_capacity = sorted(able, key=lambda p: (-p.objectives.capacity_qps.mean, p.path.name))
    return next(
        (p for p in by_capacity if tests.alike(best.path.pipeline, p.path.pipeline, strict=strict)),
        best,
    )
