"""Published mappings under load: published model, corrected model, and what was logged."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import Estimate
from recfunnel.core.seeds import rng_for
from recfunnel.core.spec import Value
from recfunnel.hardware.artifact.faults import CORRECTED, PUBLISHED, Faults
from recfunnel.hardware.artifact.mappings import mapping
from recfunnel.hardware.artifact.timing import capacity_qps, service_times
from recfunnel.report.recpipe import LoadRow
from recfunnel.simulate.load import TandemLoad
from recfunnel.study.recpipe.emulation import NOT_SLEEPING, Sleeping, emulated_latency_s
from recfunnel.study.recpipe.published import NUM_QUERIES, Logged
from recfunnel.workload.poisson import Poisson


class Effort(Value, frozen=True):
    """How much is simulated.

    Args:
        num_queries: of a replication.
        num_replications: at least 2, so that there is an interval.
        seed: of all draws.
    """

    num_queries: int = NUM_QUERIES
    num_replications: int = 5
    seed: int = 1

    def __post_init__(self) -> None:
        if self.num_queries < 100 or self.num_replications < 2:
            raise StudyError(
                f"{self.num_queries} queries in {self.num_replications} replications; "
                "give at least 100 queries and 2 replications"
            )


@dataclass(frozen=True, slots=True)
class Mapped:
    """A published mapping with its service times under some faults."""

    fission: tuple[int, ...]
    service_s: tuple[float, ...]
    num_engines: tuple[int, ...]
    capacity_qps: float


def mapped(
    fission: Sequence[int],
    items: Sequence[int] | None = None,
    faults: Faults = PUBLISHED,
    *,
    host_sort: bool = False,
) -> Mapped:
    """Price a published mapping.

    Raises:
        StudyError: no such mapping.
    """
    stages = mapping(fission, items)
    times = service_times(stages, faults, host_sort=host_sort)
    return Mapped(
        fission=tuple(fission),
        service_s=tuple(time.total_s for time in times),
        num_engines=tuple(stage.num_engines for stage in stages),
        capacity_qps=capacity_qps(stages, times),
    )


def arrivals(effort: Effort) -> DoubleArray:
    """(R, N), exponential gaps at 1 query/s; every mapping and load sees the same."""
    draws = (rng_for(effort.seed, "recpipe", r) for r in range(effort.num_replications))
    return np.array([Poisson().unit_times(effort.num_queries, rng) for rng in draws])


def tandem(priced: Mapped, unit_times: DoubleArray) -> TandemLoad:
    """A mapping as stations, each query with the same constant service times."""
    num_replications, num_queries = unit_times.shape
    shape = (num_replications, len(priced.service_s), num_queries)
    service_s = np.broadcast_to(np.array(priced.service_s)[:, np.newaxis], shape)
    return TandemLoad(unit_times, service_s, priced.num_engines)


def load_rows(
    runs: Sequence[Logged], effort: Effort, progress: Progress = SILENT
) -> tuple[LoadRow, ...]:
    """Every logged run again.

    Args:
        runs: of the authors.
        effort: how much is simulated.
        progress: told about mappings.

    Returns:
        One row a run, in their order.
    """
    unit_times = arrivals(effort)
    rows = []
    groups = [(key, list(group)) for key, group in groupby(runs, _mapping_of)]
    for (fission, items), group in progress.track(groups, "mappings under load"):
        theirs, corrected = (
            tandem(mapped(fission, items, faults), unit_times) for faults in (PUBLISHED, CORRECTED)
        )
        rows += [_row(run, theirs, corrected, effort) for run in group]
    return tuple(rows)


def _mapping_of(run: Logged) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return run.fission, run.items


def _row(run: Logged, theirs: TandemLoad, corrected: TandemLoad, effort: Effort) -> LoadRow:
    published, ours = theirs.at(run.rate_qps), corrected.at(run.rate_qps)
    return LoadRow(
        num_stages=len(run.fission),
        items=run.items,
        fission=run.fission,
        rate_qps=run.rate_qps,
        service_s=float(theirs.service_s[0, :, 0].sum()),
        corrected_service_s=float(corrected.service_s[0, :, 0].sum()),
        logged_p95_s=run.p95_s,
        logged_qps=run.achieved_qps,
        logged_saturated=run.saturated,
        emulated_p95_s=_emulated(run, theirs, effort, Sleeping()),
        gaps_p95_s=_emulated(run, theirs, effort, NOT_SLEEPING),
        p95_s=published.p95_s,
        p99_s=published.p99_s,
        corrected_p95_s=ours.p95_s,
        corrected_p99_s=ours.p99_s,
    )


def _emulated(run: Logged, load: TandemLoad, effort: Effort, sleeping: Sleeping) -> Estimate:
    """p95 as they take it: of all queries of a run of their length."""
    samples = []
    for replication in range(effort.num_replications):
        rng = rng_for(effort.seed, "recpipe gaps", replication, int(100 * run.gap_ms))
        latency_s = emulated_latency_s(
            load.service_s[0, :, 0].tolist(),
            load.num_servers,
            run.gap_ms,
            NUM_QUERIES,
            rng,
            sleeping,
        )
        samples.append(np.percentile(latency_s, 95))
    return Estimate.of(np.array(samples))
