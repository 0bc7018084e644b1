"""A data set as it would look had some training interactions never happened.

Letters: N training interactions, U contexts, I items.
"""

from dataclasses import replace

import numpy as np

from recfunnel.core.arrays import BoolArray, FloatArray, IntArray
from recfunnel.core.dataset import Dataset, Interactions
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Features
from recfunnel.core.seeds import rng_for
from recfunnel.data.rating_features import activity
from recfunnel.train.seen import item_ids, without_pairs


def fold_of_interactions(dataset: Dataset, num_folds: int, key: str) -> IntArray:
    """(N,), the fold 0 to `num_folds` - 1 of each training interaction.

    Args:
        dataset: its training interactions are divided.
        num_folds: at least 2.
        key: names the random stream; the same key gives the same folds.

    Returns:
        (N,).

    Raises:
        StudyError: fewer than 2 folds.
    """
    if num_folds < 2:
        raise StudyError(f"num_folds is {num_folds}, must be at least 2")
    return rng_for(0, "folds", key).integers(num_folds, size=len(dataset.train))


def without_interactions(dataset: Dataset, left_out: BoolArray) -> Dataset:
    """The data set without some training interactions, in no feature either.

    Their items leave the history. Dense features that `recfunnel.data` derives from training
    ratings (how many, how high) are recognised by their values and derived again from what is
    left. Any other dense feature is taken to say nothing about single interactions.

    Args:
        dataset: whole.
        left_out: bool (N,), true where the interaction never happened.

    Returns:
        A data set with the same contexts, items and validation queries; its test split is replaced
        by validation, so that nobody below can read it.
    """
    train = dataset.train
    gone, kept = train.take(left_out), train.take(~left_out)
    ids = item_ids(dataset)
    context = without_pairs(dataset.context, dataset.schema, gone.context_rows, ids[gone.item_rows])
    context = _with_activity(context, "context", train, kept)
    items = _with_activity(dataset.items, "items", train, kept)
    return replace(
        dataset,
        name=f"{dataset.name} without {gone.label.size} interactions",
        context=context,
        items=items,
        train=kept,
        test=dataset.validation,
    )


def _with_activity(
    features: Features, side: str, train: Interactions, kept: Interactions
) -> Features:
    """Dense columns that equal the activity of `train`, as the activity of `kept`."""
    num_rows = len(features)
    before, after = (
        activity(part.context_rows if side == "context" else part.item_rows, part.rating, num_rows)
        for part in (train, kept)
    )
    dense: FloatArray = np.array(features.dense, copy=True)
    for column in range(dense.shape[1]):
        for number in range(before.shape[1]):
            if np.allclose(dense[:, column], before[:, number], atol=1e-5):
                dense[:, column] = after[:, number]
    return Features(features.categorical, dense, features.multi_valued)
