"""Full-catalogue queries against a slow reading of the protocol."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.dataset import Dataset, Provenance
from recfunnel.core.errors import DataError
from recfunnel.core.features import Features
from recfunnel.data.implicit import Judgement, full_ranking_dataset
from recfunnel.data.rating_features import SHRINKAGE, RatingLog, SideTable, activity

NUM_USERS, NUM_ITEMS = 5, 6
PROVENANCE = Provenance(source="made up", licence="none", split="by hand")
Row = tuple[int, int, int, int]
ROWS = st.lists(
    st.tuples(
        st.integers(0, NUM_USERS - 2),
        st.integers(0, NUM_ITEMS - 1),
        st.integers(1, 5),
        st.integers(0, 2),
    ),
    max_size=40,
)


def build(rows: list[Row], judgement: Judgement) -> Dataset:
    users, items, rating, parts = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    log = RatingLog(users, items, rating.astype(np.float32))
    sides = (SideTable((), Features.empty(NUM_USERS)), SideTable((), Features.empty(NUM_ITEMS)))
    return full_ranking_dataset("made-up", log, parts, sides, judgement, PROVENANCE)


FIXED: list[Row] = [(0, 0, 5, 0), (0, 1, 5, 1), (0, 2, 5, 2), (1, 3, 2, 0)]


@settings(max_examples=150, deadline=None)
@given(rows=ROWS)
def test_queries_are_what_the_protocol_says(rows: list[Row]) -> None:
    # the last user keeps every split from being empty
    rows = [*rows, *((NUM_USERS - 1, item, 5, part) for item, part in ((0, 0), (1, 1), (2, 2)))]
    judgement = Judgement(4.0, "rating")
    dataset = build(rows, judgement)
    for part, queries in ((1, dataset.validation), (2, dataset.test)):
        expected = {}
        for user in range(NUM_USERS):
            seen = {i for u, i, _, p in rows if u == user and p < part}
            gains: dict[int, int] = {}
            for u, i, r, p in rows:
                if u == user and p == part and r >= 4 and i not in seen:
                    gains[i] = max(r, gains.get(i, 0))
            if gains:
                trained = any(u == user and p == 0 for u, _, _, p in rows)
                expected[user] = (user + 1 if trained else 0, sorted(seen), sorted(gains.items()))
        found = []
        for query in range(len(queries)):
            gains_found = zip(
                queries.relevance.row(query).tolist(),
                queries.relevance.row_weights(query).tolist(),
                strict=True,
            )
            found.append(
                (
                    int(queries.context.categorical[query, 0]),
                    queries.excluded.row(query).tolist(),
                    list(gains_found),
                )
            )
        assert found == list(expected.values())


def test_history_lists_training_items_weighted_by_rating() -> None:
    dataset = build([*FIXED, (0, 4, 3, 0)], Judgement(4.0))
    history = dataset.context.multi_valued[0]
    assert history.row(0).tolist() == [1, 5]
    assert history.row_weights(0).tolist() == [5.0, 3.0]
    assert history.row(2).size == 0


def test_low_ratings_train_with_label_0() -> None:
    train = build(FIXED, Judgement(4.0)).train
    assert train.label.tolist() == [1.0, 0.0]
    assert train.rating.tolist() == [5.0, 2.0]


def test_a_binary_gain_is_1() -> None:
    assert build(FIXED, Judgement(4.0)).test.relevance.weights.tolist() == [1.0]


@pytest.mark.parametrize(("part", "name"), [(0, "train"), (1, "validation"), (2, "test")])
def test_an_empty_split_is_an_error(part: int, name: str) -> None:
    rows = [row for row in FIXED if row[3] != part]
    with pytest.raises(DataError, match=f"the {name} split is empty"):
        build(rows, Judgement(4.0))


def test_a_split_with_nothing_relevant_is_an_error() -> None:
    rows = [(u, i, 2 if p == 2 else r, p) for u, i, r, p in FIXED]
    with pytest.raises(
        DataError, match=r"none of 1 held-out ratings is at least 4 .*lower min_rating"
    ):
        build(rows, Judgement(4.0))


def test_mean_ratings_are_shrunk_towards_the_mean_of_all() -> None:
    rows = np.array([0, 0, 1])
    rating = np.array([5, 5, 2], np.float32)
    features = activity(rows, rating, 3)
    overall = 4.0
    means = [(10 + SHRINKAGE * overall) / (2 + SHRINKAGE), (2 + SHRINKAGE * overall) / 11, overall]
    expected = (np.array(means) - np.mean(means)) / np.std(means)
    assert np.allclose(features[:, 1], expected, atol=1e-5)
    assert np.allclose(features.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(features.std(axis=0), 1, atol=1e-6)
