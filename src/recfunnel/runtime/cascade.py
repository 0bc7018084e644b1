"""One query through a pipeline: each stage scores what is left and keeps its best.

Profiling, verification and serving all run this code. Letters: C columns (the query's candidates),
n candidates that a stage reads, S score inputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Features
from recfunnel.core.pipeline import Pipeline, stage_scorers
from recfunnel.runtime.base import LoadedModel
from recfunnel.runtime.top_k import best_first, top_k, top_k_of_each


@dataclass(frozen=True, eq=False, slots=True)
class Question:
    """What one query brings.

    Args:
        context: Features of 1 row.
        excluded: columns that must not be answered.
        candidates: int64 (C,), the item row behind each column; None means all items in order.
        fraction: share (0, 1] of the first stage's candidates that this query brings; a stage that
            may keep more than there are keeps all.
    """

    context: Features
    excluded: IntArray
    candidates: IntArray | None = None
    fraction: float = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class Survivors:
    """What a stage hands to the next.

    Args:
        columns: int64 (n,), rising; after the last stage best first.
        scores: float32 (n,) of each model that is read later on, and of the last stage.
    """

    columns: IntArray
    scores: dict[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Ranking:
    """A query's answer.

    Args:
        columns: int64 (K,), best first.
        scores: float32 (K,), of the last stage.
        stage_s: seconds each stage took.
    """

    columns: IntArray
    scores: FloatArray
    stage_s: tuple[float, ...]


class Cascade:
    """A pipeline with its models, ready to rank queries one at a time.

    Args:
        pipeline: the stages.
        models: loaded, by name; those that the stages to be run call.
        num_items: rows of the item features the models were loaded with.
        score_inputs: for each model of the pipeline, the models whose scores it reads; None asks
            the loaded models, which then must be all there.

    Raises:
        StudyError: a model is missing.

    Attributes:
        calls: for each stage the models it calls, its own last.
        carried: for each stage the models whose scores it hands on.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        models: Mapping[str, LoadedModel],
        num_items: int,
        score_inputs: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        inputs = score_inputs or {name: model.score_inputs for name, model in models.items()}
        needed_models(pipeline.models, inputs)
        self.pipeline = pipeline
        self.models = models
        self.num_items = num_items
        self.calls = stage_scorers(pipeline, inputs)
        self.carried = carried_scores(pipeline, inputs)

    def rank(self, question: Question) -> Ranking:
        """Answer one query.

        Raises:
            StudyError: the query has fewer candidates than the first stage reads.
            ModelError: a model returned another shape or a value that is not finite.
        """
        survivors: Survivors | None = None
        seconds = []
        for number in range(len(self.pipeline.stages)):
            started = perf_counter()
            survivors = self.run_stage(number, question, survivors)
            seconds.append(perf_counter() - started)
        assert survivors is not None
        last = self.pipeline.stages[-1].model
        return Ranking(survivors.columns, survivors.scores[last], tuple(seconds))

    def run_stage(self, number: int, question: Question, before: Survivors | None) -> Survivors:
        """Run one stage on what the one before it kept (None for the first).

        Returns:
            What it keeps, with every score a later stage reads.
        """
        stage = self.pipeline.stages[number]
        if before is None:
            before = Survivors(self.offered(question))
            whole = question.candidates is None and before.columns.size == self.num_items
            excluded = question.excluded[question.excluded < before.columns.size]
        else:
            whole, excluded = False, None
        rows = None if whole else _item_rows(question, before.columns)
        scores = self.scores_of(number, question.context, rows, before)
        own = scores[stage.model]
        last = number == len(self.pipeline.stages) - 1
        if self.pipeline.ranks_by_share and not last:
            bounds = np.searchsorted(before.columns, self.cuts(question))
            picks = top_k_of_each(own, self.pipeline.share(number), bounds, excluded)
        else:
            picks = top_k(own, stage.num_out, excluded)
        names = self.carried[number]
        if last:
            picks, names = best_first(own, picks), (stage.model,)
        return Survivors(before.columns[picks], {name: scores[name][picks] for name in names})

    def cuts(self, question: Question) -> IntArray:
        """Columns (sub-batches + 1,) where a query's sub-batches begin, and its last one ends."""
        count, num_columns = self.pipeline.sub_batches, self.num_offered(question)
        return np.arange(count + 1, dtype=np.int64) * num_columns // count

    def offered(self, question: Question) -> IntArray:
        """Columns (n,) that a query brings to the first stage.

        Raises:
            StudyError: there are fewer than the stage reads.
        """
        return np.arange(self.num_offered(question), dtype=np.int64)

    def num_offered(self, question: Question) -> int:
        """How many columns a query brings to the first stage.

        Raises:
            StudyError: there are fewer than the stage reads.
        """
        have = self.num_items if question.candidates is None else question.candidates.size
        nominal = self.pipeline.stages[0].num_in
        if nominal > have:
            raise StudyError(
                f"the first stage reads {nominal} candidates, the query has {have}; "
                "lower the pipeline's first size"
            )
        return scaled(nominal, question.fraction)

    def scores_of(
        self, number: int, context: Features, rows: IntArray | None, before: Survivors
    ) -> dict[str, FloatArray]:
        """Scores of every model a stage calls, and of those known before.

        Args:
            number: of the stage.
            context: Features of 1 row.
            rows: int64 (n,), items; None means all of them in order.
            before: what the stage before kept, n columns.

        Returns:
            float32 (n,) by model.
        """
        known = dict(before.scores)
        candidates = None if rows is None else rows[np.newaxis]
        for name in self.calls[number]:
            model = self.models[name]
            given = None
            if model.score_inputs:
                given = np.stack([known[i] for i in model.score_inputs], axis=-1)[np.newaxis]
            known[name] = model.score(context, candidates, given)[0]
        return known


