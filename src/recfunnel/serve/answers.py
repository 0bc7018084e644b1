"""From what a pipeline ranked to what a client reads."""

from time import perf_counter

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.runtime.cascade import Cascade, Question, Survivors
from recfunnel.serve import wire
from recfunnel.serve.keys import Keys
from recfunnel.serve.loading import LoadedPath
from recfunnel.serve.questions import Asked
from recfunnel.serve.service import Ranked


def answer_of(
    ranked: Ranked,
    asked: Asked,
    question: wire.Question,
    loaded: LoadedPath,
    items: Keys,
    plan: str,
    stages: list[wire.StageExplained] | None,
) -> wire.Answer:
    """What a client is told.

    Args:
        ranked: what became of the question.
        asked: as it was ranked.
        question: as it was asked.
        loaded: the path that was taken.
        items: keys of the catalogue.
        plan: content hash.
        stages: what each did, where that was asked for.

    Returns:
        At most `question.k` items.
    """
    columns = ranked.survivors.columns[: question.k]
    pipeline = loaded.path.pipeline
    scores = ranked.survivors.scores[pipeline.stages[-1].model][: question.k]
    candidates = asked.question.candidates
    rows = columns if candidates is None else candidates[columns]
    explanation = None
    if stages is not None:
        explanation = wire.Explanation(
            path=loaded.path.name,
            waited_ms=1e3 * ranked.waited_s,
            service_ms=1e3 * (ranked.latency_s - ranked.waited_s),
            stages=stages,
        )
    return wire.Answer(
        items=items.of_rows(rows),
        scores=scores.tolist(),
        path=pipeline.name,
        plan=plan,
        degraded=ranked.path > 0,
        late=ranked.late,
        known_user=asked.known_user,
        explanation=explanation,
    )


def explained(cascade: Cascade, question: Question, columns: IntArray) -> list[wire.StageExplained]:
    """Rank once more, stage by stage, and tell what each did with the answered items.

    Args:
        cascade: of the path.
        question: as the path ranked it.
        columns: that were answered.

    Returns:
        One entry a stage; its times are those of this second run, stage by stage.
    """
    told = []
    survivors: Survivors | None = None
    for number, stage in enumerate(cascade.pipeline.stages):
        read = cascade.offered(question) if survivors is None else survivors.columns
        began = perf_counter()
        after = cascade.run_stage(number, question, survivors)
        seconds = perf_counter() - began
        scores = stage_scores(cascade, number, question, survivors)
        places = np.searchsorted(read, columns)
        told.append(
            wire.StageExplained(
                model=stage.model,
                num_in=int(read.size),
                num_out=int(after.columns.size),
                time_ms=1e3 * seconds,
                ranks=ranks_of(scores)[places].tolist(),
                scores=scores[places].tolist(),
            )
        )
        survivors = after
    return told


def stage_scores(
    cascade: Cascade, number: int, question: Question, before: Survivors | None
) -> FloatArray:
    """Scores of the stage's own model for everything it reads."""
    survivors = Survivors(cascade.offered(question)) if before is None else before
    rows = survivors.columns
    if question.candidates is not None:
        rows = question.candidates[rows]
    found = cascade.scores_of(number, question.context, rows, survivors)
    return found[cascade.pipeline.stages[number].model]


def ranks_of(scores: FloatArray) -> IntArray:
    """(n,), 1 for the highest; among equals the lower position first."""
    order = np.argsort(-scores, kind="stable")
    ranks = np.empty(scores.size, np.int64)
    ranks[order] = np.arange(1, scores.size + 1)
    return ranks
