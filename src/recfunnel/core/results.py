"""What was measured or predicted. Every reported mean carries its standard error."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.pareto import is_efficient
from recfunnel.core.pipeline import Path, Pipeline
from recfunnel.core.spec import Value
from recfunnel.core.workload import ServiceLevel

ProfileSource = Literal["measured", "modelled"]


class Estimate(Value, frozen=True):
    """A mean (or quantile) with its standard error.

    Args:
        mean: the value.
        stderr: standard error; 0 for an exact value, inf where one sample gives none.
        num_samples: independent samples behind it.
    """

    mean: float
    stderr: float
    num_samples: int

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Normal confidence interval."""
        half = NormalDist().inv_cdf(0.5 + confidence / 2) * self.stderr
        return self.mean - half, self.mean + half

    @staticmethod
    def of(samples: DoubleArray) -> "Estimate":
        """Mean and standard error of independent samples (N,), N at least 1.

        An infinite sample, such as a latency without end, makes both infinite.
        """
        if not samples.size:
            raise InvalidInput("an estimate needs at least one sample")
        if np.isposinf(samples).any():
            return Estimate(mean=np.inf, stderr=np.inf, num_samples=int(samples.size))
        stderr = float(samples.std(ddof=1) / np.sqrt(samples.size)) if samples.size > 1 else np.inf
        return Estimate(mean=float(samples.mean()), stderr=stderr, num_samples=int(samples.size))

    @staticmethod
    def exact(value: float) -> "Estimate":
        """A value known without error."""
        return Estimate(mean=value, stderr=0.0, num_samples=1)


@dataclass(frozen=True, eq=False, slots=True)
class LatencyProfile:
    """Service time of one model call over batch sizes.

    Args:
        model: its name in the study.
        platform: where.
        num_threads: cores the call used.
        batch_sizes: int64 (B,), rising candidates in a call.
        latency_s: float64 (B, R), R samples of each.
        source: `measured` on this machine or `modelled`.
        notes: what disturbed the measurement, in words.
        runtime: what ran the model; empty where that means nothing.
        fused_sizes: of the batch sizes, those timed inside a call that runs all stages of a
            station: the time is that of scoring and selecting, without the call itself.
    """

    model: str
    platform: str
    num_threads: int
    batch_sizes: IntArray
    latency_s: DoubleArray
    source: ProfileSource
    notes: tuple[str, ...] = ()
    runtime: str = ""
    fused_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if np.any(np.diff(self.batch_sizes) <= 0) or not self.batch_sizes.size:
            raise InvalidInput(f"batch sizes of {self.model!r} must rise and not be empty")
        if self.latency_s.shape[:1] != self.batch_sizes.shape or self.latency_s.ndim != 2:
            raise InvalidInput(
                f"{self.model!r}: {self.batch_sizes.size} batch sizes, latencies of shape "
                f"{self.latency_s.shape}"
            )
        if not (self.latency_s > 0).all():
            raise InvalidInput(f"{self.model!r} has service times that are not above 0")

    def is_fused(self, num_items: int) -> bool:
        """Whether a call with so many items is timed inside a call that runs all stages."""
        if not self.fused_sizes or num_items in self.fused_sizes:
            return bool(self.fused_sizes)
        right = int(np.searchsorted(self.batch_sizes, num_items))
        return right < self.batch_sizes.size and int(self.batch_sizes[right]) in self.fused_sizes

    def samples(self, num_items: int) -> DoubleArray:
        """(R,) rising service times of a call with `num_items`.

        Between measured sizes the sorted samples are interpolated linearly, quantile by quantile.

        Raises:
            InvalidInput: the size is outside what was measured; nothing is extrapolated.
        """
        low, high = int(self.batch_sizes[0]), int(self.batch_sizes[-1])
        if not low <= num_items <= high:
            raise InvalidInput(
                f"{self.model!r} was profiled for {low} to {high} items, asked for {num_items}; "
                "profile that size too"
            )
        right = int(np.searchsorted(self.batch_sizes, num_items))
        ordered = np.sort(self.latency_s[right])
        if int(self.batch_sizes[right]) == num_items:
            return ordered
        left = right - 1
        span = int(self.batch_sizes[right] - self.batch_sizes[left])
        share = (num_items - int(self.batch_sizes[left])) / span
        mixed: DoubleArray = (1 - share) * np.sort(self.latency_s[left]) + share * ordered
        return mixed

    def mean_s(self, num_items: int) -> float:
        """Mean service time of a call with `num_items`."""
        return float(self.samples(num_items).mean())


