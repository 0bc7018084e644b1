"""The ranking that designs really answer: stored scores sent through their filters.

Letters: J judged queries, S stages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray, FloatArray
from recfunnel.core.pipeline import pipeline_of
from recfunnel.core.storage import content_hash
from recfunnel.hardware.accel.design import Policy
from recfunnel.hardware.topk.bins import linear_edges, tail_edges
from recfunnel.hardware.topk.filter import TopKFilter
from recfunnel.plan.accel.problem import AccelPipeline
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.filtered import filtered_quality


@dataclass(frozen=True, eq=False, slots=True)
class Ranked:
    """What the filters of a pipeline answer.

    Args:
        ndcg: (J,).
        overshoot: (S,), candidates passed for each one wanted, at least 1.
    """

    ndcg: DoubleArray
    overshoot: tuple[float, ...]


def running_share(margin: float, sub_batches: int) -> float:
    """What a running threshold passes of what is wanted, candidates in random order.

    Unit times count it themselves, so it must not be in the overshoot as well.
    """
    seen = np.arange(1, sub_batches + 1)
    return float((np.minimum(1.0, margin * seen / sub_batches) / seen).sum())


class FilteredBook:
    """Quality of pipelines behind filters, each found once.

    Filters have bins whose edges come from earlier scores of the same model. Where a chip is priced
    with more or fewer candidates than were scored, what it keeps is scaled by that.

    Args:
        book: scores of the queries that judge.
        samples: by model, earlier scores, for edges.
        num_in: candidates that are priced; those scored when None.
        num_bins: of a filter.
        margin: of running thresholds.
        key: changes with the scores, for what is kept on disk.
    """

    def __init__(
        self,
        book: ScoreBook,
        samples: Mapping[str, FloatArray],
        *,
        key: str = "",
        num_in: int | None = None,
        num_bins: int = 16,
        margin: float = 1.25,
    ) -> None:
        self._book, self._samples = book, samples
        self.key = content_hash([key, book.num_judged, book.k, num_in or 0, num_bins, margin])
        self.num_columns = book.judged.num_columns
        self._scale = 1.0 if num_in is None else self.num_columns / num_in
        self._num_bins, self._margin = num_bins, margin
        self._found: dict[object, Ranked] = {}
        self._edges: dict[tuple[str, int, int], tuple[float, ...]] = {}

    @property
    def num_queries(self) -> int:
        """J."""
        return self._book.num_judged

    def ranked(
        self, pipeline: AccelPipeline, policies: Sequence[Policy], sub_batches: int
    ) -> Ranked:
        """What a pipeline answers whose stages filter so.

        Args:
            pipeline: models and what they keep.
            policies: one a stage; `host` keeps exactly the best.
            sub_batches: of the query.
        """
        cut = sub_batches if any(policy in ("quota", "running") for policy in policies) else 1
        ways = tuple("global" if cut == 1 and p != "host" else p for p in policies)
        key = (pipeline, ways, cut)
        if key not in self._found:
            self._found[key] = self._rank(pipeline, policies, sub_batches)
        return self._found[key]

    def _rank(
        self, pipeline: AccelPipeline, policies: Sequence[Policy], sub_batches: int
    ) -> Ranked:
        kept = self._scaled(pipeline)
        filters = [
            self._filter(model, kept[stage], kept[stage + 1], policies[stage], sub_batches)
            for stage, model in enumerate(pipeline.models)
        ]
        found = filtered_quality(self._book, pipeline_of(pipeline.models, kept), filters)
        passed = found.num_passed.mean(axis=0) / np.array(kept[1:])
        running = running_share(self._margin, sub_batches)
        shares = [
            float(share) / (running if policy == "running" else 1.0)
            for share, policy in zip(passed, policies, strict=True)
        ]
        return Ranked(found.ndcg, tuple(max(1.0, share) for share in shares))

    def _scaled(self, pipeline: AccelPipeline) -> tuple[int, ...]:
        """What is kept of the candidates that were scored; answers are as many as they are."""
        answers = pipeline.kept[-1]
        inner = [
            min(self.num_columns, max(answers, round(count * self._scale)))
            for count in pipeline.kept[1:-1]
        ]
        return (self.num_columns, *inner, answers)

    def _filter(
        self, model: str, num_in: int, keep: int, policy: Policy, sub_batches: int
    ) -> TopKFilter | None:
        if policy == "host" or keep >= num_in:
            return None
        sample = self._samples[model]
        low, high = float(sample.min()), float(np.nextafter(sample.max(), np.inf))
        if (model, num_in, keep) not in self._edges:
            edges = (
                tail_edges(sample, self._num_bins, keep / num_in)
                if num_in == self.num_columns
                else linear_edges(self._num_bins, low, high)
            )
            self._edges[model, num_in, keep] = tuple(np.clip(edges, low, high).tolist())
        return TopKFilter(
            edges=self._edges[model, num_in, keep],
            low=low,
            high=high,
            sub_batches=sub_batches,
            policy=policy,
            margin=self._margin if policy == "running" else 1.0,
        )
