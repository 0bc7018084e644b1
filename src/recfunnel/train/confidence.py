"""How much each training interaction counts, and the matrix of these weights.

Letters: N interactions, U context ids, I item ids (unknown included in both).
"""

from typing import TYPE_CHECKING

import numpy as np

from recfunnel.core.arrays import FloatArray
from recfunnel.core.dataset import Dataset, Interactions
from recfunnel.core.errors import StudyError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

STAR_WEIGHTS = (0.2, 0.3, 0.6, 1.0, 1.2)
"""Weights of 1 to 5 stars: even a low rating says that somebody chose to watch."""


def confidence(train: Interactions, rating_weights: tuple[float, ...]) -> FloatArray:
    """Weight of each interaction.

    Args:
        train: N interactions.
        rating_weights: weights of ratings 1, 2, ...; between whole ratings on the line through
            them. Where ratings are no more than labels, and where this is empty, the label counts.

    Returns:
        float32 (N,).

    Raises:
        StudyError: a rating is outside 1 to the number of weights.
    """
    has_stars = bool(np.any(train.rating != train.label))
    if not rating_weights or not has_stars:
        return train.label
    low, high = float(train.rating.min()), float(train.rating.max())
    if low < 1 or high > len(rating_weights):
        raise StudyError(
            f"ratings run from {low:g} to {high:g}, but rating_weights names 1 to "
            f"{len(rating_weights)}; give one weight a rating, or none to use labels"
        )
    stars = np.arange(1, len(rating_weights) + 1)
    return np.interp(train.rating, stars, rating_weights).astype(np.float32)


def confidence_matrix(dataset: Dataset, weights: FloatArray) -> "csr_matrix":
    """Weights (N,) as a sparse matrix (U, I) over ids; repeated pairs keep their largest.

    Raises:
        StudyError: contexts or items have no ids.
    """
    from scipy.sparse import csr_matrix

    schema, train = dataset.schema, dataset.train
    if not schema.context_id or not schema.item_id:
        raise StudyError(
            f"{dataset.name}: factorisation needs an id of contexts and of items; "
            "name context_id and item_id in the schema, or use another model"
        )
    shape = (
        schema.feature(schema.context_id).cardinality,
        schema.feature(schema.item_id).cardinality,
    )
    contexts = dataset.context.categorical[:, schema.column(schema.context_id)]
    items = dataset.items.categorical[:, schema.column(schema.item_id)]
    keys = contexts[train.context_rows] * shape[1] + items[train.item_rows]
    order = np.lexsort((-weights, keys))
    distinct, first = np.unique(keys[order], return_index=True)
    values = weights[order][first]
    kept = values != 0
    cells = (distinct[kept] // shape[1], distinct[kept] % shape[1])
    return csr_matrix((values[kept], cells), shape=shape)
