"""What an engine of several paths is asked, what really happened, and the memory between.

Letters: N queries, P paths, K items answered at most.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput
from recfunnel.core.workload import check_times
from recfunnel.runtime.arena import Arena, Field, Layout, slot_fields
from recfunnel.runtime.clock import now_s
from recfunnel.runtime.noise import LATE_LIMIT_S, Disturbance
from recfunnel.runtime.paths_messages import MAX_STEPS
from recfunnel.schedule.outcome import Events, Outcome

_LEAD_S = 0.1
"""Between telling everybody and the first query."""


@dataclass(frozen=True, eq=False, slots=True)
class SizedLoad:
    """N queries with their times and sizes.

    Args:
        arrival_s: float64 (N,), never falling, from the start of the run.
        query_rows: int64 (N,), which query of the query set each one asks.
        num_candidates: int64 (N,), how many of its candidates, from the first one on.
    """

    arrival_s: DoubleArray
    query_rows: IntArray
    num_candidates: IntArray

    def __post_init__(self) -> None:
        check_times(self.arrival_s)
        shapes = {self.arrival_s.shape, self.query_rows.shape, self.num_candidates.shape}
        if len(shapes) != 1 or not self.arrival_s.size:
            raise InvalidInput(
                f"{self.arrival_s.size} times for {self.query_rows.size} queries of "
                f"{self.num_candidates.size} sizes; give as many of each, at least 1"
            )
        if self.num_candidates.min() < 1:
            raise InvalidInput("a query brings no candidate; give each at least 1")

    def __len__(self) -> int:
        return int(self.arrival_s.size)


@dataclass(frozen=True, eq=False, slots=True)
class PathsRun:
    """One run of several paths.

    Args:
        outcome: path, latency and work of each query; latency ends when the last part is answered,
            by the clock of its server.
        events: as the dispatcher saw them; simulated again, they lead to the same choices.
        answers: int32 (N, K), columns, best first; -1 where there are fewer.
        lag_s: float64 (N,), from the due time of a query until the dispatcher had decided.
        decision_s: float64 (N,), of that, what deciding and starting took.
        disturbance: of the machine meanwhile.
        notes: what could not be had, in words.
    """

    outcome: Outcome
    events: Events
    answers: NDArray[np.int32]
    lag_s: DoubleArray
    decision_s: DoubleArray
    disturbance: Disturbance
    notes: tuple[str, ...] = ()

    @property
    def polluted(self) -> bool:
        """Whether something else took part of the machine, or queries were let in late."""
        late = bool(np.nanquantile(self.lag_s, 0.99) > LATE_LIMIT_S)
        return self.disturbance.polluted or late


def paths_layout(num_queries: int, num_out: int, most_kept: int, most_scores: int) -> Layout:
    """What one run shares.

    Args:
        num_queries: N.
        num_out: K.
        most_kept: candidates that any station hands on; 0 where all paths have one station.
        most_scores: models whose scores go with them.
    """
    steps = (num_queries, MAX_STEPS)
    return Layout(
        (
            *slot_fields(0, num_queries, most_kept, most_scores),
            Field("give_up_s", "float64", (1,)),
            Field("start_s", "float64", (1,)),
            Field("arrival_s", "float64", (num_queries,)),
            Field("query_rows", "int64", (num_queries,)),
            Field("num_candidates", "int64", (num_queries,)),
            Field("path", "int64", (num_queries,)),
            Field("num_parts", "int64", (num_queries,)),
            Field("seen_s", "float64", (num_queries,)),
            Field("decision_s", "float64", (num_queries,)),
            Field("told_s", "float64", steps),
            Field("heard_s", "float64", steps),
            Field("begin_s", "float64", steps),
            Field("finish_s", "float64", steps),
            Field("answer", "int32", (*steps, num_out)),
            Field("score", "float32", (*steps, num_out)),
        )
    )


def write_load(arena: Arena, load: SizedLoad, drain_s: float) -> float:
    """Fill in who asks when, starting a moment from now.

    Args:
        arena: of the run.
        load: queries and their times.
        drain_s: after the last arrival, how long queries may still be answered.

    Returns:
        When the run is given up, on the monotonic clock.
    """
    for name in ("seen_s", "decision_s", "told_s", "heard_s", "begin_s", "finish_s"):
        arena[name][...] = np.nan
    arena["answer"][...] = -1
    arena["path"][...] = -1
    arena["num_parts"][...] = 1
    arena["arrival_s"][:] = load.arrival_s
    arena["query_rows"][:] = load.query_rows
    arena["num_candidates"][:] = load.num_candidates
    start_s = now_s() + _LEAD_S
    give_up_s = start_s + float(load.arrival_s[-1]) + drain_s
    arena["start_s"][0], arena["give_up_s"][0] = start_s, give_up_s
    return give_up_s


def read_paths_run(
    arena: Arena,
    load: SizedLoad,
    num_stations: IntArray,
    disturbed: Disturbance,
    notes: tuple[str, ...],
) -> PathsRun:
    """What happened.

    Args:
        arena: of the run, when all processes are done with it.
        load: that was served.
        num_stations: (P,), of each path.
        disturbed: the machine meanwhile.
        notes: what could not be had.

    Returns:
        The run; queries that were not answered before it was given up have infinite latency.
    """
    num_parts, path = arena["num_parts"].copy(), arena["path"].copy()
    num_steps = np.where(path >= 0, np.maximum(num_parts, num_stations[path]), 1)
    wanted = np.arange(MAX_STEPS) < num_steps[:, np.newaxis]
    finish_s = np.where(wanted, arena["finish_s"], -np.inf)
    ends_s = finish_s.max(axis=1) - arena["start_s"][0]
    answered = ~np.isnan(ends_s) & (path >= 0)
    work_s = np.nansum(np.where(wanted, arena["finish_s"] - arena["begin_s"], 0.0), axis=1)
    outcome = Outcome(
        arrival_s=load.arrival_s,
        num_candidates=load.num_candidates,
        path=path,
        latency_s=np.where(answered, ends_s - load.arrival_s, np.inf),
        work_s=work_s,
        num_parts=num_parts,
    )
    seen_s = arena["seen_s"].copy()
    events = Events(seen_s, arena["heard_s"] - arena["told_s"])
    return PathsRun(
        outcome=outcome,
        events=events,
        answers=_merged(arena, num_parts),
        lag_s=seen_s - load.arrival_s + arena["decision_s"],
        decision_s=arena["decision_s"].copy(),
        disturbance=disturbed,
        notes=notes,
    )


def _merged(arena: Arena, num_parts: IntArray) -> NDArray[np.int32]:
    """The best of all parts; ties go to the lower column, as in a whole query."""
    answers: NDArray[np.int32] = arena["answer"][:, 0].copy()
    num_out = answers.shape[1]
    for query in np.flatnonzero(num_parts > 1):
        columns = arena["answer"][query].ravel()
        order = np.lexsort((columns, -arena["score"][query].ravel(), columns < 0))[:num_out]
        answers[query] = columns[order]
    return answers