@dataclass(frozen=True, eq=False, slots=True)
class SimulationResult:
    """One simulated run, warm-up removed.

    Args:
        latency_s: float64 (N,), arrival to answer, in order of arrival.
        utilisation: of each station, 0 to 1.
        throughput_qps: answered queries a second (achieved, not offered).
        steady: false when the queue grew without end; then no quantile means anything.
    """

    latency_s: DoubleArray
    utilisation: tuple[float, ...]
    throughput_qps: float
    steady: bool


class QualityReport(Value, frozen=True):
    """How well a pipeline ranks.

    Args:
        pipeline: what was measured.
        ndcg: mean over queries with a relevant candidate.
        k: length of the list that was judged.
        gain: what a relevance g earns: g itself, or 2^g - 1.
        num_unjudged: queries left out because they have no relevant candidate.
    """

    pipeline: Pipeline
    ndcg: Estimate
    k: int
    gain: Literal["linear", "exponential"] = "linear"
    num_unjudged: int = 0


class Objectives(Value, frozen=True):
    """What a design point achieves.

    Args:
        ndcg: quality.
        tail_latency_s: the service level's quantile at the workload's load; inf when not steady.
        capacity_qps: highest load at which the service level holds.
    """

    ndcg: Estimate
    tail_latency_s: Estimate
    capacity_qps: Estimate

    def as_costs(self) -> tuple[float, float, float]:
        """The three numbers with lower as better, for Pareto comparison."""
        return (-self.ndcg.mean, self.tail_latency_s.mean, -self.capacity_qps.mean)


class DesignPoint(Value, frozen=True):
    """A path with what it achieves."""

    path: Path
    objectives: Objectives


class ParetoFront(Value, frozen=True):
    """Design points of which none is worse than another in everything."""

    points: tuple[DesignPoint, ...]

    def __post_init__(self) -> None:
        costs = np.array([p.objectives.as_costs() for p in self.points]).reshape(-1, 3)
        keep = is_efficient(costs)
        if not keep.all():
            worst = self.points[int(np.flatnonzero(~keep)[0])]
            raise InvalidInput(f"{worst.path.name} is dominated and cannot be on the front")


class Shortfall(Value, frozen=True):
    """Why nothing meets a requirement: an answer, not an error.

    Args:
        requirement: what was asked, such as `p99 latency at 200 queries/s`.
        needed: the bound asked for.
        available: the best that can be had.
        unit: of both numbers.
        remedies: what would help, most promising first.
    """

    requirement: str
    needed: float
    available: float
    unit: str
    remedies: tuple[str, ...] = ()


class ServingPlan(Value, frozen=True):
    """What to deploy, and the field it was chosen from.

    Args:
        chosen: None when nothing meets the target; then `shortfall` says why.
        reason: why this one, in words.
        front: all points of the Pareto front.
        baselines: the simple alternatives, always there, dominated or not.
        service_level: what was promised.
        rate_qps: at what load.
        shortfall: what is missing when infeasible.
        profile_source: whether latencies were measured or modelled.
        content_hash: of everything above and of the models behind it.
    """

    chosen: DesignPoint | None
    reason: str
    front: ParetoFront
    baselines: tuple[DesignPoint, ...]
    service_level: ServiceLevel
    rate_qps: float
    shortfall: Shortfall | None = None
    profile_source: ProfileSource = "measured"
    content_hash: str = ""

    def __post_init__(self) -> None:
        if (self.chosen is None) == (self.shortfall is None):
            raise StudyError("a plan either chooses a design point or says what falls short")