class StageRunner(Protocol):
    """Some consecutive stages of a pipeline, run to completion for one query after another."""

    def run(self, question: Question, before: Survivors | None) -> Survivors:
        """Run them all on what the stage before them kept (None when the first is among them)."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class OneByOne:
    """Stages called one behind the other.

    Args:
        cascade: whose.
        stages: which, consecutive.
    """

    cascade: Cascade
    stages: range

    def run(self, question: Question, before: Survivors | None) -> Survivors:
        """Run them all on what the stage before them kept (None when the first is among them)."""
        survivors = before
        for stage in self.stages:
            survivors = self.cascade.run_stage(stage, question, survivors)
        assert survivors is not None, "a station runs at least one stage"
        return survivors


def scaled(nominal: int, fraction: float) -> int:
    """A nominal number of candidates for a query of that size, at least 1."""
    return nominal if fraction == 1.0 else max(1, int(np.ceil(fraction * nominal)))


def carried_scores(
    pipeline: Pipeline, score_inputs: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    """For each stage, the models whose scores it must hand on because a later stage reads them.

    Args:
        pipeline: the stages.
        score_inputs: for each model, the models whose scores it reads.

    Returns:
        One sorted tuple a stage; empty for the last.
    """
    calls = stage_scorers(pipeline, score_inputs)
    carried = []
    for number in range(len(calls)):
        known = {name for stage in calls[: number + 1] for name in stage}
        read = {i for stage in calls[number + 1 :] for name in stage for i in score_inputs[name]}
        carried.append(tuple(sorted(known & read)))
    return tuple(carried)


def needed_models(
    names: tuple[str, ...], score_inputs: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """The named models and, before each, the models whose scores it reads; each once.

    Raises:
        StudyError: a model nobody has described is read.
    """
    found: list[str] = []

    def visit(name: str) -> None:
        if name in found:
            return
        if name not in score_inputs:
            raise StudyError(f"no model {name!r}; known: {', '.join(sorted(score_inputs))}")
        for other in score_inputs[name]:
            visit(other)
        found.append(name)

    for name in names:
        visit(name)
    return tuple(found)


def _item_rows(question: Question, columns: IntArray) -> IntArray:
    return columns if question.candidates is None else question.candidates[columns]
