"""Predictions held against the path executed for real.

The prediction is the simulator fed by measured profiles; the measurement is the engine under
open-loop load. Both see the same kinds of arrivals and query sizes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Path
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import Estimate
from recfunnel.core.seeds import rng_for
from recfunnel.core.spec import Value
from recfunnel.core.verified import VerifiedLoad
from recfunnel.core.workload import ArrivalsSpec, QuerySizesSpec
from recfunnel.plan.prediction import Prediction
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.served import OpenLoad, ServedRun

_WARMUP_SHARE = 0.1
_MOST_STRETCH = 4.0


class Verification(Value, frozen=True):
    """One path, executed for real at several loads.

    Args:
        path: what was executed.
        capacity_qps: predicted capacity that the loads are fractions of.
        loads: rising.
    """

    path: Path
    capacity_qps: float
    loads: tuple[VerifiedLoad, ...]

    def worst_p99_error(self, up_to_fraction: float = 0.7) -> float:
        """Largest absolute error of the 99th percentile at loads up to a fraction; nan if none."""
        errors = [abs(x.p99_error) for x in self.loads if x.load_fraction <= up_to_fraction + 1e-9]
        return max(errors, default=math.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How a path is executed for real.

    Args:
        load_fractions: of predicted capacity.
        seconds: least length of a run.
        min_queries: of a run; at low loads it runs longer for them, at most four times as long.
        repeats: runs of each load; their median is compared.
        extra_runs: of each load, at most, in place of polluted ones.
        seed: of arrivals, sizes and queries.
    """

    load_fractions: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
    seconds: float = 5.0
    min_queries: int = 1000
    repeats: int = 3
    extra_runs: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.load_fractions or min(self.load_fractions) <= 0:
            raise StudyError(f"load fractions are {self.load_fractions}; give some above 0")
        if self.seconds <= 0 or self.repeats < 1:
            raise StudyError("a trial needs seconds above 0 and at least 1 repeat")

    def length_s(self, rate_qps: float) -> float:
        """Length of a run at a load."""
        return min(max(self.seconds, self.min_queries / rate_qps), _MOST_STRETCH * self.seconds)


def verify_path(
    engine: Engine,
    path: Path,
    prediction: Prediction,
    capacity_qps: float,
    num_queries: int,
    arrivals: ArrivalsSpec,
    sizes: QuerySizesSpec,
    trial: Trial,
    progress: Progress = SILENT,
) -> Verification:
    """Execute a path at each load and compare.

    Runs of all loads alternate, so that a slow minute falls on all of them; polluted runs are run
    again a few times, and a load of which none was clean is marked.

    Args:
        engine: prepares the path anew.
        path: to execute.
        prediction: of the same path.
        capacity_qps: what load fractions are of.
        num_queries: rows of the engine's query set, from which queries are drawn evenly.
        arrivals: when queries come.
        sizes: how many candidates they bring.
        trial: loads, length and repeats.
        progress: told about runs.

    Returns:
        Predicted against measured.

    Raises:
        WorkerError: a process died, failed or fell silent.
    """
    engine.prepare(path)
    runs: dict[float, list[ServedRun]] = {fraction: [] for fraction in trial.load_fractions}

    def execute(fraction: float) -> None:
        number = len(runs[fraction])
        rng = rng_for(trial.seed, "trial", f"{fraction:.6f}", number)
        rate_qps = fraction * capacity_qps
        kept = math.ceil(rate_qps * trial.length_s(rate_qps))
        load = open_load(rate_qps, kept, num_queries, arrivals, sizes, rng)
        runs[fraction].append(engine.run(load))

    planned = [f for _ in range(trial.repeats) for f in trial.load_fractions]
    for fraction in progress.track(planned, "verify"):
        execute(fraction)
    for fraction, done in runs.items():
        for _ in range(trial.extra_runs):
            if sum(not run.polluted for run in done) >= trial.repeats:
                break
            progress.log(f"verify: {fraction:.0%} load was disturbed; running it again")
            execute(fraction)
    loads = [_compare(f, f * capacity_qps, prediction, done) for f, done in sorted(runs.items())]
    return Verification(path=path, capacity_qps=capacity_qps, loads=tuple(loads))


def median_of(values: Sequence[float]) -> Estimate:
    """Median of repeated runs, with its standard error (that of a mean, times sqrt(pi / 2)).

    The factor is the asymptotic one of normal samples (Kenney and Keeping 1962).
    """
    samples = np.array(values, np.float64)
    if not np.isfinite(samples).all():
        return Estimate(mean=float(np.median(samples)), stderr=math.inf, num_samples=samples.size)
    stderr = Estimate.of(samples).stderr * (math.sqrt(math.pi / 2) if samples.size > 2 else 1.0)
    return Estimate(mean=float(np.median(samples)), stderr=stderr, num_samples=samples.size)


def open_load(
    rate_qps: float,
    num_kept: int,
    num_rows: int,
    arrivals: ArrivalsSpec,
    sizes: QuerySizesSpec,
    rng: np.random.Generator,
) -> OpenLoad:
    """Queries to execute at a load, a tenth more than asked for as warm-up.

    Args:
        rate_qps: offered load.
        num_kept: queries after the warm-up.
        num_rows: of the query set, from which queries are drawn evenly.
        arrivals: when they come.
        sizes: how many candidates they bring.
        rng: draws.

    Returns:
        The load.
    """
    warmup = math.ceil(_WARMUP_SHARE * num_kept)
    count = num_kept + warmup
    return OpenLoad(
        arrival_s=arrivals.unit_times(count, rng) / rate_qps,
        query_rows=rng.integers(num_rows, size=count),
        fraction=sizes.fractions(count, rng),
        warmup=warmup,
    )


def _compare(
    fraction: float, rate_qps: float, prediction: Prediction, runs: Sequence[ServedRun]
) -> VerifiedLoad:
    clean = [run for run in runs if not run.polluted]
    counted = clean or list(runs)
    point = prediction.at(rate_qps)
    notes = [note for run in counted for note in run.notes]
    if len(clean) < len(runs):
        worst = max((r.disturbance.words for r in runs if r.polluted), default="")
        notes.append(f"{len(runs) - len(clean)} of {len(runs)} runs were disturbed: {worst}")
    return VerifiedLoad(
        load_fraction=fraction,
        rate_qps=rate_qps,
        predicted_p50_s=point.p50_s,
        measured_p50_s=median_of([run.quantile_s(0.5) for run in counted]),
        predicted_p99_s=point.p99_s,
        measured_p99_s=median_of([run.quantile_s(0.99) for run in counted]),
        predicted_throughput_qps=point.throughput_qps,
        measured_throughput_qps=median_of([run.throughput_qps for run in counted]),
        num_queries=sum(run.latency_s.size for run in counted),
        polluted=not clean,
        notes=tuple(dict.fromkeys(notes)),
    )
