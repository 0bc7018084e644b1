"""A prepared data set: training interactions and query sets over shared features.

Letters: U contexts, I items, N interactions, Q queries, C columns. A *column* is a position in a
query's candidate list; where every item is a candidate, column j is item j.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import BoolArray, FloatArray, IntArray, Ragged
from recfunnel.core.errors import DataError
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.registry import Registry
from recfunnel.core.spec import Value, convert, to_builtins
from recfunnel.core.storage import load_arrays, save_arrays

TaskKind = Literal["implicit", "ctr"]


class Provenance(Value, frozen=True):
    """Where a prepared data set comes from.

    Args:
        source: what was read, by public name.
        licence: its terms in a line.
        split: how rows were divided, in words.
        seed: seed of that division.
        sha256: of each source file, by file name.
        notes: anything a reader of the numbers must know.
    """

    source: str
    licence: str
    split: str
    seed: int = 0
    sha256: dict[str, str] = {}  # noqa: RUF012 - msgspec copies the default
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Interactions:
    """N observed (context, item) pairs.

    Args:
        context_rows: int64 (N,), rows of the context features.
        item_rows: int64 (N,), rows of the item features.
        label: float32 (N,), 1 relevant or clicked, else 0.
        rating: float32 (N,), the observed strength (stars); the label where there is none.
    """

    context_rows: IntArray
    item_rows: IntArray
    label: FloatArray
    rating: FloatArray

    def __post_init__(self) -> None:
        sizes = {self.context_rows.size, self.item_rows.size, self.label.size, self.rating.size}
        if len(sizes) != 1:
            raise DataError(f"interaction columns differ in length: {sorted(sizes)}")
        wrong = np.flatnonzero((self.label != 0) & (self.label != 1))
        if wrong.size:
            raise DataError(
                f"label is {self.label[wrong[0]]} in row {wrong[0]}, must be 0 or 1 "
                f"({wrong.size} such rows)"
            )

    def __len__(self) -> int:
        return int(self.label.size)

    def take(self, rows: IntArray | BoolArray) -> "Interactions":
        """The given rows (indices or a mask)."""
        return Interactions(
            self.context_rows[rows], self.item_rows[rows], self.label[rows], self.rating[rows]
        )


@dataclass(frozen=True, eq=False, slots=True)
class QuerySet:
    """Q queries: who asks, what may be answered, and what would have been right.

    Args:
        schema: of both sides.
        context: Features of Q rows, row q is query q.
        items: Features of all I items, shared by every query, never repeated.
        candidates: int64 (Q, C), rows of `items`; None means all items in order (C = I).
        excluded: Q rows of columns that must not be ranked (already seen); may be empty rows.
        relevance: Q rows of columns with their gains (> 0) as weights; all other gains are 0.
    """

    schema: FeatureSchema
    context: Features
    items: Features
    candidates: IntArray | None
    excluded: Ragged
    relevance: Ragged

    def __post_init__(self) -> None:
        counts = {len(self.context), len(self.excluded), len(self.relevance)}
        if self.candidates is not None:
            counts.add(self.candidates.shape[0])
        if len(counts) != 1:
            raise DataError(f"query set parts differ in number of queries: {sorted(counts)}")
        for what, ragged in (("excluded", self.excluded), ("relevant", self.relevance)):
            if ragged.values.size and int(ragged.values.max()) >= self.num_columns:
                raise DataError(
                    f"{what} column {int(ragged.values.max())} of {self.num_columns} columns"
                )

    def __len__(self) -> int:
        return len(self.context)

    @property
    def num_columns(self) -> int:
        """C, the length of the longest candidate list."""
        return len(self.items) if self.candidates is None else int(self.candidates.shape[1])

    def item_rows(self, query: int, columns: IntArray) -> IntArray:
        """Rows of `items` behind some columns of a query."""
        return columns if self.candidates is None else self.candidates[query, columns]

    def allowed(self, query: int) -> BoolArray:
        """(C,), the columns that may be ranked."""
        mask = np.ones(self.num_columns, np.bool_)
        mask[self.excluded.row(query)] = False
        return mask

    def take(self, queries: IntArray) -> "QuerySet":
        """Some of the queries."""
        return QuerySet(
            self.schema,
            self.context.take(queries),
            self.items,
            None if self.candidates is None else self.candidates[queries],
            self.excluded.take(queries),
            self.relevance.take(queries),
        )


@dataclass(frozen=True, eq=False, slots=True)
class Dataset:
    """Everything a study learns from and is judged on.

    Args:
        name: short, for people.
        task: `implicit` ranks items for a user; `ctr` predicts clicks on rows.
        schema: of both sides.
        context: Features of U contexts, as known at training time.
        items: Features of I items.
        train: interactions between them.
        validation: for every choice made while building.
        test: for reporting only.
        provenance: where it comes from.
        context_keys: (U,), what the source calls each context; None where only rows number them.
        item_keys: (I,), likewise of the items.
    """

    name: str
    task: TaskKind
    schema: FeatureSchema
    context: Features
    items: Features
    train: Interactions
    validation: QuerySet
    test: QuerySet
    provenance: Provenance
    context_keys: NDArray[Any] | None = None
    item_keys: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        for split, size in (
            ("train", len(self.train)),
            ("validation", len(self.validation)),
            ("test", len(self.test)),
        ):
            if not size:
                raise DataError(
                    f"{self.name}: the {split} split is empty; give more data or other fractions"
                )
        for what, keys, rows in (
            ("context", self.context_keys, self.context),
            ("item", self.item_keys, self.items),
        ):
            if keys is not None and keys.shape != (len(rows),):
                raise DataError(f"{self.name}: {keys.size} {what} keys for {len(rows)} rows")

    def check(self) -> None:
        """Hold every array against the schema.

        Raises:
            DataError: an id, a number or a row number is out of range, or queries bring different
                numbers of candidates at validation and test.
        """
        sizes = (self.validation.num_columns, self.test.num_columns)
        if sizes[0] != sizes[1]:
            raise DataError(
                f"{self.name}: queries have {sizes[0]} candidates at validation and {sizes[1]} at "
                "test; pad the shorter ones and exclude the padding"
            )
        self.context.check(self.schema, "context")
        self.items.check(self.schema, "candidate")
        for queries in (self.validation, self.test):
            queries.context.check(self.schema, "context")
        for what, rows, limit in (
            ("context", self.train.context_rows, len(self.context)),
            ("item", self.train.item_rows, len(self.items)),
        ):
            if int(rows.max()) >= limit or int(rows.min()) < 0:
                raise DataError(f"{what} row {int(rows.max())} of {limit} in the training rows")


def save_dataset(folder: Path, dataset: Dataset) -> None:
    """Store a data set as one folder; item features are stored once."""
    arrays: dict[str, NDArray[Any]] = {
        **dataset.context.to_arrays("context"),
        **dataset.items.to_arrays("items"),
        "train.context_rows": dataset.train.context_rows,
        "train.item_rows": dataset.train.item_rows,
        "train.label": dataset.train.label,
        "train.rating": dataset.train.rating,
    }
    for split, queries in (("validation", dataset.validation), ("test", dataset.test)):
        arrays |= queries.context.to_arrays(f"{split}.context")
        arrays |= queries.excluded.to_arrays(f"{split}.excluded")
        arrays |= queries.relevance.to_arrays(f"{split}.relevance")
        if queries.candidates is not None:
            arrays[f"{split}.candidates"] = queries.candidates
    for side, keys in (("context", dataset.context_keys), ("items", dataset.item_keys)):
        if keys is not None:
            arrays[f"{side}.keys"] = keys
    manifest = {
        "name": dataset.name,
        "task": dataset.task,
        "schema": to_builtins(dataset.schema),
        "provenance": to_builtins(dataset.provenance),
    }
    save_arrays(folder, arrays, manifest)


def load_dataset(folder: Path) -> Dataset:
    """Read what `save_dataset` wrote, arrays memory-mapped.

    Raises:
        StorageError: missing, damaged, or of another version.
    """
    arrays, manifest = load_arrays(folder)
    schema = convert(manifest["schema"], FeatureSchema, name=f"{folder}: schema")
    items = Features.from_arrays(arrays, "items")
    return Dataset(
        name=manifest["name"],
        task=manifest["task"],
        schema=schema,
        context=Features.from_arrays(arrays, "context"),
        items=items,
        train=Interactions(
            arrays["train.context_rows"],
            arrays["train.item_rows"],
            arrays["train.label"],
            arrays["train.rating"],
        ),
        validation=_query_set(arrays, "validation", schema, items),
        test=_query_set(arrays, "test", schema, items),
        provenance=convert(manifest["provenance"], Provenance, name=f"{folder}: provenance"),
        context_keys=arrays.get("context.keys"),
        item_keys=arrays.get("items.keys"),
    )


def _query_set(
    arrays: Mapping[str, NDArray[Any]], split: str, schema: FeatureSchema, items: Features
) -> QuerySet:
    stored = dict(arrays)
    return QuerySet(
        schema=schema,
        context=Features.from_arrays(stored, f"{split}.context"),
        items=items,
        candidates=stored.get(f"{split}.candidates"),
        excluded=Ragged.from_arrays(stored, f"{split}.excluded"),
        relevance=Ragged.from_arrays(stored, f"{split}.relevance"),
    )


class DatasetSpec:
    """Role of a spec that prepares a data set; see `recfunnel.data`."""

    __slots__ = ()

    @abstractmethod
    def prepare(self, *, seed: int, progress: Progress = SILENT) -> Dataset:
        """Read or generate the data and split it; the same seed gives the same data set.

        Raises:
            DataError: a file is missing, malformed or holds a value out of range.
        """


datasets: Registry[DatasetSpec] = Registry(DatasetSpec, "recfunnel.data")
"""Kinds of data set, one file each in `recfunnel.data`."""
