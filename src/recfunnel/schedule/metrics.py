"""What a run under a policy delivered.

Throughput of correct predictions (TCP) is samples a second times accuracy, as MP-Rec states it. It
is nearly blind to quality: always saying no earns most of it. So the same with the accuracy above
the trivial predictor's stands beside it, and quality delivered under the target before both.

Letters: R replications, N queries, P paths.
"""

from collections.abc import Callable, Sequence

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.results import Estimate
from recfunnel.core.servable import PathMenu
from recfunnel.core.spec import Value
from recfunnel.schedule.outcome import Outcome


class PathUse(Value, frozen=True):
    """How much one path was used.

    Args:
        path: its name.
        share_of_queries: of all that arrived, 0 to 1.
        share_of_work: of the servers' time, 0 to 1.
    """

    path: str
    share_of_queries: Estimate
    share_of_work: Estimate


class Delivered(Value, frozen=True):
    """What arrived in time, and how good it was; over replications.

    Args:
        delivered_quality: mean over all queries of the quality of their path, 0 where late or
            never answered.
        served_quality: mean quality over answered queries, late ones too; 0 where a run has none.
        violation_rate: share of queries late or never answered.
        shed_rate: share turned away; part of the violations.
        goodput_qps: queries a second answered in time.
        tcp_per_s: samples answered a second times the accuracy of their path, late ones too.
        tcp_in_time_per_s: the same of those in time.
        corrected_tcp_per_s: `tcp_in_time_per_s` with the trivial predictor's accuracy taken off.
        p99_s: 99th percentile of latency; inf where a run never answered more than 1 %.
        paths: use of each.
    """

    delivered_quality: Estimate
    served_quality: Estimate
    violation_rate: Estimate
    shed_rate: Estimate
    goodput_qps: Estimate
    tcp_per_s: Estimate
    tcp_in_time_per_s: Estimate
    corrected_tcp_per_s: Estimate
    p99_s: Estimate
    paths: tuple[PathUse, ...]


def delivered(
    menu: PathMenu, runs: Sequence[Outcome], deadline_s: float, trivial_quality: float = 0.0
) -> Delivered:
    """Measure independent replications.

    Rates are taken over the time from the first arrival to the last answer or arrival.

    Args:
        menu: the paths the runs chose from; their quality is an accuracy where TCP means anything.
        runs: R outcomes.
        deadline_s: from due time to answer.
        trivial_quality: accuracy of the predictor that always says the more common thing.

    Returns:
        Estimates over replications.

    Raises:
        StudyError: there is no run.
    """
    if not runs:
        raise StudyError("nothing was delivered: give at least one run")

    def over(figure: Callable[[Outcome], float]) -> Estimate:
        values = np.array([figure(run) for run in runs])
        if not np.isfinite(values).all():
            return Estimate(mean=float(values.sum()), stderr=0.0, num_samples=values.size)
        return Estimate.of(values)

    quality = np.array([path.quality for path in menu.paths])
    above = np.maximum(quality - trivial_quality, 0.0)

    def in_time(run: Outcome) -> BoolArray:
        return run.latency_s <= deadline_s

    return Delivered(
        delivered_quality=over(lambda run: float((quality[run.path] * in_time(run)).mean())),
        served_quality=over(lambda run: _mean(quality[run.path][run.answered])),
        violation_rate=over(lambda run: float(1.0 - in_time(run).mean())),
        shed_rate=over(lambda run: float((run.path < 0).mean())),
        goodput_qps=over(lambda run: float(in_time(run).sum()) / _span_s(run)),
        tcp_per_s=over(lambda run: _samples_per_s(run, run.answered, quality)),
        tcp_in_time_per_s=over(lambda run: _samples_per_s(run, in_time(run), quality)),
        corrected_tcp_per_s=over(lambda run: _samples_per_s(run, in_time(run), above)),
        p99_s=over(_p99_s),
        paths=tuple(
            PathUse(
                path=path.name,
                share_of_queries=over(lambda run, own=own: float((run.path == own).mean())),  # type: ignore[misc]
                share_of_work=over(lambda run, own=own: _work_share(run, own)),  # type: ignore[misc]
            )
            for own, path in enumerate(menu.paths)
        ),
    )


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Mean and standard error of first - second over replications of the same arrivals.

    Raises:
        StudyError: they differ in number.
    """
    if len(first) != len(second):
        raise StudyError(f"{len(first)} runs cannot be paired with {len(second)}")
    return Estimate.of(np.array(first) - np.array(second))


def delivered_quality(menu: PathMenu, run: Outcome, deadline_s: float) -> float:
    """Mean quality over all queries of one run, 0 where late or never answered."""
    quality = np.array([path.quality for path in menu.paths])
    return float((quality[run.path] * (run.latency_s <= deadline_s)).mean())


def _samples_per_s(run: Outcome, counted: BoolArray, worth: DoubleArray) -> float:
    return float((run.num_candidates * worth[run.path])[counted].sum()) / _span_s(run)


def _span_s(run: Outcome) -> float:
    ends = (run.arrival_s + run.latency_s)[run.answered]
    end_s = max(float(run.arrival_s[-1]), float(ends.max()) if ends.size else 0.0)
    return max(end_s - float(run.arrival_s[0]), 1e-12)


def _p99_s(run: Outcome) -> float:
    return float(np.quantile(run.latency_s, 0.99, method="higher"))


def _work_share(run: Outcome, path: int) -> float:
    total_s = float(run.work_s.sum())
    return float(run.work_s[run.path == path].sum()) / total_s if total_s else 0.0


def _mean(values: DoubleArray) -> float:
    return float(values.mean()) if values.size else 0.0
