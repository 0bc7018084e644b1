"""List metrics against scikit-learn, ir-measures, hand-made cases and laws."""

import math
import shutil
from collections.abc import Callable

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, R, Success, nDCG
from sklearn.metrics import ndcg_score

from quality_cases import query_set, random_queries, random_tables
from recfunnel.core.arrays import DoubleArray, IntArray, Ragged
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import DataError, InvalidInput
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import pipeline_of
from recfunnel.quality import metrics
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.judged import JudgedQueries, judge

seeds = st.integers(0, 2**32 - 1)


def served(queries: QuerySet, scores: np.ndarray) -> tuple[JudgedQueries, IntArray]:
    """Ranks of the relevant columns when one model ranks everything."""
    num_columns = queries.num_columns
    book = ScoreBook(queries, [ScoreTable("a", scores)], num_columns, num_threads=1)
    return book.judged, book.ranks(pipeline_of(("a",), (num_columns, num_columns)))


def by_ir_measures(queries: QuerySet, scores: np.ndarray, measure: object) -> DoubleArray:
    """One value a judged query, in their order."""
    qrels, run = [], []
    judged = judge(queries)
    for query in judged.queries:
        allowed = queries.allowed(query)
        gains = dict(
            zip(queries.relevance.row(query), queries.relevance.row_weights(query), strict=True)
        )
        for column in np.flatnonzero(allowed):
            qrels.append(ir_measures.Qrel(str(query), str(column), int(gains.get(column, 0))))
            run.append(ir_measures.ScoredDoc(str(query), str(column), float(scores[query, column])))
    found = {m.query_id: m.value for m in ir_measures.iter_calc([measure], qrels, run)}
    return np.array([found[str(query)] for query in judged.queries])


ORACLES: list[tuple[Callable[[JudgedQueries, IntArray, int], DoubleArray], Callable[[int], object]]]
ORACLES = [
    (lambda j, r, k: metrics.ndcg(j, r, k, "linear"), lambda k: nDCG @ k),
    (metrics.reciprocal_rank, lambda k: RR @ k),
    (metrics.recall, lambda k: R @ k),
    (metrics.hit_rate, lambda k: Success @ k),
]


@pytest.mark.parametrize(("ours", "theirs"), ORACLES, ids=["linear", "rr", "recall", "hit"])
@pytest.mark.parametrize("k", [1, 5, 10, 100])
def test_equals_ir_measures_on_random_cases(
    ours: Callable[[JudgedQueries, IntArray, int], DoubleArray],
    theirs: Callable[[int], object],
    k: int,
) -> None:
    rng = np.random.default_rng(k)
    queries = random_queries(rng, 40, 30)
    scores = random_tables(rng, queries, "a")["a"].scores
    judged, ranks = served(queries, scores)

    expected = by_ir_measures(queries, scores, theirs(k))

    np.testing.assert_allclose(ours(judged, ranks, k), expected, rtol=1e-9)
    assert len(judged) > 20


@pytest.mark.skipif(shutil.which("perl") is None, reason="ir-measures needs perl for this one")
@pytest.mark.parametrize("k", [1, 10])
def test_exponential_gain_equals_ir_measures_to_its_five_digits(k: int) -> None:
    rng = np.random.default_rng(k)
    queries = random_queries(rng, 40, 30)
    scores = random_tables(rng, queries, "a")["a"].scores
    judged, ranks = served(queries, scores)

    expected = by_ir_measures(queries, scores, nDCG(dcg="exp-log2") @ k)

    found = metrics.ndcg(judged, ranks, k, "exponential")
    np.testing.assert_allclose(found, expected, rtol=0, atol=5.1e-6)


@pytest.mark.parametrize("k", [1, 3, 10, 30])
@pytest.mark.parametrize("gain", ["linear", "exponential"])
def test_equals_scikit_learn_on_random_cases_without_ties(k: int, gain: metrics.Gain) -> None:
    rng = np.random.default_rng(k)
    relevance = rng.integers(0, 5, (25, 30)).astype(np.float64)
    scores = rng.permuted(np.tile(np.arange(30.0), (25, 1)), axis=1).astype(np.float32)
    queries = query_set([dict(enumerate(row.tolist())) for row in relevance], 30)
    judged, ranks = served(queries, scores)

    earned = relevance if gain == "linear" else 2**relevance - 1
    expected = [ndcg_score([g], [s], k=k) for g, s in zip(earned, scores, strict=True)]

    np.testing.assert_allclose(metrics.ndcg(judged, ranks, k, gain), expected, rtol=1e-12)


