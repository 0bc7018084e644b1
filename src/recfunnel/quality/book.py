"""Score once, compose many: the quality of any pipeline from stored scores.

Letters: Q queries, J judged queries, P pipelines.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import InvalidInput
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import Pipeline
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import Estimate, QualityReport
from recfunnel.core.spec import Value
from recfunnel.quality import metrics
from recfunnel.quality.funnel import DEFAULT_CACHE_BYTES, Funnel
from recfunnel.quality.judged import judge
from recfunnel.quality.metrics import Gain


class ListMetrics(Value, frozen=True):
    """Every list metric of one pipeline, each a mean over the judged queries.

    Args:
        pipeline: what was measured.
        k: places that count.
        num_queries: judged queries behind each mean.
        num_unjudged: queries left out because they have no relevant candidate.
        ndcg_linear: gain is the relevance.
        ndcg_exponential: gain is 2^relevance - 1.
        hit_rate: share of queries with a relevant candidate among the first k.
        recall: share of the relevant candidates among the first k.
        mrr: reciprocal rank of the first relevant candidate within k.
        recpipe_ndcg: DCG of 0/1 labels over the DCG of k ones; see `metrics.recpipe_ndcg`.
    """

    pipeline: Pipeline
    k: int
    num_queries: int
    num_unjudged: int
    ndcg_linear: Estimate
    ndcg_exponential: Estimate
    hit_rate: Estimate
    recall: Estimate
    mrr: Estimate
    recpipe_ndcg: Estimate


class ScoreBook:
    """Stored scores of every model of a study, and the quality of every pipeline made of them.

    A stage keeps the best `num_out` of what it reads by its model's score, ties by lower column;
    where fewer candidates may be ranked than that, all are kept; the last stage's order is the
    answer. Results are exact: the same as ranking step by step.

    Args:
        queries: Q queries with their relevance.
        tables: one a model, float32 (Q, C).
        k: places of the answer that count.
        gain: what a relevance earns in NDCG.
        cache_bytes: the most that intermediate tables may occupy between calls.
        num_threads: None for all cores.

    Raises:
        DataError: no query has a relevant candidate.
        InvalidInput: k is below 1, or tables contradict each other.
        ModelError: a table does not fit the queries or is not finite.
    """

    def __init__(
        self,
        queries: QuerySet,
        tables: Iterable[ScoreTable],
        k: int,
        gain: Gain = "linear",
        *,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        num_threads: int | None = None,
    ) -> None:
        self.k = k
        self.gain: Gain = gain
        self.judged = judge(queries)
        self.funnel = Funnel(self.judged, tables, cache_bytes=cache_bytes, num_threads=num_threads)
        self._gains = metrics.gains_of(self.judged, gain)
        self._ideal = metrics.ideal_dcg(self.judged, k, gain)

    @property
    def models(self) -> tuple[str, ...]:
        """Models with stored scores."""
        return self.funnel.models

    @property
    def num_judged(self) -> int:
        """J, queries behind every mean."""
        return len(self.judged)

    @property
    def num_unjudged(self) -> int:
        """Queries left out because they have no relevant candidate."""
        return self.judged.num_unjudged

    def ranks(self, pipeline: Pipeline) -> IntArray:
        """(V,), rank 1 to k of each relevant column in the answer, 0 for not among them.

        Raises:
            StudyError: a stage's model has no scores, or the first stage does not read C columns.
        """
        return self.funnel.ranks(pipeline, self.k)

    def ndcg(self, pipeline: Pipeline) -> DoubleArray:
        """NDCG@k of each judged query (J,), in the order of the query set.

        Raises:
            StudyError: a stage's model has no scores, or the first stage does not read C columns.
        """
        return self.ndcg_of_ranks(self.ranks(pipeline))

    def ndcg_of_ranks(self, ranks: IntArray) -> DoubleArray:
        """NDCG@k of each judged query (J,), from where its relevant columns were shown.

        Args:
            ranks: (V,), as `ranks` gives them: 1 and up, 0 for not shown.
        """
        earned = self._gains * metrics.discounts(ranks, self.k)
        return self.judged.total(earned) / self._ideal

    def each_ndcg(
        self, pipelines: Sequence[Pipeline], progress: Progress = SILENT
    ) -> Iterator[tuple[int, DoubleArray]]:
        """Position and NDCG@k (J,) of many pipelines, in an order that shares most work."""
        order = sorted(range(len(pipelines)), key=lambda i: _sharing_key(pipelines[i]))
        for position in progress.track(order, "quality of pipelines"):
            yield position, self.ndcg(pipelines[position])

    def ndcg_many(self, pipelines: Sequence[Pipeline], progress: Progress = SILENT) -> DoubleArray:
        """NDCG@k of each judged query, (P, J): 8 bytes a pipeline and query."""
        values = np.empty((len(pipelines), self.num_judged))
        for position, ndcg in self.each_ndcg(pipelines, progress):
            values[position] = ndcg
        return values

    def report(self, pipeline: Pipeline) -> QualityReport:
        """Mean NDCG@k with its standard error."""
        return self._report(pipeline, self.ndcg(pipeline))

    def reports(
        self, pipelines: Sequence[Pipeline], progress: Progress = SILENT
    ) -> tuple[QualityReport, ...]:
        """`report` of many pipelines, in their order; keeps one number a pipeline in memory."""
        found = {i: self._report(pipelines[i], v) for i, v in self.each_ndcg(pipelines, progress)}
        return tuple(found[i] for i in range(len(pipelines)))

    def list_metrics(self, pipeline: Pipeline) -> ListMetrics:
        """Every list metric at k."""
        judged, ranks, k = self.judged, self.ranks(pipeline), self.k
        return ListMetrics(
            pipeline=pipeline,
            k=k,
            num_queries=self.num_judged,
            num_unjudged=self.num_unjudged,
            ndcg_linear=Estimate.of(metrics.ndcg(judged, ranks, k, "linear")),
            ndcg_exponential=Estimate.of(metrics.ndcg(judged, ranks, k, "exponential")),
            hit_rate=Estimate.of(metrics.hit_rate(judged, ranks, k)),
            recall=Estimate.of(metrics.recall(judged, ranks, k)),
            mrr=Estimate.of(metrics.reciprocal_rank(judged, ranks, k)),
            recpipe_ndcg=Estimate.of(metrics.recpipe_ndcg(judged, ranks, k)),
        )

    def ideal_of_survivors(self, pipeline: Pipeline, num_stages: int) -> DoubleArray:
        """Best NDCG@k (J,) that any order of what the first stages keep can reach.

        Args:
            pipeline: the stages.
            num_stages: how many of them cut; 0 gives 1 everywhere.

        Returns:
            (J,), 0 to 1, never rising with `num_stages`.

        Raises:
            InvalidInput: more stages than the pipeline has.
        """
        if not 0 <= num_stages <= len(pipeline.stages):
            raise InvalidInput(f"{num_stages} stages of a pipeline that has {len(pipeline.stages)}")
        if not num_stages:
            return np.ones(self.num_judged)
        kept = self.funnel.survivors(pipeline, num_stages)
        return metrics.ideal_dcg(self.judged, self.k, self.gain, kept) / self._ideal

    def _report(self, pipeline: Pipeline, ndcg: DoubleArray) -> QualityReport:
        return QualityReport(
            pipeline=pipeline,
            ndcg=Estimate.of(ndcg),
            k=self.k,
            gain=self.gain,
            num_unjudged=self.num_unjudged,
        )


def _sharing_key(pipeline: Pipeline) -> tuple[object, ...]:
    """Sorts pipelines of one front together, then those of one second model, deepest first."""
    sizes = tuple(-stage.num_out for stage in pipeline.stages)
    return (pipeline.models[0], pipeline.models[1:], sizes)
