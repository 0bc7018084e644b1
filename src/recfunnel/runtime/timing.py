"""Timed calls in a worker process: the very calls that serving makes, one by one."""

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.dataset import QuerySet
from recfunnel.core.features import Features
from recfunnel.core.pipeline import Pipeline, Stage
from recfunnel.runtime.base import LoadedModel
from recfunnel.runtime.cascade import Cascade
from recfunnel.runtime.clock import now_s
from recfunnel.runtime.messages import Call, TimeCalls, Timed
from recfunnel.runtime.server import stored_question

TOP_K = "top_k"
"""Name of a call that is a stage without its model: excluding, selecting, ordering, gathering."""

_LONGEST_PAUSE_S = 0.02
_USUAL_KEEP = 256
_WARM_UP_S = 0.05
_WARM_UP_CALLS = 3


def time_calls(command: TimeCalls, models: Mapping[str, LoadedModel], queries: QuerySet) -> Timed:
    """Make the calls in order until done or out of time."""
    rng = np.random.default_rng(command.seed)
    seconds: list[float] = []
    disturbed: list[bool] = []
    for start in range(0, len(command.calls), command.group):
        if now_s() > command.until_s:
            break
        # All of a group is made ready first: candidates were at hand in serving, too.
        group = command.calls[start : start + command.group]
        ready = [_ready_call(call, models, queries, rng) for call in group]
        for work in ready:
            taken_s, switched = _timed(work)
            seconds.append(taken_s)
            disturbed.append(switched)
        _rest(command.idle_ratio * sum(seconds[start:]), rng)
    return Timed(np.array(seconds), np.array(disturbed, np.bool_))


def _rest(mean_s: float, rng: np.random.Generator) -> None:
    if mean_s:
        time.sleep(min(_LONGEST_PAUSE_S, rng.exponential(mean_s)))


def warm_up(names: tuple[str, ...], models: Mapping[str, LoadedModel], queries: QuerySet) -> None:
    """Call each model on real queries until its first slow calls are over."""
    rng = np.random.default_rng(0)
    for name in names:
        began = perf_counter()
        for number in range(50):
            call = Call(name, queries.num_columns, number % len(queries))
            _ready_call(call, models, queries, rng)()
            if number + 1 >= _WARM_UP_CALLS and perf_counter() - began > _WARM_UP_S:
                break


def _timed(work: Callable[[], object]) -> tuple[float, bool]:
    switches = _lost_core()
    began = perf_counter()
    work()
    return perf_counter() - began, _lost_core() > switches


def _lost_core() -> int:
    """Times the scheduler took the core from this thread while it had work to do."""
    who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
    return resource.getrusage(who).ru_nivcsw


def _ready_call(
    call: Call, models: Mapping[str, LoadedModel], queries: QuerySet, rng: np.random.Generator
) -> Callable[[], object]:
    """Everything of a call but the call itself, which the returned function makes."""
    question = stored_question(queries, call.query)
    if call.model == TOP_K:
        stage = Stage(model=TOP_K, num_in=call.num_items, num_out=min(call.num_items, _USUAL_KEEP))
        scores = rng.normal(size=(1, call.num_items)).astype(np.float32)
        cascade = Cascade(
            Pipeline(stages=(stage,)), {TOP_K: _Recalled(scores)}, len(queries.items), {TOP_K: ()}
        )
        return lambda: cascade.run_stage(0, question, None)
    model = models[call.model]
    rows = _candidate_rows(queries, call, rng)
    given = None
    if model.score_inputs:
        shape = (1, call.num_items, len(model.score_inputs))
        given = rng.normal(size=shape).astype(np.float32)
    return lambda: model.score(question.context, rows, given)


def _candidate_rows(queries: QuerySet, call: Call, rng: np.random.Generator) -> IntArray | None:
    """Item rows as a stage would pass them: rising columns; None for the whole catalogue."""
    whole = queries.num_columns == call.num_items
    if whole and queries.candidates is None:
        return None
    columns = np.sort(rng.choice(queries.num_columns, call.num_items, replace=False))
    rows = columns if queries.candidates is None else queries.candidates[call.query, columns]
    return rows[np.newaxis]


@dataclass(frozen=True, eq=False, slots=True)
class _Recalled:
    """A model that has its scores already."""

    scores: FloatArray
    name: str = TOP_K
    score_inputs: tuple[str, ...] = ()

    def score(
        self, context: Features, candidates: IntArray | None, given: FloatArray | None = None
    ) -> FloatArray:
        del context, candidates, given
        return self.scores
