"""What is known of a context (who asks) and of an item (what is ranked), as arrays.

Letters: N rows, F categorical features, D dense features.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import FloatArray, IntArray, Ragged
from recfunnel.core.errors import DataError, InvalidInput
from recfunnel.core.spec import Value

Side = Literal["context", "candidate"]
FeatureKind = Literal["categorical", "dense", "multi_valued"]

UNKNOWN_ID = 0
"""Id 0 of every vocabulary stands for every value never (or too rarely) seen in training."""


class Feature(Value, frozen=True):
    """One feature of a context or of an item.

    Args:
        name: unique within the schema.
        side: `context` is constant in a query; `candidate` belongs to an item.
        kind: `categorical` one id, `dense` one number, `multi_valued` any number of weighted ids.
        cardinality: number of ids, id 0 (unknown) included; 0 for a dense feature.
        vocabulary: name of the id space; features that name the same one share their ids (a
            user's history and the item id, say). Empty means the feature's own.
    """

    name: str
    side: Side
    kind: FeatureKind
    cardinality: int = 0
    vocabulary: str = ""

    def __post_init__(self) -> None:
        if self.kind == "dense" and self.cardinality:
            raise InvalidInput(f"dense feature {self.name!r} has no ids; cardinality must be 0")
        if self.kind != "dense" and self.cardinality < 1:
            raise InvalidInput(
                f"feature {self.name!r} has {self.cardinality} ids, needs at least 1 (unknown)"
            )

    @property
    def id_space(self) -> str:
        """The name of the vocabulary its ids belong to."""
        return self.vocabulary or self.name


class FeatureSchema(Value, frozen=True):
    """All features, in the column order of `Features`.

    Args:
        features: categorical, dense and multi-valued of both sides; order within one side and
            kind is the column order.
        item_id: name of the candidate feature that identifies an item; empty where items have no
            identity (every Criteo row is its own item).
        context_id: name of the context feature that identifies who asks; may be empty.
        history: name of the multi-valued context feature that lists the items seen, whose ids are
            the item id's; may be empty.
    """

    features: tuple[Feature, ...]
    item_id: str = ""
    context_id: str = ""
    history: str = ""

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidInput(f"feature names must be unique; twice: {', '.join(twice)}")
        for role in (self.item_id, self.context_id, self.history):
            if role and role not in names:
                raise InvalidInput(f"{role!r} is no feature; known: {', '.join(names)}")

    def select(self, side: Side, kind: FeatureKind) -> tuple[Feature, ...]:
        """Features of one side and kind, in column order."""
        return tuple(f for f in self.features if f.side == side and f.kind == kind)

    def feature(self, name: str) -> Feature:
        """The feature of that name.

        Raises:
            InvalidInput: there is none.
        """
        for feature in self.features:
            if feature.name == name:
                return feature
        known = ", ".join(f.name for f in self.features)
        raise InvalidInput(f"no feature {name!r}; known: {known}")

    def column(self, name: str) -> int:
        """Position of a feature among those of its side and kind."""
        feature = self.feature(name)
        return self.select(feature.side, feature.kind).index(feature)


@dataclass(frozen=True, eq=False, slots=True)
class Features:
    """Feature values of N rows of one side.

    Args:
        categorical: int64 (N, F), ids.
        dense: float32 (N, D), finite.
        multi_valued: one `Ragged` of N rows for each multi-valued feature; a row may be empty.
    """

    categorical: IntArray
    dense: FloatArray
    multi_valued: tuple[Ragged, ...] = ()

    def __post_init__(self) -> None:
        lengths = {self.categorical.shape[0], self.dense.shape[0]}
        lengths |= {len(ragged) for ragged in self.multi_valued}
        if len(lengths) != 1:
            raise InvalidInput(f"features of one side differ in rows: {sorted(lengths)}")

    def __len__(self) -> int:
        return int(self.categorical.shape[0])

    def take(self, rows: IntArray) -> "Features":
        """The given rows, in the given order, repeats allowed."""
        return Features(
            self.categorical[rows],
            self.dense[rows],
            tuple(ragged.take(rows) for ragged in self.multi_valued),
        )

    def row(self, index: int) -> "Features":
        """One row, as `Features` of length 1."""
        ragged = tuple(
            Ragged(
                r.row(index),
                np.array([0, r.offsets[index + 1] - r.offsets[index]], np.int64),
                None if r.weights is None else r.row_weights(index),
            )
            for r in self.multi_valued
        )
        span = slice(index, index + 1)
        return Features(self.categorical[span], self.dense[span], ragged)

    def check(self, schema: FeatureSchema, side: Side) -> None:
        """Hold the arrays against a schema.

        Raises:
            DataError: a column count differs, an id is outside its cardinality, a number is not
                finite; the message names the feature and the first such row.
        """
        categorical = schema.select(side, "categorical")
        dense = schema.select(side, "dense")
        multi = schema.select(side, "multi_valued")
        have = (self.categorical.shape[1], self.dense.shape[1], len(self.multi_valued))
        want = (len(categorical), len(dense), len(multi))
        if have != want:
            raise DataError(
                f"{side} features have {have} (categorical, dense, multi-valued) columns, "
                f"the schema says {want}"
            )
        for column, feature in enumerate(categorical):
            _check_ids(self.categorical[:, column], feature)
        for ragged, feature in zip(self.multi_valued, multi, strict=True):
            _check_ids(ragged.values, feature)
        for column, feature in enumerate(dense):
            bad = np.flatnonzero(~np.isfinite(self.dense[:, column]))
            if bad.size:
                raise DataError(f"{feature.name!r} is not finite in row {bad[0]} ({bad.size} rows)")

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Arrays to store, under names that begin with `prefix`."""
        arrays: dict[str, NDArray[Any]] = {
            f"{prefix}.categorical": self.categorical,
            f"{prefix}.dense": self.dense,
        }
        for number, ragged in enumerate(self.multi_valued):
            arrays |= ragged.to_arrays(f"{prefix}.multi{number}")
        return arrays

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray[Any]], prefix: str) -> "Features":
        """The inverse of `to_arrays`."""
        number, multi = 0, []
        while f"{prefix}.multi{number}.values" in arrays:
            multi.append(Ragged.from_arrays(arrays, f"{prefix}.multi{number}"))
            number += 1
        return Features(arrays[f"{prefix}.categorical"], arrays[f"{prefix}.dense"], tuple(multi))

    @staticmethod
    def unknown(schema: FeatureSchema, side: Side, num_rows: int) -> "Features":
        """Rows as a schema has them, with unknown ids, zeros and empty lists."""
        lists = (Ragged.from_rows([[]] * num_rows) for _ in schema.select(side, "multi_valued"))
        return Features(
            np.full((num_rows, len(schema.select(side, "categorical"))), UNKNOWN_ID, np.int64),
            np.zeros((num_rows, len(schema.select(side, "dense"))), np.float32),
            tuple(lists),
        )

    @staticmethod
    def empty(num_rows: int) -> "Features":
        """Rows about which nothing is known."""
        return Features(np.zeros((num_rows, 0), np.int64), np.zeros((num_rows, 0), np.float32))


def _check_ids(ids: IntArray, feature: Feature) -> None:
    bad = np.flatnonzero((ids < 0) | (ids >= feature.cardinality))
    if bad.size:
        raise DataError(
            f"{feature.name!r} has id {ids[bad[0]]} at position {bad[0]}, "
            f"allowed 0 to {feature.cardinality - 1} (0 is unknown)"
        )
