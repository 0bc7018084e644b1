"""Vocabularies: most frequent first, rare and unseen values share id 0."""

from collections import Counter

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.data.vocabulary import (
    count_values,
    fit_vocabulary,
    merge_counts,
    vocabulary_of,
)

VALUES = st.lists(st.one_of(st.none(), st.sampled_from("abcdefg")), min_size=1, max_size=60)


def series(values: list[str | None]) -> pl.Series:
    return pl.Series("v", values, dtype=pl.String)


@given(VALUES, VALUES, st.integers(1, 4))
def test_ids_match_a_dictionary_built_by_hand(
    train: list[str | None], other: list[str | None], min_count: int
) -> None:
    counts = Counter(train)
    known = sorted(
        (v for v in counts if v is not None and counts[v] >= min_count),
        key=lambda v: (-counts[v], v),
    )
    ids: dict[str | None, int] = {v: n for n, v in enumerate(known, start=1)}
    if counts[None] >= min_count:
        ids[None] = len(known) + 1
    fitted = vocabulary_of(series(train), min_count)
    assert fitted.cardinality == len(ids) + 1
    assert fitted.encode(series(other)).tolist() == [ids.get(v, 0) for v in other]


@given(VALUES, st.integers(0, 60))
def test_counting_in_blocks_changes_nothing(values: list[str | None], cut: int) -> None:
    blocks = [count_values(series(part)) for part in (values[:cut], values[cut:]) if part]
    whole = fit_vocabulary(count_values(series(values)))
    assert fit_vocabulary(merge_counts(blocks)).table.equals(whole.table)


def test_lists_keep_their_order_and_their_unknown_values() -> None:
    known = vocabulary_of(series(["a", "a", "b"]))
    lists = known.encode_lists(pl.Series([["b", "z", "a"], None, [], ["a"]]))
    assert [lists.row(n).tolist() for n in range(4)] == [[2, 0, 1], [], [], [1]]


def test_equal_frequencies_are_ordered_by_value_whatever_the_row_order() -> None:
    rng = np.random.default_rng(0)
    values = [f"{n:03d}" for n in range(200)]
    tables = [
        vocabulary_of(series([values[i] for i in rng.permutation(200)])).table for _ in range(2)
    ]
    assert tables[0].equals(tables[1])
