"""Consecutive stages of a pipeline in one call of the native machine.

Nothing returns to Python between scoring, selecting and the next stage. Letters: n columns that a
stage reads, S score inputs.
"""

from itertools import chain
from typing import Any

import numpy as np

from recfunnel.core.arrays import FloatArray, Ragged
from recfunnel.core.errors import InvalidInput
from recfunnel.core.features import Features
from recfunnel.runtime import _native
from recfunnel.runtime.cascade import Cascade, OneByOne, Question, StageRunner, Survivors
from recfunnel.runtime.native import NativeModel
from recfunnel.runtime.native_machine import FAULTS, NativeMachine, features_in_order, in_order


def fused(stages: OneByOne) -> StageRunner:
    """The same stages in one call, where every model they call runs on the native machine.

    Args:
        stages: of a cascade whose models are loaded.

    Returns:
        A runner that answers the same; the one given where some model runs elsewhere.
    """
    called = [name for stage in stages.stages for name in stages.cascade.calls[stage]]
    machines: dict[str, NativeMachine] = {}
    for name in called:
        model = stages.cascade.models[name]
        if not isinstance(model, NativeModel):
            return stages
        machines[name] = model.machine
    return NativeStages(stages, machines)


class NativeStages:
    """Stages that run behind each other inside the native library.

    Every model whose scores are read or written has a numbered slot.

    Args:
        stages: which, of which cascade.
        machines: of every model they call, by name.
    """

    def __init__(self, stages: OneByOne, machines: dict[str, NativeMachine]) -> None:
        cascade = stages.cascade
        self._one_by_one, self._cascade = stages, cascade
        self._first, last = stages.stages[0], stages.stages[-1]
        self._slots = _slots(stages)
        ends = last == len(cascade.pipeline.stages) - 1
        wanted = (cascade.pipeline.stages[last].model,) if ends else cascade.carried[last]
        native_stages = [
            (
                [self._scorer(name, machines[name]) for name in cascade.calls[number]],
                cascade.pipeline.stages[number].num_out,
            )
            for number in stages.stages
        ]
        pipeline = cascade.pipeline
        self._native = _native.Cascade(
            native_stages,
            len(self._slots),
            ends,
            [(name, self._slots[name]) for name in wanted],
            pipeline.sub_batches,
            pipeline.keep == "share",
        )
        self.stage_s: tuple[float, ...] = ()
        """Seconds each stage of the last query took, those of all its sub-batches together."""

    def run(self, question: Question, before: Survivors | None) -> Survivors:
        """Run all stages on what the stage before them kept (None when the first is among them).

        Raises:
            StudyError: the query has fewer candidates than the first stage reads.
            InvalidInput: a wrong shape or type, or a candidate or excluded column that is none.
            DataError: an id of the context outside its table.
            ModelError: a score that is not finite.
        """
        try:
            try:
                columns, scores, seconds = self._run(question, before)
            except TypeError:  # arrays that are not contiguous, or not what they must be
                question, before = _in_order(question, before)
                columns, scores, seconds = self._run(question, before)
        except FAULTS as error:
            self._one_by_one.run(question, before)  # says which model fails, in its own words
            raise InvalidInput(f"{self._cascade.pipeline.name}: {error}") from error
        self.stage_s = seconds
        return Survivors(columns, scores)

    def _run(self, question: Question, before: Survivors | None) -> Any:
        context = question.context
        columns, excluded = None, None
        num_columns = self._cascade.num_offered(question)
        if before is None:
            count = num_columns
            excluded = question.excluded
            if excluded.size:
                excluded = excluded[excluded < count]
            rows = None if question.candidates is None else question.candidates[:count]
        else:
            columns, count = before.columns, before.columns.size
            rows = None if question.candidates is None else question.candidates[columns]
        return self._native.run(
            context.categorical,
            context.dense,
            [(r.values, r.offsets, r.weights) for r in context.multi_valued],
            count,
            columns,
            rows,
            self._known(before),
            excluded,
            num_columns,
        )

    def _known(self, before: Survivors | None) -> list[FloatArray | None]:
        """Scores that earlier stages handed on, by slot."""
        if before is None:
            return []
        found = [before.scores.get(name) for name in self._slots]
        return [None if scores is None else np.ascontiguousarray(scores) for scores in found]

    def _scorer(self, name: str, machine: NativeMachine) -> tuple[object, list[int], int]:
        inputs = self._cascade.models[name].score_inputs
        return machine.native, [self._slots[i] for i in inputs], self._slots[name]


def _in_order(question: Question, before: Survivors | None) -> tuple[Question, Survivors | None]:
    """The same with contiguous arrays, after looking at their types and dimensions."""
    categorical, dense, lists = features_in_order(question.context)
    candidates = question.candidates
    if candidates is not None:
        candidates = in_order(candidates, np.int64, 1, "candidates")
    asked = Question(
        Features(categorical, dense, tuple(Ragged(*arrays) for arrays in lists)),
        in_order(question.excluded, np.int64, 1, "excluded columns"),
        candidates,
        question.fraction,
    )
    if before is None:
        return asked, None
    known = {n: in_order(s, np.float32, 1, f"scores of {n!r}") for n, s in before.scores.items()}
    return asked, Survivors(in_order(before.columns, np.int64, 1, "columns"), known)


def _slots(stages: OneByOne) -> dict[str, int]:
    """A number for every model whose scores these stages read or write, in order of first use."""
    cascade: Cascade = stages.cascade
    called = [name for number in stages.stages for name in cascade.calls[number]]
    read = chain.from_iterable(cascade.models[name].score_inputs for name in called)
    handed_on = cascade.carried[stages.stages[-1]]
    return {name: slot for slot, name in enumerate(dict.fromkeys([*read, *called, *handed_on]))}
