"""Timed calls in a worker process: the very calls that serving makes, one by one.

A model whose runtime runs all stages of a station in one call is timed inside such a call, by that
call's own clock; the rest of the call is timed on its own, so that stages and call add up.
"""

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Features
from recfunnel.core.pipeline import Pipeline, Stage
from recfunnel.runtime.base import LoadedModel
from recfunnel.runtime.cascade import Cascade, OneByOne, Question, StageRunner, Survivors
from recfunnel.runtime.clock import now_s
from recfunnel.runtime.messages import Call, TimeCalls, Timed
from recfunnel.runtime.runner import quickest
from recfunnel.runtime.server import stored_question

TOP_K = "top_k"
"""Name of a call that is a stage without its model: excluding, selecting, ordering, gathering."""

FUSED_CALL = "fused_call"
"""Name of a call that runs all stages of a station, without those stages: taking in a query's
candidates, handing out its answer."""

_LONGEST_PAUSE_S = 0.02
_USUAL_KEEP = 256
_WARM_UP_S = 0.05
_WARM_UP_CALLS = 3

Work = Callable[[], float | None]
"""A call; it returns the seconds it took where it has a clock of its own."""


def time_calls(command: TimeCalls, models: Mapping[str, LoadedModel], queries: QuerySet) -> Timed:
    """Make the calls in order until done or out of time."""
    rng = np.random.default_rng(command.seed)
    calls = _Calls(models, queries, rng)
    seconds: list[float] = []
    disturbed: list[bool] = []
    for start in range(0, len(command.calls), command.group):
        if now_s() > command.until_s:
            break
        # All of a group is made ready first: candidates were at hand in serving, too.
        group = command.calls[start : start + command.group]
        ready = [calls.ready(call) for call in group]
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
    calls = _Calls(models, queries, np.random.default_rng(0))
    for name in names:
        began = perf_counter()
        for number in range(50):
            calls.ready(Call(name, queries.num_columns, number % len(queries)))()
            if number + 1 >= _WARM_UP_CALLS and perf_counter() - began > _WARM_UP_S:
                break


def _timed(work: Work) -> tuple[float, bool]:
    """Seconds of a call, and whether the core was taken away meanwhile."""
    switches = _lost_core()
    began = perf_counter()
    own_s = work()
    taken_s = perf_counter() - began
    return taken_s if own_s is None else own_s, _lost_core() > switches


def _lost_core() -> int:
    """Times the scheduler took the core from this thread while it had work to do."""
    who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
    return resource.getrusage(who).ru_nivcsw


@dataclass(frozen=True, eq=False, slots=True)
class _Calls:
    """Calls of some models, everything of them made ready but the call itself."""

    models: Mapping[str, LoadedModel]
    queries: QuerySet
    rng: np.random.Generator
    runners: dict[tuple[str, int], StageRunner] = field(default_factory=dict)

    def ready(self, call: Call) -> Work:
        question = stored_question(self.queries, call.query)
        if call.model == TOP_K:
            return self._selection(call, question)
        if call.model == FUSED_CALL:
            return self._around(call, question)
        if isinstance(self._runner(call.model, call.num_items), OneByOne):
            return self._score(call, question)
        return self._inside(call, question)

    def _score(self, call: Call, question: Question) -> Work:
        model = self.models[call.model]
        rows = _candidate_rows(self.queries, call, self.rng)
        given = None
        if model.score_inputs:
            shape = (1, call.num_items, len(model.score_inputs))
            given = self.rng.normal(size=shape).astype(np.float32)

        def work() -> None:
            model.score(question.context, rows, given)

        return work

    def _selection(self, call: Call, question: Question) -> Work:
        scores = self.rng.normal(size=(1, call.num_items)).astype(np.float32)
        cascade = self._alone(TOP_K, call.num_items, {TOP_K: _Recalled(scores)})

        def work() -> None:
            cascade.run_stage(0, question, None)

        return work

    def _inside(self, call: Call, question: Question) -> Work:
        """A stage by the clock of the call that runs it."""
        runner: Any = self._runner(call.model, call.num_items)
        before = self._before(call.model, call.num_items)

        def work() -> float:
            runner.run(question, before)
            inside_s: float = sum(runner.stage_s)
            return inside_s

        return work

    def _around(self, call: Call, question: Question) -> Work:
        """What a call that runs stages takes besides its stages."""
        fused = (n for n in self.models if not isinstance(self._runner(n, 1), OneByOne))
        model = next(fused, None)
        if model is None:
            raise StudyError(f"no loaded model runs inside a call of all stages: {[*self.models]}")
        runner: Any = self._runner(model, call.num_items)
        before = self._before(model, call.num_items)

        def work() -> float:
            began = perf_counter()
            runner.run(question, before)
            around_s: float = perf_counter() - began - sum(runner.stage_s)
            return around_s

        return work

    def _runner(self, model: str, num_items: int) -> StageRunner:
        """One stage of a model alone; it remembers its buffers from call to call."""
        if (model, num_items) not in self.runners:
            cascade = self._alone(model, num_items, self.models)
            self.runners[model, num_items] = quickest(OneByOne(cascade, range(1)))
        return self.runners[model, num_items]

    def _alone(self, model: str, num_items: int, models: Mapping[str, LoadedModel]) -> Cascade:
        stage = Stage(model=model, num_in=num_items, num_out=min(num_items, _USUAL_KEEP))
        return Cascade(Pipeline(stages=(stage,)), models, len(self.queries.items), {model: ()})

    def _before(self, model: str, num_items: int) -> Survivors | None:
        """What a stage before would hand over; None where the model is asked first."""
        inputs, whole = self.models[model].score_inputs, self.queries.num_columns == num_items
        if whole and not inputs:
            return None
        columns = np.sort(self.rng.choice(self.queries.num_columns, num_items, replace=False))
        scores = {name: self.rng.normal(size=num_items).astype(np.float32) for name in inputs}
        return Survivors(columns, scores)


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
