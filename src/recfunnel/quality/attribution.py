"""Where a pipeline loses quality: which stage dropped what the answer misses, or ordered it badly.

Letters: J judged queries.
"""

import numpy as np

from recfunnel.core.pipeline import Pipeline, Stage
from recfunnel.core.results import Estimate
from recfunnel.core.spec import Value
from recfunnel.quality.book import ScoreBook


class StageLoss(Value, frozen=True):
    """What one stage's cut costs.

    Args:
        stage: who cuts.
        ideal_ndcg: NDCG@k of the best order of what it keeps.
        loss: fall of that ideal from before the stage to after it, not below 0.
    """

    stage: Stage
    ideal_ndcg: Estimate
    loss: Estimate


class LossAttribution(Value, frozen=True):
    """A pipeline's distance from the best possible list, shared out without remainder.

    1 - `ndcg` = the stages' losses + `ordering_loss` (of the means, within rounding).

    Args:
        stages: one a stage, in order.
        ordering_loss: what the last stage loses by its order of the items it answers with.
        ndcg: what the pipeline reaches.
    """

    stages: tuple[StageLoss, ...]
    ordering_loss: Estimate
    ndcg: Estimate


def attribute_loss(book: ScoreBook, pipeline: Pipeline) -> LossAttribution:
    """Share a pipeline's loss among the cuts of its stages and its last order.

    Args:
        book: stored scores.
        pipeline: any the book can judge.

    Returns:
        The attribution.

    Raises:
        StudyError: a stage's model has no scores, or the first stage does not read C columns.
    """
    losses, before = [], np.ones(book.num_judged)
    for number, stage in enumerate(pipeline.stages, start=1):
        after = book.ideal_of_survivors(pipeline, number)
        losses.append(
            StageLoss(stage=stage, ideal_ndcg=Estimate.of(after), loss=Estimate.of(before - after))
        )
        before = after
    reached = book.ndcg(pipeline)
    return LossAttribution(
        stages=tuple(losses),
        ordering_loss=Estimate.of(before - reached),
        ndcg=Estimate.of(reached),
    )
