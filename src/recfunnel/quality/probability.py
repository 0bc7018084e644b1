"""How well scores work as click probabilities: AUC, log-loss and accuracy over labelled rows.

Letters: N rows.
"""

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import BoolArray, DoubleArray
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import InvalidInput
from recfunnel.core.model import ScoreTable
from recfunnel.core.results import Estimate
from recfunnel.core.spec import Value


class ProbabilityReport(Value, frozen=True):
    """Scores read as logits, over every candidate of every query.

    Args:
        auc: over all rows together; ties count half.
        log_loss: mean over rows, in nats.
        accuracy: share of rows on the right side of probability 0.5.
        click_rate: share of rows with label 1.
        num_rows: N.
    """

    auc: float
    log_loss: Estimate
    accuracy: Estimate
    click_rate: float
    num_rows: int


def probability_report(queries: QuerySet, table: ScoreTable) -> ProbabilityReport:
    """Judge one model's scores as logits of relevance; excluded columns are left out.

    Raises:
        InvalidInput: the table has another shape, or all labels are equal.
    """
    shape = (len(queries), queries.num_columns)
    if table.scores.shape != shape:
        raise InvalidInput(
            f"scores of {table.model!r} have shape {table.scores.shape}, the queries {shape}"
        )
    allowed, labels = marked_rows(queries)
    scores, clicked = table.scores[allowed].astype(np.float64), labels[allowed]
    return ProbabilityReport(
        auc=auc(scores, clicked),
        log_loss=Estimate.of(log_losses(scores, clicked)),
        accuracy=Estimate.of(is_right(scores, clicked)),
        click_rate=float(clicked.mean()),
        num_rows=int(clicked.size),
    )


def marked_rows(queries: QuerySet) -> tuple[BoolArray, BoolArray]:
    """Which columns of a query set may be ranked, and which are relevant; each (Q, C)."""
    allowed = np.ones((len(queries), queries.num_columns), np.bool_)
    allowed[queries.excluded.row_ids(), queries.excluded.values] = False
    labels = np.zeros_like(allowed)
    relevance = queries.relevance
    some = slice(None) if relevance.weights is None else relevance.weights > 0
    labels[relevance.row_ids()[some], relevance.values[some]] = True
    return allowed, labels


def auc(scores: NDArray[np.floating], labels: BoolArray) -> float:
    """Probability that a random positive row scores above a random negative one.

    The Mann-Whitney statistic: equal scores count half.

    Args:
        scores: (N,).
        labels: (N,), true for positive.

    Returns:
        0 to 1.

    Raises:
        InvalidInput: there is no positive or no negative row.
    """
    num_positive = int(labels.sum())
    num_negative = labels.size - num_positive
    if not num_positive or not num_negative:
        raise InvalidInput(
            f"AUC needs rows of both labels, got {num_positive} positive, {num_negative} negative"
        )
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    # The mean rank of a group of equal scores is the rank of its middle.
    middle = np.cumsum(sizes) - (sizes - 1) / 2
    rank_sum = float(middle[group[labels]].sum())
    return (rank_sum - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative)


def log_losses(logits: NDArray[np.floating], labels: BoolArray) -> DoubleArray:
    """Binary cross-entropy of each row in nats, exact for logits of any size.

    Args:
        logits: (N,).
        labels: (N,).

    Returns:
        (N,), not below 0.
    """
    signed = np.where(labels, -1.0, 1.0) * logits.astype(np.float64)
    losses: DoubleArray = np.logaddexp(0.0, signed)
    return losses


def is_right(logits: NDArray[np.floating], labels: BoolArray) -> DoubleArray:
    """(N,), 1 where the probability lies on the label's side of 0.5 (0.5 itself says no), else 0.

    Its mean is the accuracy.
    """
    right: DoubleArray = ((logits > 0) == labels).astype(np.float64)
    return right
