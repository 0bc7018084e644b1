"""Ids of values: id 0 is unknown, the most frequent known value is 1, the next 2, and so on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recfunnel.core.arrays import IntArray, Ragged


@dataclass(frozen=True, eq=False, slots=True)
class Vocabulary:
    """The values that have an id of their own.

    Args:
        table: columns value and id, one row a known value, ids 1 .. K.
        missing_id: id of a missing value (null); 0 where none was frequent enough.
    """

    table: pl.DataFrame
    missing_id: int = 0

    @property
    def cardinality(self) -> int:
        """Number of ids, unknown included."""
        return self.table.height + 1 + bool(self.missing_id)

    def encode(self, values: pl.Series) -> IntArray:
        """(N,), the id of each value; 0 for one that is not known."""
        found = (
            values.alias("value")
            .to_frame()
            .join(self.table, on="value", how="left", maintain_order="left")["id"]
            .fill_null(0)
            .to_numpy()
            .astype(np.int64)
        )
        if values.null_count():
            found[values.is_null().to_numpy()] = self.missing_id
        return found

    def encode_lists(self, lists: pl.Series) -> Ragged:
        """A row of ids for each list of values; unknown values stay, as id 0; null is empty."""
        lengths = lists.list.len().fill_null(0).to_numpy()
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        flat = lists.filter(lengths > 0).explode()
        return Ragged(self.encode(flat) if flat.len() else np.zeros(0, np.int64), offsets)


def count_values(values: pl.Series) -> pl.DataFrame:
    """How often each value occurs: columns value and count; missing ones under null."""
    return values.alias("value").to_frame().group_by("value").agg(pl.len().alias("count"))


def merge_counts(counts: list[pl.DataFrame]) -> pl.DataFrame:
    """Add counts of several blocks of rows."""
    return pl.concat(counts).group_by("value").agg(pl.col("count").sum())


def fit_vocabulary(counts: pl.DataFrame, min_count: int = 1) -> Vocabulary:
    """Give ids by falling frequency, equal frequencies by rising value.

    Args:
        counts: as `count_values` returns, of training rows only.
        min_count: rarer values share id 0 with those never seen.

    Returns:
        The vocabulary; a missing value that is frequent enough has the last id of all.
    """
    frequent = counts.filter(pl.col("count") >= min_count)
    known = frequent.filter(pl.col("value").is_not_null())
    table = known.sort(["count", "value"], descending=[True, False]).select(
        "value", pl.int_range(1, known.height + 1, dtype=pl.Int64).alias("id")
    )
    has_missing = frequent.height > known.height
    return Vocabulary(table, known.height + 1 if has_missing else 0)


def vocabulary_of(values: pl.Series | list[Any], min_count: int = 1) -> Vocabulary:
    """Fit a vocabulary to a column."""
    return fit_vocabulary(count_values(pl.Series("value", values)), min_count)
