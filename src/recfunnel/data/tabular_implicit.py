"""Own tables of (user, item) rows, ranked over the whole catalogue."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recfunnel.core.arrays import BoolArray, FloatArray, IntArray
from recfunnel.core.dataset import Dataset, Provenance
from recfunnel.core.errors import DataError
from recfunnel.core.features import Side
from recfunnel.data.implicit import Judgement, full_ranking_dataset
from recfunnel.data.rating_features import RatingLog, SideTable
from recfunnel.data.source_table import SourceTable, read_source
from recfunnel.data.splitting import TRAIN
from recfunnel.data.tabular_description import TableDescription
from recfunnel.data.tabular_features import ORIGIN, encode_features, one_row_each


@dataclass(frozen=True, eq=False, slots=True)
class _Entities:
    """All users or all items: their table by rising key, and the row of each interaction."""

    table: SourceTable
    rows: IntArray


def implicit_dataset(
    name: str,
    folder: Path,
    description: TableDescription,
    table: SourceTable,
    parts: IntArray,
    provenance: Provenance,
) -> Dataset:
    """Build the data set of a table of (user, item) rows.

    A row's rating is its rating, else its label, else 1. Users and items are known from the
    interactions and, where given, from files of their own; features missing there are missing
    values.

    Args:
        name: of the data set.
        folder: that relative file names start from.
        description: of the columns.
        table: the interactions.
        parts: (N,), the part of each row.
        provenance: where it comes from.

    Returns:
        The data set.

    Raises:
        DataError: a column is missing or holds what it must not, or a split is empty.
    """
    users = _entities(table, folder, description, "context")
    items = _entities(table, folder, description, "candidate")
    if (items.rows == items.rows[0]).all():
        raise DataError(
            f"{table.path}: column {description.item!r} holds 1 item, ranking needs at least 2; "
            "check that it is the column of items"
        )
    rating, min_rating = _ratings(table, description)
    log = RatingLog(users.rows, items.rows, rating)
    in_train = parts == TRAIN
    sides = (
        _side(users, description, "context", in_train),
        _side(items, description, "candidate", in_train),
    )
    return full_ranking_dataset(name, log, parts, sides, Judgement(min_rating), provenance)


def _ratings(table: SourceTable, description: TableDescription) -> tuple[FloatArray, float]:
    if description.rating and description.min_rating is not None:
        return table.numbers(description.rating).astype(np.float32), description.min_rating
    if description.label:
        return table.labels(description.label).astype(np.float32), 1.0
    return np.ones(table.frame.height, np.float32), 1.0


def _entities(
    table: SourceTable, folder: Path, description: TableDescription, side: Side
) -> _Entities:
    key, what, file = (
        (description.user, "user", description.users_file)
        if side == "context"
        else (description.item, "item", description.items_file)
    )
    keys = table.ids(key)
    if file:
        known = _from_own_file(read_source(folder / file, description.separator), key, keys)
    else:
        known = one_row_each(table, key, description.of_side(side), what)
    position = known.frame.select(key).with_row_index("row")
    found = keys.alias(key).to_frame().join(position, on=key, how="left", maintain_order="left")
    return _Entities(known, found["row"].to_numpy().astype(np.int64))


def _from_own_file(own: SourceTable, key: str, keys: pl.Series) -> SourceTable:
    listed = own.ids(key)
    if listed.is_duplicated().any():
        row = int(np.flatnonzero(listed.is_duplicated().to_numpy())[0])
        raise DataError(f"{own.where(row)}: {key} {listed[row]!r} is listed more than once")
    if listed.dtype != keys.dtype:
        raise DataError(
            f"{own.path}: {key} holds {listed.dtype}, in the interactions {keys.dtype}; "
            "store both the same way"
        )
    every = pl.concat([keys.alias(key), listed.alias(key)]).unique().sort().to_frame()
    numbered = own.frame.with_row_index(ORIGIN)
    frame = every.join(numbered, on=key, how="left", maintain_order="left")
    origin = frame[ORIGIN].cast(pl.Int64).fill_null(-1).to_numpy()
    return SourceTable(own.path, frame.drop(ORIGIN), own.is_text, origin)


def _side(
    entities: _Entities, description: TableDescription, side: Side, in_train: BoolArray
) -> SideTable:
    seen = np.zeros(entities.table.frame.height, np.bool_)
    seen[entities.rows[in_train]] = True
    key = description.user if side == "context" else description.item
    found = encode_features(entities.table, description.of_side(side), seen)
    return replace(found, keys=_plain(entities.table.ids(key)))


def _plain(keys: pl.Series) -> NDArray[Any]:
    """Whole numbers as they are, everything else as text; stored without pickling."""
    if keys.dtype.is_integer():
        return keys.cast(pl.Int64).to_numpy()
    return np.array(keys.cast(pl.String).to_list(), np.str_)
