"""Ids that a training log reads computed tables by, counted by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.compile.id_counts import count_ids, count_interactions
from recfunnel.core.arrays import Ragged
from recfunnel.core.computed import HashedRows
from recfunnel.core.features import Features
from recfunnel.core.graph import Lookup, Pool, RankingGraph, RowSum, Sum

TABLES = tuple(HashedRows(name=name, num_ids=9, dim=1, table="t") for name in ("a", "b", "c"))
GRAPH = RankingGraph(
    nodes=(
        Lookup(side="context", column=0, table="a"),
        Lookup(side="candidate", column=0, table="a"),
        Pool(side="candidate", column=0, table="b", norm="mean"),
        RowSum(list_column=0, id_column=0, table="c"),
        Lookup(side="candidate", column=0, table="stored"),
        Sum(terms_of=(0, 1, 2, 3, 4)),
    ),
    score_of=5,
    computed=TABLES,
)


def features(ids: list[int], lists: list[list[int]]) -> Features:
    return Features(
        np.array(ids)[:, None],
        np.zeros((len(ids), 0), np.float32),
        (Ragged.from_rows(lists),),
    )


CONTEXT = features([1, 2], [[4], [4, 5]])
ITEMS = features([1, 7, 8], [[3], [], [6, 3]])


def plain(counts: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, dict[int, int]]:
    return {
        name: dict(zip(ids.tolist(), number.tolist(), strict=True))
        for name, (ids, number) in counts.items()
    }


def test_an_interaction_counts_the_ids_of_both_its_rows() -> None:
    counts = count_interactions(
        GRAPH, CONTEXT, ITEMS, np.array([0, 1, 1, 1]), np.array([0, 0, 2, 2])
    )

    assert plain(counts) == {
        "a": {1: 1 + 2, 2: 3, 8: 2},
        "b": {3: 4, 6: 2},
        "c": {4: 1 + 3, 5: 3},
    }


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 2)), min_size=1, max_size=12))
def test_interactions_are_queries_of_one_candidate(pairs: list[tuple[int, int]]) -> None:
    """Where no interaction has an id twice, for item 0 shares one with a context."""
    rows = np.array(pairs)

    found = count_interactions(GRAPH, CONTEXT, ITEMS, rows[:, 0], rows[:, 1])

    asked = count_ids(GRAPH, CONTEXT.take(rows[:, 0]), ITEMS, rows[:, 1:])
    assert plain(found) == plain(asked)
