"""Our model of the accelerator under the loads of figures 12 and 13.

At each load the best mapping and number of sub-batches is shown. Only those are simulated that no
other of their kind beats both alone and at capacity: under load the order lies between the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.pareto import is_efficient
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import Estimate
from recfunnel.hardware.accel.times import UnitTimes
from recfunnel.hardware.artifact.mappings import PIPELINES, all_mappings, mapping
from recfunnel.report.recpipe import OursRow
from recfunnel.simulate.accel_load import AccelLoad
from recfunnel.study.recpipe.our_model import SUB_BATCHES, alone_s, capacity_qps, times_with
from recfunnel.study.recpipe.under_load import Effort, arrivals

MOST_QUERIES = 5_000
"""Of a replication; the units of a query are simulated one sub-batch at a time."""

ONE_ARRAY, PARTED = "one array", "one stage, parted"


@dataclass(frozen=True, slots=True)
class Kind:
    """Mappings of which the best is shown.

    Args:
        name: of them all.
        fissions: of each.
        items: each stage reads.
    """

    name: str
    fissions: tuple[tuple[int, ...], ...]
    items: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One mapping with one number of sub-batches."""

    fission: tuple[int, ...]
    sub_batches: int
    times: UnitTimes
    alone_s: float
    capacity_qps: float


def kinds_of_figure_12() -> tuple[Kind, ...]:
    """One array, the parted single stage that the figure leaves out, two and three stages."""
    items = {number: tuple(count for _, count in own) for number, own in PIPELINES.items()}
    several = [tuple(f for f in all_mappings() if len(f) == number) for number in (2, 3)]
    return (
        Kind(ONE_ARRAY, ((1,),), items[1]),
        Kind(PARTED, ((4,), (16,), (64,)), items[1]),
        Kind("2 stages", several[0], items[2]),
        Kind("3 stages", several[1], items[3]),
    )


def kinds_of_figure_13(items: Sequence[tuple[int, ...]]) -> tuple[Kind, ...]:
    """Single stages on any part, and two stages, for every number of items."""
    two = tuple(f for f in all_mappings() if len(f) == 2)
    return tuple(
        Kind(f"{len(each)} stages", two if len(each) == 2 else ((1,), (4,), (16,), (64,)), each)
        for each in items
    )


def ours_rows(
    kinds: Sequence[Kind], rates_qps: Sequence[float], effort: Effort, progress: Progress = SILENT
) -> tuple[OursRow, ...]:
    """The best of each kind at every load.

    Args:
        kinds: of mappings.
        rates_qps: loads.
        effort: how much is simulated, at most `MOST_QUERIES` a replication.
        progress: told about kinds.

    Returns:
        A row for each kind and load.
    """
    unit_times = arrivals(effort)[:, :MOST_QUERIES]
    rows = []
    for kind in progress.track(list(kinds), "our model under load"):
        tried = [(c, AccelLoad(c.times, unit_times)) for c in candidates(kind)]
        rows += [_best(kind, rate_qps, tried) for rate_qps in rates_qps]
    return tuple(rows)


def candidates(kind: Kind) -> tuple[Candidate, ...]:
    """Those that no other beats both alone and at capacity."""
    every = [
        _candidate(fission, kind.items, sub_batches)
        for fission in kind.fissions
        for sub_batches in SUB_BATCHES
    ]
    costs: DoubleArray = np.array([[each.alone_s, -each.capacity_qps] for each in every])
    kept = is_efficient(costs)
    return tuple(each for each, keep in zip(every, kept, strict=True) if keep)


def _candidate(fission: tuple[int, ...], items: tuple[int, ...], sub_batches: int) -> Candidate:
    times = times_with(mapping(fission, items), sub_batches)
    return Candidate(fission, sub_batches, times, alone_s(times), capacity_qps(times))


def _best(kind: Kind, rate_qps: float, tried: Sequence[tuple[Candidate, AccelLoad]]) -> OursRow:
    able = [(c, load.at(rate_qps)) for c, load in tried if c.capacity_qps > rate_qps]
    unable = Estimate(mean=np.inf, stderr=0.0, num_samples=tried[0][1].num_replications)
    if not able:
        return OursRow(
            kind=kind.name,
            items=kind.items,
            rate_qps=rate_qps,
            fission=(),
            sub_batches=0,
            p95_s=unable,
            p99_s=unable,
        )
    chosen, point = min(able, key=lambda pair: pair[1].p99_s.mean)
    return OursRow(
        kind=kind.name,
        items=kind.items,
        rate_qps=rate_qps,
        fission=chosen.fission,
        sub_batches=chosen.sub_batches,
        p95_s=point.p95_s,
        p99_s=point.p99_s,
    )
