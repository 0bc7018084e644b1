"""The number every choice in training is made on: NDCG@k of full lists, or AUC for clicks.

Letters: Q queries, C columns, K items kept.
"""

from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray, FloatArray, IntArray
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import ModelError

NOT_RANKED = np.float32(-np.inf)


def top_columns(scores: FloatArray, num_kept: int) -> IntArray:
    """The best columns of each query, best first; equal scores go to the lower column.

    Where equal scores straddle the cut, which of them is kept is unspecified but repeatable.

    Args:
        scores: float32 (Q, C), -inf where a column must not be ranked.
        num_kept: K, at most C.

    Returns:
        (Q, K).
    """
    num_columns = scores.shape[1]
    if num_kept < num_columns:
        found = np.argpartition(-scores, num_kept - 1, axis=1)[:, :num_kept]
        found.sort(axis=1)
    else:
        found = np.broadcast_to(np.arange(num_columns), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1).astype(np.int64)


def hide_excluded(queries: QuerySet, scores: FloatArray) -> FloatArray:
    """A copy of scores (Q, C) with -inf at the excluded columns."""
    hidden = scores.copy()
    hidden[queries.excluded.row_ids(), queries.excluded.values] = NOT_RANKED
    return hidden


def gains_of(queries: QuerySet) -> FloatArray:
    """float32 (Q, C), the gain of every column."""
    gains = np.zeros((len(queries), queries.num_columns), np.float32)
    relevance = queries.relevance
    weights = np.ones(relevance.values.size) if relevance.weights is None else relevance.weights
    gains[relevance.row_ids(), relevance.values] = weights
    return gains


def ndcg_at(queries: QuerySet, scores: FloatArray, k: int) -> DoubleArray:
    """NDCG@k with linear gain and the true ideal list (Järvelin & Kekäläinen, 2002).

    Args:
        queries: Q queries; those without a relevant column get nan.
        scores: float32 (Q, C); -inf marks columns that a front stage dropped.
        k: list length; fewer columns are ranked whole.

    Returns:
        (Q,), 0 to 1 or nan.
    """
    hidden = hide_excluded(queries, scores)
    gains = gains_of(queries)
    k = min(k, queries.num_columns)
    served = top_columns(hidden, k)
    served_gains = np.take_along_axis(gains, served, axis=1)
    served_gains[np.isneginf(np.take_along_axis(hidden, served, axis=1))] = 0
    discount = 1 / np.log2(np.arange(k) + 2.0)
    ideal = -np.sort(-gains, axis=1)[:, :k] @ discount
    with np.errstate(invalid="ignore"):
        return np.asarray((served_gains @ discount) / ideal, np.float64)


def auc(labels: FloatArray, scores: FloatArray) -> float:
    """Area under the ROC curve of N pairs, ties counted half; nan when one class is missing."""
    positive = labels > 0
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    above = ranks[positive].sum() - num_positive * (num_positive + 1) / 2
    return float(above / (num_positive * num_negative))


def log_loss(labels: FloatArray, logits: FloatArray) -> float:
    """Mean of log(1 + exp(∓logit)) over N pairs, exact for large logits."""
    signs = np.where(labels > 0, -1.0, 1.0)
    return float(np.logaddexp(0.0, signs * logits.astype(np.float64)).mean())


def sampled_queries(queries: QuerySet, num_queries: int, rng: np.random.Generator) -> QuerySet:
    """At most `num_queries` of the queries that have something relevant, in their order."""
    judged = np.flatnonzero(queries.relevance.lengths)
    if judged.size > num_queries:
        judged = np.sort(rng.choice(judged, num_queries, replace=False))
    return queries.take(judged)


@dataclass(frozen=True, eq=False, slots=True)
class Chance:
    """What an order that knows nothing reaches on some queries.

    Args:
        metric: the metric's name.
        mean: of one random order, over queries.
        stderr: its standard error over queries.
    """

    metric: str
    mean: float
    stderr: float

    def is_beaten(self, reached: float) -> bool:
        """Whether a value is above that of a random order, by one standard error."""
        return reached > self.mean + self.stderr

    def verdict(self, reached: float) -> str:
        """A value beside what chance reaches, in words."""
        return (
            f"validation {self.metric} is {reached:.4f}, a random order reaches "
            f"{self.mean:.4f} ± {self.stderr:.4f}"
        )

    def check(self, name: str, reached: float, remedy: str) -> None:
        """Hold a model's best value against chance.

        Raises:
            ModelError: it is no better than a random order.
        """
        if not self.is_beaten(reached):
            raise ModelError(
                f"{name!r} learned nothing: {self.verdict(reached)}; {remedy}, or check that its "
                "features say anything about the label"
            )


def chance_ndcg(queries: QuerySet, k: int, rng: np.random.Generator) -> Chance:
    """NDCG@k of random scores."""
    scores = rng.random((len(queries), queries.num_columns), dtype=np.float32)
    values = ndcg_at(queries, scores, k)
    stderr = float(values.std() / np.sqrt(values.size))
    return Chance(f"ndcg@{k}", float(values.mean()), stderr)
