"""Described columns of a table as `Features`; vocabularies and scales come from training rows."""

import numpy as np
import polars as pl

from recfunnel.core.arrays import BoolArray, DoubleArray, FloatArray, IntArray, Ragged
from recfunnel.core.errors import DataError
from recfunnel.core.features import Feature, Features
from recfunnel.data.rating_features import SideTable
from recfunnel.data.source_table import SourceTable
from recfunnel.data.tabular_description import TableFeature
from recfunnel.data.vocabulary import vocabulary_of

ORIGIN = " row of the file"
"""Name of a column that keeps row numbers; no real column begins with a blank."""


def encode_features(
    table: SourceTable, described: tuple[TableFeature, ...], is_train: BoolArray
) -> SideTable:
    """Encode the columns of one side.

    Args:
        table: one row a user, item or query row.
        described: features of this side.
        is_train: (N,), the rows that vocabularies and scales are fitted on.

    Returns:
        Features and their values; a missing categorical value is a value like any other.

    Raises:
        DataError: a column is missing or holds what it must not.
    """
    features: list[Feature] = []
    categorical: list[IntArray] = []
    dense: list[FloatArray] = []
    multi_valued: list[Ragged] = []
    for feature in described:
        cardinality = 0
        if feature.kind == "categorical":
            ids, cardinality = _categorical(table, feature, is_train)
            categorical.append(ids)
        elif feature.kind == "dense":
            dense.append(_scaled(table.numbers(feature.name, feature.fill), feature, is_train))
        else:
            lists, cardinality = _multi_valued(table, feature, is_train)
            multi_valued.append(lists)
        features.append(
            Feature(
                name=feature.name, side=feature.side, kind=feature.kind, cardinality=cardinality
            )
        )
    num_rows = table.frame.height
    values = Features(
        _stacked(categorical, num_rows, np.int64),
        _stacked(dense, num_rows, np.float32),
        tuple(multi_valued),
    )
    return SideTable(tuple(features), values)


def _stacked(
    columns: list[IntArray] | list[FloatArray], num_rows: int, dtype: type[np.generic]
) -> np.ndarray:
    if not columns:
        return np.zeros((num_rows, 0), dtype)
    return np.column_stack(columns).astype(dtype)


def _categorical(
    table: SourceTable, feature: TableFeature, is_train: BoolArray
) -> tuple[IntArray, int]:
    values = table.column(feature.name)
    if values.dtype.is_nested():
        raise DataError(
            f"{table.path}: column {feature.name!r} holds lists; describe it as multi_valued"
        )
    known = vocabulary_of(values.filter(pl.Series(is_train)), feature.min_count)
    return known.encode(values), known.cardinality


def _multi_valued(
    table: SourceTable, feature: TableFeature, is_train: BoolArray
) -> tuple[Ragged, int]:
    values = table.column(feature.name)
    if values.dtype == pl.String:
        values = values.str.split(feature.separator)
    elif not isinstance(values.dtype, pl.List):
        raise DataError(
            f"{table.path}: multi-valued column {feature.name!r} holds {values.dtype}, must hold "
            "text or lists"
        )
    in_train = values.filter(pl.Series(is_train)).explode().drop_nulls()
    known = vocabulary_of(in_train, feature.min_count)
    return known.encode_lists(values), known.cardinality


def _scaled(values: DoubleArray, feature: TableFeature, is_train: BoolArray) -> FloatArray:
    if feature.scale == "log":
        return np.log1p(np.maximum(values, 0)).astype(np.float32)
    if feature.scale == "none":
        return values.astype(np.float32)
    fitted = values[is_train]
    spread = float(fitted.std())
    centred: FloatArray = ((values - fitted.mean()) / (spread or 1.0)).astype(np.float32)
    return centred


def one_row_each(
    table: SourceTable, key: str, described: tuple[TableFeature, ...], what: str
) -> SourceTable:
    """Collapse rows of one user, item or query to one, by rising key.

    Args:
        table: any number of rows a key.
        key: the column of the key.
        described: the features that must not vary within a key.
        what: the key in words, for errors.

    Returns:
        One row a key, with the key and the features.

    Raises:
        DataError: a feature varies within a key.
    """
    keys = table.ids(key)
    names = [feature.name for feature in described if feature.name != key]
    columns = [keys.alias(key), *(table.column(name).alias(name) for name in names)]
    frame = pl.DataFrame(columns)
    for name in names:
        distinct = frame.select(key, name).unique()
        if distinct.height > frame[key].n_unique():
            value = distinct.filter(pl.col(key).is_duplicated()).sort(key)[key].to_list()[0]
            raise DataError(
                f"{table.path}: {name} differs between rows of {what} {value!r}; a feature of the "
                f"{what} must be the same in all of them"
            )
    collapsed = frame.with_row_index(ORIGIN).unique(subset=key, keep="first").sort(key)
    origin = collapsed[ORIGIN].to_numpy().astype(np.int64)
    return SourceTable(table.path, collapsed.drop(ORIGIN), table.is_text, origin)
