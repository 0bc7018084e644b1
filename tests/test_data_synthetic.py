"""Generated data: the planted truth is what was drawn from, and knowing more ranks better."""

import numpy as np
import pytest

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import StudyError
from recfunnel.data.planted import STAR_CUTS, draw_ratings, truth_of, user_blocks
from recfunnel.data.synthetic import Synthetic, planted_scores, world_of

SPEC = Synthetic(num_users=400, num_items=300, mean_ratings=40)


def mean_ndcg(queries: QuerySet, scores: DoubleArray, k: int = 64) -> float:
    """A slow NDCG of per-query scores (Q, C), written for this test alone."""
    values = []
    for query in range(len(queries)):
        own = np.where(queries.allowed(query), scores[query], -np.inf)
        served = np.argsort(-own, kind="stable")[:k]
        hits = np.isin(served, queries.relevance.row(query))
        discounts = 1 / np.log2(np.arange(k) + 2)
        ideal = discounts[: min(k, queries.relevance.row(query).size)].sum()
        values.append(float((hits * discounts).sum() / ideal))
    return float(np.mean(values))


def query_users(queries: QuerySet) -> np.ndarray:
    return queries.context.categorical[:, 0] - 1


def test_users_meet_as_many_items_as_expected() -> None:
    world = world_of(SPEC, seed=1)
    users = np.arange(SPEC.num_users)
    met = truth_of(world, users).met
    assert np.allclose(met.sum(axis=1), world.expected_ratings, rtol=1e-6)


def test_ratings_are_drawn_with_the_planted_probabilities() -> None:
    """Over all pairs; a wrong formula by 2 % is 5 or more standard errors off."""
    spec = Synthetic(num_users=3000, num_items=300, mean_ratings=40)
    world = world_of(spec, seed=5)
    drawn, expected, variance = np.zeros(3), np.zeros(3), np.zeros(3)
    for block in user_blocks(spec.num_users):
        truth = truth_of(world, block)
        _, _, stars = draw_ratings(world, block)
        drawn += [stars.size, np.sum(stars >= 4), np.sum(stars >= 2)]
        for n, cut in enumerate((-np.inf, STAR_CUTS[2], STAR_CUTS[0])):
            probability = truth.met * (1 if n == 0 else truth.reaches(cut))
            expected[n] += probability.sum()
            variance[n] += (probability * (1 - probability)).sum()
    assert np.all(np.abs(drawn - expected) < 4 * np.sqrt(variance))
    assert np.all(0.02 * expected > 4 * np.sqrt(variance))


def test_popularity_follows_zipf() -> None:
    world = world_of(SPEC, seed=1)
    ordered = np.sort(world.popularity)[::-1]
    assert np.allclose(ordered, np.arange(1, 301) ** -0.8)


def test_planted_scores_are_the_probability_of_a_relevant_test_item() -> None:
    """Held against many draws of the test split of one world, pair by pair in deciles."""
    spec = Synthetic(num_users=3000, num_items=200, mean_ratings=30)
    dataset = spec.prepare(seed=2)
    queries = dataset.test
    scores = planted_scores(spec, 2)
    unseen = np.ones((spec.num_users, spec.num_items), bool)
    relevant = np.zeros_like(unseen)
    for query, user in enumerate(query_users(queries)):
        unseen[user] = queries.allowed(query)
        relevant[user, queries.relevance.row(query)] = True
    judged = np.zeros(spec.num_users, bool)
    judged[query_users(queries)] = True
    # users without a query have no relevant test item, but what they have seen is not stored there
    trained = np.zeros_like(unseen)
    trained[dataset.train.context_rows, dataset.train.item_rows] = True
    unseen &= ~trained
    order = np.argsort(scores[unseen])
    for decile in np.array_split(order, 10)[3:]:
        expected = scores[unseen][decile].astype(np.float64)
        found = relevant[unseen][decile]
        stderr = np.sqrt((expected * (1 - expected)).sum())
        assert abs(found.sum() - expected.sum()) < 4 * stderr


def test_knowing_more_of_the_world_ranks_better() -> None:
    dataset = SPEC.prepare(seed=3)
    queries = dataset.test
    users = query_users(queries)
    best = planted_scores(SPEC, 3, users)
    popular = np.bincount(
        dataset.train.item_rows, weights=dataset.train.label, minlength=SPEC.num_items
    )
    by_popularity = mean_ndcg(queries, np.tile(popular, (len(queries), 1)))
    noisy = mean_ndcg(
        queries, np.log(best) + 1.0 * np.random.default_rng(0).normal(size=best.shape)
    )
    known = mean_ndcg(queries, best)
    assert known > noisy + 0.02 > by_popularity + 0.02 > 0.05


def test_scores_equal_to_relevance_reach_the_ideal() -> None:
    queries = SPEC.prepare(seed=3).test
    perfect = np.zeros((len(queries), SPEC.num_items))
    for query in range(len(queries)):
        perfect[query, queries.relevance.row(query)] = 1
    assert mean_ndcg(queries, perfect) == pytest.approx(1)


def test_more_signal_leaves_more_to_be_gained() -> None:
    gains = []
    for signal in (0.0, 1.5):
        spec = Synthetic(num_users=400, num_items=300, mean_ratings=40, signal=signal)
        queries = spec.prepare(seed=4).test
        best = planted_scores(spec, 4, query_users(queries))
        average = np.tile(planted_scores(spec, 4).mean(axis=0), (len(queries), 1))
        gains.append(mean_ndcg(queries, best) - mean_ndcg(queries, average))
    assert gains[1] > gains[0] + 0.05


def test_scores_of_some_users_are_those_of_all() -> None:
    users = np.array([7, 3, 300], np.int64)
    assert np.allclose(planted_scores(SPEC, 1, users), planted_scores(SPEC, 1)[users], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_users": 0}, "num_users is 0, must be at least 1"),
        ({"feature_share": 1.5}, r"feature_share is 1.5, must be 0 to 1"),
        ({"mean_ratings": 800.0}, "mean_ratings is 800, must be above 0 and at most 750"),
        ({"signal": -1.0}, "must not be below 0"),
        ({"fractions": (0.9, 0.1, 0.1)}, "sum to 1"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Synthetic(**change)
