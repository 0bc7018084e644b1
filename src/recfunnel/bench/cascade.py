"""Two stages in one call: many candidates to the small model, the best of them to the large one.

Ours answers a query in one native call. A library scores with the small model, numpy picks the
best, and the library scores those with the large model; their inputs lie ready in the form it likes
best. Each library's stages are timed alone as well, so that the best for each can be put together.

Letters: C candidates of the first stage.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recfunnel.bench.backend import Backend, error_of, exact_scores_of
from recfunnel.bench.peer import LoadedPeer, Peer
from recfunnel.bench.queries import FlatQuery, Workload, flat_queries
from recfunnel.bench.results import STAGES, Precision, Way, our_cascade
from recfunnel.bench.run import Subject
from recfunnel.core.arrays import DoubleArray, FloatArray, IntArray
from recfunnel.core.pipeline import pipeline_of
from recfunnel.runtime.cascade import Cascade, OneByOne, Question
from recfunnel.runtime.native_machine import NativeMachine
from recfunnel.runtime.native_stages import NativeStages

NUM_IN, NUM_KEPT, NUM_OUT = 4096, 256, 64
"""Candidates of the two stages, and what ours answers, best first. Libraries answer with all scores
of the second stage, in no order."""

FORMS: tuple[tuple[Way, tuple[Precision, Precision]], ...] = (
    ("compiled", ("bfloat16", "bfloat16")),
    ("compiled", ("int8", "bfloat16")),
    ("compiled", ("int8", "int8")),
    ("hoisted", ("bfloat16", "bfloat16")),
)
"""How ours scores, and in which precision each stage does."""

MOST_OFF = 0.02
"""By how much a kept candidate may score lower than the last one that float64 would keep, over the
largest score: bfloat16 swaps neighbours."""

FEWEST_QUERIES = 16


@dataclass(frozen=True, eq=False, slots=True)
class Stages:
    """The two models and the queries that both are asked.

    Args:
        small: of the first stage.
        large: of the second.
        workload: contexts, items and candidates; the models have the same features.
    """

    small: Subject
    large: Subject
    workload: Workload

    @property
    def kept(self) -> int:
        """Candidates the second stage reads."""
        return min(NUM_KEPT, int(self.workload.candidates.shape[1]))


@dataclass(frozen=True, eq=False, slots=True)
class _Loaded:
    """A machine as a cascade calls it."""

    name: str
    machine: NativeMachine
    score_inputs: tuple[str, ...] = ()

    def score(self, context: Any, candidates: Any, given: Any = None) -> FloatArray:
        """By the machine."""
        return self.machine.score(context, candidates, given)


def our_cascades(stages: Stages) -> Iterator[Backend]:
    """Ours on records, and hoisted only, on one core."""
    for way, precisions in FORMS:
        native = _native_stages(stages, way, precisions)
        workload = stages.workload
        questions = [
            Question(workload.context.row(i), np.empty(0, np.int64), workload.candidates[i])
            for i in range(workload.num_queries)
        ]

        def answer(
            number: int, native: NativeStages = native, asked: list[Question] = questions
        ) -> object:
            return native.run(asked[number % len(asked)], None)

        first = native.run(questions[0], None)
        (scores,) = first.scores.values()
        error = _error(stages, first.columns, scores)
        yield Backend(our_cascade(way, *precisions), way, precisions[-1], answer, error)


def library_cascades(stages: Stages) -> Iterator[Backend]:
    """Every library that runs both models: the whole, and each stage."""
    of_large = {peer.name: ready for peer, ready in stages.large.peers}
    flat = list(flat_queries(stages.small.model, stages.workload, FEWEST_QUERIES))
    for peer, small in stages.small.peers:
        if peer.name in of_large:
            yield from _library(stages, peer, small, of_large[peer.name], flat)


def _native_stages(
    stages: Stages, way: Way, precisions: tuple[Precision, Precision]
) -> NativeStages:
    workload, kept = stages.workload, stages.kept
    # The second model is compiled for as many candidates as it meets.
    fewer = replace(workload, candidates=workload.candidates[:, :kept])
    machines = {
        subject.model.name: subject.ours.machine(asked, way, precision)[0]
        for subject, asked, precision in zip(
            (stages.small, stages.large), (workload, fewer), precisions, strict=True
        )
    }
    sizes = workload.candidates.shape[1], kept, min(NUM_OUT, kept)
    pipeline = pipeline_of(tuple(machines), sizes)
    loaded = {name: _Loaded(name, machine) for name, machine in machines.items()}
    cascade = Cascade(pipeline, loaded, len(workload.items))
    return NativeStages(OneByOne(cascade, range(2)), machines)


def _library(
    stages: Stages, peer: Peer, small: LoadedPeer, large: LoadedPeer, flat: Sequence[FlatQuery]
) -> Iterator[Backend]:
    kept = stages.kept
    first = [small.prepare(query) for query in flat]

    def best(number: int) -> IntArray:
        scores = np.asarray(small.run(first[number % len(first)])).reshape(-1)
        picks: IntArray = np.argpartition(scores, -kept)[-kept:]
        return picks

    picked = [best(number) for number in range(len(flat))]
    second = [large.prepare(_taken(*pair)) for pair in zip(flat, picked, strict=True)]

    def rest(number: int) -> FloatArray:
        return large.run(second[number % len(second)])

    def whole(number: int) -> FloatArray:
        best(number)
        return rest(number)

    error = _error(stages, picked[0], np.asarray(rest(0)).reshape(-1))
    for name, answer in zip(("", *STAGES), (whole, best, rest), strict=True):
        yield Backend(peer.name + name, "library", peer.precision, answer, error)


def _taken(query: FlatQuery, picks: IntArray) -> FlatQuery:
    return FlatQuery(query.dense[picks], query.ids[picks], query.rows[picks])


def _error(stages: Stages, columns: IntArray, scores: FloatArray) -> float:
    """Of the scores of the second stage; inf where the first one kept what it should not have."""
    candidates = stages.workload.candidates[0]
    of_small: DoubleArray = exact_scores_of(stages.small.model, stages.workload, candidates)
    least = np.partition(of_small, -stages.kept)[-stages.kept]
    if of_small[columns].min() < least - MOST_OFF * np.abs(of_small).max():
        return float("inf")
    return error_of(
        scores, exact_scores_of(stages.large.model, stages.workload, candidates[columns])
    )
