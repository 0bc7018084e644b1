"""Which items a context has met in training, and features without some of those meetings.

Letters: N interactions, V history values, B batch rows.
"""

import numpy as np

from recfunnel.core.arrays import BoolArray, IntArray, Ragged
from recfunnel.core.dataset import Dataset
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.keys import among, distinct


class PairSet:
    """A set of (row, value) pairs with fast membership.

    Args:
        rows: int64 (N,).
        values: int64 (N,), below `num_values`.
        num_values: size of the value space.
    """

    def __init__(self, rows: IntArray, values: IntArray, num_values: int) -> None:
        self._num_values = num_values
        self._keys = distinct(rows * num_values + values)

    def __len__(self) -> int:
        return self._keys.size

    def contains(self, rows: IntArray, values: IntArray) -> BoolArray:
        """Whether each pair is in the set; shapes broadcast."""
        return among(rows * self._num_values + values, self._keys)


def training_pairs(dataset: Dataset) -> PairSet:
    """All (context row, item row) pairs of the training interactions."""
    train = dataset.train
    return PairSet(train.context_rows, train.item_rows, len(dataset.items))


def item_ids(dataset: Dataset) -> IntArray:
    """(I,), the id of each item row; the row number where items have no identity."""
    schema = dataset.schema
    if not schema.item_id:
        return np.arange(len(dataset.items), dtype=np.int64)
    return dataset.items.categorical[:, schema.column(schema.item_id)]


def without_pairs(
    context: Features, schema: FeatureSchema, rows: IntArray, ids: IntArray
) -> Features:
    """Context features whose history leaves out some of its items.

    Args:
        context: B rows.
        schema: says which feature is the history; without one nothing changes.
        rows: int64 (N,), rows of `context`.
        ids: int64 (N,), item ids to leave out of the history of that row.

    Returns:
        B rows.
    """
    if not schema.history:
        return context
    number = schema.column(schema.history)
    lists = list(context.multi_valued)
    num_values = schema.feature(schema.history).cardinality
    lists[number] = _drop(lists[number], PairSet(rows, ids, num_values))
    return Features(context.categorical, context.dense, tuple(lists))


def _drop(history: Ragged, leave_out: PairSet) -> Ragged:
    owners = history.row_ids()
    keep = ~leave_out.contains(owners, history.values)
    lengths = np.bincount(owners[keep], minlength=len(history))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    weights = None if history.weights is None else history.weights[keep]
    return Ragged(history.values[keep], offsets, weights)
