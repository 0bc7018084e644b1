"""What a log of ratings and two side tables say of users and items, as features.

Letters: U users, I items, N ratings. Item row i has id i + 1 in the item vocabulary (0 is
unknown); a user without a training rating has user id 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import DoubleArray, FloatArray, IntArray, Ragged
from recfunnel.core.features import Feature, Features, FeatureSchema

SHRINKAGE = 10.0
"""Imaginary ratings at the overall mean that are added to every mean rating."""


@dataclass(frozen=True, eq=False, slots=True)
class RatingLog:
    """N ratings.

    Args:
        users: int64 (N,), user rows.
        items: int64 (N,), item rows.
        rating: float32 (N,).
    """

    users: IntArray
    items: IntArray
    rating: FloatArray

    def take(self, rows: IntArray) -> "RatingLog":
        """Some of the ratings."""
        return RatingLog(self.users[rows], self.items[rows], self.rating[rows])


@dataclass(frozen=True, eq=False, slots=True)
class SideTable:
    """What is known of users or of items whatever they rated.

    Args:
        features: categorical, dense and multi-valued; ids of the rows themselves not among them.
        values: one row each.
        keys: (N,), what the source calls each row; None where only its number does.
    """

    features: tuple[Feature, ...]
    values: Features
    keys: NDArray[Any] | None = None


def standardised(values: DoubleArray | FloatArray) -> FloatArray:
    """(N,) with mean 0 and standard deviation 1; all 0 where the values do not differ."""
    spread = float(values.std())
    if spread < 1e-12:
        return np.zeros(values.shape, np.float32)
    scaled: FloatArray = ((values - values.mean()) / spread).astype(np.float32)
    return scaled


def activity(rows: IntArray, rating: FloatArray, num_rows: int) -> FloatArray:
    """Two dense features from the training ratings of each user or item.

    Args:
        rows: (N,), the user or item of each training rating.
        rating: (N,).
        num_rows: U or I.

    Returns:
        (num_rows, 2): log(1 + number of ratings), and the mean rating shrunk by `SHRINKAGE`
        towards the mean of all; both standardised over the rows.
    """
    counts = np.bincount(rows, minlength=num_rows).astype(np.float64)
    sums = np.bincount(rows, weights=rating, minlength=num_rows)
    overall = float(rating.mean()) if rating.size else 0.0
    mean = (sums + SHRINKAGE * overall) / (counts + SHRINKAGE)
    return np.stack([standardised(np.log1p(counts)), standardised(mean)], axis=1)


def schema_for(users: SideTable, items: SideTable) -> FeatureSchema:
    """The schema: ids, the side tables' own features, training activity, and the history."""
    num_users, num_items = len(users.values), len(items.values)

    def kind_of_side(table: SideTable, kind: str) -> tuple[Feature, ...]:
        return tuple(f for f in table.features if f.kind == kind)

    return FeatureSchema(
        features=(
            Feature(name="user_id", side="context", kind="categorical", cardinality=num_users + 1),
            *kind_of_side(users, "categorical"),
            Feature(
                name="item_id", side="candidate", kind="categorical", cardinality=num_items + 1
            ),
            *kind_of_side(items, "categorical"),
            *kind_of_side(users, "dense"),
            Feature(name="user_num_ratings", side="context", kind="dense"),
            Feature(name="user_mean_rating", side="context", kind="dense"),
            *kind_of_side(items, "dense"),
            Feature(name="item_num_ratings", side="candidate", kind="dense"),
            Feature(name="item_mean_rating", side="candidate", kind="dense"),
            Feature(
                name="history",
                side="context",
                kind="multi_valued",
                cardinality=num_items + 1,
                vocabulary="item_id",
            ),
            *kind_of_side(users, "multi_valued"),
            *kind_of_side(items, "multi_valued"),
        ),
        item_id="item_id",
        context_id="user_id",
        history="history",
    )


def context_features(users: SideTable, train: RatingLog) -> Features:
    """Features of all U users as the training ratings show them; history weights are ratings."""
    num_users = len(users.values)
    rated = np.bincount(train.users, minlength=num_users) > 0
    ids = np.where(rated, np.arange(1, num_users + 1), 0)
    history = Ragged.from_pairs(train.users, train.items + 1, num_users, train.rating)
    return Features(
        np.column_stack([ids, users.values.categorical]).astype(np.int64),
        np.hstack([users.values.dense, activity(train.users, train.rating, num_users)]),
        (history, *users.values.multi_valued),
    )


def item_features(items: SideTable, train: RatingLog) -> Features:
    """Features of all I items as the training ratings show them."""
    num_items = len(items.values)
    ids = np.arange(1, num_items + 1)
    return Features(
        np.column_stack([ids, items.values.categorical]).astype(np.int64),
        np.hstack([items.values.dense, activity(train.items, train.rating, num_items)]),
        items.values.multi_valued,
    )
