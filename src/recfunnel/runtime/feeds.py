"""Features of a side as the named arrays that an exported graph reads.

Letters: R rows, F categorical and D dense features, L values of the longest list (at least 1).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.features import Features, FeatureSchema, Side
from recfunnel.core.padding import padded

RECORDS, GIVEN, SCORES = "records", "given", "scores"
"""Names of the items' compiled rows (C, width), the scores of other models (C, S), and the answer
(C,)."""


def categorical_name(side: Side) -> str:
    """Name of a side's ids: int64 (R, F)."""
    return f"{side}_categorical"


def dense_name(side: Side) -> str:
    """Name of a side's numbers: float32 (R, D)."""
    return f"{side}_dense"


def list_name(side: Side, column: int, part: str) -> str:
    """Name of a part of a multi-valued feature.

    Args:
        side: whose.
        column: among the side's multi-valued features.
        part: `ids` int64, `weights` or `present` float32 (1 for a value, 0 for filling), each
            (R, L); filling has id 0 and weight 0.
    """
    return f"{side}_list{column}_{part}"


def feeds_of(features: Features, side: Side, wanted: frozenset[str]) -> dict[str, NDArray[Any]]:
    """Arrays of one side.

    Args:
        features: R rows.
        side: whose they are.
        wanted: names of the graph's inputs; others are left out.

    Returns:
        By name.
    """
    feeds: dict[str, NDArray[Any]] = {}
    if (name := categorical_name(side)) in wanted:
        feeds[name] = np.ascontiguousarray(features.categorical, np.int64)
    if (name := dense_name(side)) in wanted:
        feeds[name] = np.ascontiguousarray(features.dense, np.float32)
    for column, lists in enumerate(features.multi_valued):
        names = {part: list_name(side, column, part) for part in ("ids", "weights", "present")}
        if not wanted.isdisjoint(names.values()):
            ids, weights, present = padded(lists)
            feeds |= {names["ids"]: ids, names["weights"]: weights, names["present"]: present}
    return {name: array for name, array in feeds.items() if name in wanted}


class SideCheck:
    """Holds features of a call against their schema: quick while all is well.

    Libraries take ids out of range and numbers that are not finite each in their own way, some in
    silence.

    Args:
        schema: features of both sides.
        side: whose features are checked.
    """

    def __init__(self, schema: FeatureSchema, side: Side) -> None:
        self._schema, self._side = schema, side
        self._sizes = np.array([f.cardinality for f in schema.select(side, "categorical")])
        self._list_sizes = [f.cardinality for f in schema.select(side, "multi_valued")]

    def check(self, features: Features) -> None:
        """Hold features against the schema.

        Raises:
            DataError: a column count differs, an id is outside its cardinality, a number is not
                finite.
        """
        ids = features.categorical
        good = ids.shape[1] == self._sizes.size
        good = good and len(features.multi_valued) == len(self._list_sizes)
        good = good and not ((ids < 0) | (ids >= self._sizes)).any()
        good = good and np.isfinite(features.dense).all()
        for lists, size in zip(features.multi_valued, self._list_sizes, strict=False):
            values = lists.values
            good = good and (not values.size or (values.min() >= 0 and values.max() < size))
        if not good:
            features.check(self._schema, self._side)