@given(seed=seeds, k=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_every_metric_lies_between_0_and_1(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 6, 20)
    judged, ranks = served(queries, random_tables(rng, queries, "a", 2)["a"].scores)

    for values in (
        metrics.ndcg(judged, ranks, k, "linear"),
        metrics.ndcg(judged, ranks, k, "exponential"),
        metrics.recpipe_ndcg(judged, ranks, k),
        metrics.hit_rate(judged, ranks, k),
        metrics.recall(judged, ranks, k),
        metrics.reciprocal_rank(judged, ranks, k),
    ):
        assert (values >= 0).all()
        assert (values <= 1 + 1e-12).all()


@given(seed=seeds, k=st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_a_longer_list_never_lowers_dcg_its_ideal_hits_or_recall(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 6, 20)
    judged, ranks = served(queries, random_tables(rng, queries, "a", 2)["a"].scores)

    for metric in (
        lambda k: metrics.dcg(judged, ranks, k, "linear"),
        lambda k: metrics.ideal_dcg(judged, k, "linear"),
        lambda k: metrics.hit_rate(judged, ranks, k),
        lambda k: metrics.recall(judged, ranks, k),
        lambda k: metrics.reciprocal_rank(judged, ranks, k),
    ):
        assert (metric(k + 1) >= metric(k) - 1e-12).all()


def test_ndcg_of_a_list_worked_by_hand() -> None:
    # Served: column 2 (gain 3), column 0 (gain 0), column 1 (gain 2); ideal: 3, 2.
    judged, ranks = served(query_set([{1: 2.0, 2: 3.0}], 3), np.array([[2, 1, 3]], np.float32))

    linear = (3 + 2 / 2) / (3 + 2 / math.log2(3))
    exponential = (7 + 3 / 2) / (7 + 3 / math.log2(3))
    assert metrics.ndcg(judged, ranks, 3, "linear")[0] == pytest.approx(linear, rel=1e-14)
    assert metrics.ndcg(judged, ranks, 3, "exponential")[0] == pytest.approx(exponential, rel=1e-14)
    assert metrics.ndcg(judged, ranks, 2, "linear")[0] == pytest.approx(
        3 / (3 + 2 / math.log2(3)), rel=1e-14
    )


def test_a_perfect_list_of_few_relevant_reaches_1_but_not_by_recpipes_definition() -> None:
    scores = np.arange(100, 0, -1, dtype=np.float32)[None, :]
    judged, ranks = served(query_set([dict.fromkeys(range(10), 1.0)], 100), scores)

    assert metrics.ndcg(judged, ranks, 64, "linear")[0] == pytest.approx(1, rel=1e-14)
    ten, sixty_four = (sum(1 / math.log2(r + 1) for r in range(1, n + 1)) for n in (10, 64))
    capped = metrics.recpipe_ndcg(judged, ranks, 64)[0]
    assert capped == pytest.approx(ten / sixty_four, rel=1e-14)
    assert capped < 0.4


def test_recpipes_value_rises_with_the_pool_though_ranking_is_no_better() -> None:
    # Their observation: a bigger block of a log holds more clicks, so its "NDCG" rises. Labels
    # and scores here are as unrelated in the big pool as in the small one.
    rng = np.random.default_rng(3)
    values = {}
    for pool in (256, 4096):
        clicks = [{int(c): 1.0 for c in np.flatnonzero(rng.random(pool) < 0.23)} for _ in range(40)]
        scores = rng.normal(size=(40, pool)).astype(np.float32)
        for query, relevant in enumerate(clicks):
            scores[query, list(relevant)] += 1.5
        judged, ranks = served(query_set(clicks, pool), scores)
        values[pool] = metrics.recpipe_ndcg(judged, ranks, 64).mean()

    assert values[4096] > values[256] + 0.15


def test_fewer_candidates_than_k_are_judged_as_they_are() -> None:
    judged, ranks = served(query_set([{0: 1.0, 1: 1.0}], 2), np.array([[1, 2]], np.float32))

    assert metrics.ndcg(judged, ranks, 64, "linear")[0] == pytest.approx(1)
    assert metrics.recall(judged, ranks, 64)[0] == 1


def test_a_list_of_no_places_is_refused() -> None:
    with pytest.raises(InvalidInput, match="k must be at least 1"):
        ScoreBook(query_set([{0: 1.0}], 2), [], 0)


def test_list_metrics_name_every_metric_and_agree_with_the_report() -> None:
    rng = np.random.default_rng(4)
    queries = random_queries(rng, 20, 30)
    book = ScoreBook(queries, random_tables(rng, queries, "ab").values(), 5)
    pipeline = pipeline_of(("a", "b"), (30, 12, 5))

    found = book.list_metrics(pipeline)

    assert found.ndcg_linear == book.report(pipeline).ndcg
    assert book.report(pipeline).gain == "linear"
    assert found.num_queries + found.num_unjudged == 20
    assert found.ndcg_exponential.mean != found.ndcg_linear.mean
    assert found.hit_rate.mean >= found.mrr.mean


@pytest.mark.parametrize(
    ("relevance", "message"),
    [
        ([{0: -1.0}], "gain -1.0 at column 0"),
        ([{0: math.nan}], "gain nan at column 0"),
        ([{}], "none of 1 queries has a relevant candidate"),
    ],
)
def test_relevance_that_means_nothing_is_refused(
    relevance: list[dict[int, float]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        judge(query_set(relevance, 3))


def test_a_column_listed_twice_as_relevant_is_refused() -> None:
    one = query_set([{0: 1.0}], 3)
    twice = QuerySet(
        one.schema, one.context, one.items, None, one.excluded, Ragged.from_rows([[2, 2]])
    )
    with pytest.raises(DataError, match="query 0 lists column 2 as relevant more than once"):
        judge(twice)
