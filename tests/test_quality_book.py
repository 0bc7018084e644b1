"""Any pipeline's quality from stored scores equals ranking it step by step."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality_cases import (
    query_set,
    random_pipeline,
    random_queries,
    random_tables,
    without_exclusions,
)
from recfunnel.core.errors import InvalidInput, ModelError, StudyError
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import pipeline_of
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.step_by_step import ndcg_step_by_step, rank_step_by_step

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, num_levels=st.sampled_from([0, 1, 3]), k=st.integers(1, 12))
@settings(max_examples=120, deadline=None)
def test_equals_ranking_step_by_step(seed: int, num_levels: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 7, int(rng.integers(1, 41)))
    tables = random_tables(rng, queries, "abcd", num_levels)
    gain = "exponential" if seed % 2 else "linear"
    book = ScoreBook(queries, tables.values(), k, gain, num_threads=1 + seed % 2)

    for _ in range(4):
        pipeline = random_pipeline(rng, queries.num_columns, "abcd")
        expected = [
            ndcg_step_by_step(
                rank_step_by_step(pipeline, tables, queries, query),
                queries,
                query,
                k,
                exponential=gain == "exponential",
            )
            for query in range(len(queries))
        ]
        found = book.judged.to_all(book.ndcg(pipeline))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


def test_equals_ranking_step_by_step_with_many_candidates_and_many_relevant() -> None:
    # Crosses what small cases cannot: lists deeper than the least depth, more relevant columns
    # than are ranked one by one, and ranks that need more than 16 bits.
    rng = np.random.default_rng(11)
    for num_columns, sizes in ((3000, (1500, 400, 90)), (70_000, (40_000, 300, 90))):
        relevance = [
            {int(c): 1.0 for c in rng.choice(num_columns, count, replace=False)}
            for count in (1, 9, 800)
        ]
        excluded = [rng.choice(num_columns, 500, replace=False).tolist() for _ in range(3)]
        queries = query_set(relevance, num_columns, excluded)
        tables = random_tables(rng, queries, "abc", num_levels=200)
        book = ScoreBook(queries, tables.values(), 64)
        for num_stages in (1, 2, 3):
            pipeline = pipeline_of(tuple("abc")[:num_stages], (num_columns, *sizes[:num_stages]))
            answers = [rank_step_by_step(pipeline, tables, queries, q) for q in range(3)]
            expected = [ndcg_step_by_step(a, queries, q, 64) for q, a in enumerate(answers)]
            np.testing.assert_allclose(book.ndcg(pipeline), expected, rtol=1e-12)


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_a_front_stage_of_the_same_model_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 6, 30)
    book = ScoreBook(queries, random_tables(rng, queries, "a", 2).values(), 5)
    keep = int(rng.integers(5, 31))

    twice = book.ranks(pipeline_of(("a", "a"), (30, keep, 5)))

    np.testing.assert_array_equal(twice, book.ranks(pipeline_of(("a",), (30, 5))))


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_keeping_everything_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 6, 30)
    book = ScoreBook(queries, random_tables(rng, queries, "abc", 2).values(), 5)
    alone = book.ranks(pipeline_of(("c",), (30, 5)))

    np.testing.assert_array_equal(book.ranks(pipeline_of(("a", "c"), (30, 30, 5))), alone)
    np.testing.assert_array_equal(book.ranks(pipeline_of(("a", "b", "c"), (30, 30, 30, 5))), alone)


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_scores_equal_to_relevance_give_ndcg_1(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 6, 30)
    scores = np.zeros((6, 30), np.float32)
    scores[queries.relevance.row_ids(), queries.relevance.values] = queries.relevance.weights
    tables = [ScoreTable("truth", scores), *random_tables(rng, queries, "a").values()]

    for gain in ("linear", "exponential"):
        book = ScoreBook(queries, tables, 7, gain)
        np.testing.assert_allclose(book.ndcg(pipeline_of(("truth",), (30, 7))), 1, rtol=1e-12)
        behind_everything = pipeline_of(("a", "truth"), (30, 30, 7))
        np.testing.assert_allclose(book.ndcg(behind_everything), 1, rtol=1e-12)


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_moving_scale_and_order_of_the_columns_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = without_exclusions(random_queries(rng, 6, 30))
    tables = random_tables(rng, queries, "ab")
    pipeline = pipeline_of(("a", "b"), (30, 12, 6))
    before = ScoreBook(queries, tables.values(), 6).ndcg(pipeline)

    # Powers of two keep float32 scores distinct and their order exact.
    moved = [ScoreTable(t.model, t.scores * np.float32(4)) for t in tables.values()]
    np.testing.assert_array_equal(ScoreBook(queries, moved, 6).ndcg(pipeline), before)

    order = rng.permutation(30)
    shuffled = [ScoreTable(t.model, t.scores[:, order]) for t in tables.values()]
    place = np.argsort(order)
    relevance = [
        {
            int(place[c]): float(g)
            for c, g in zip(queries.relevance.row(q), queries.relevance.row_weights(q), strict=True)
        }
        for q in range(6)
    ]
    after = ScoreBook(query_set(relevance, 30), shuffled, 6).ndcg(pipeline)
    np.testing.assert_allclose(after, before, rtol=1e-12)


def test_adding_a_constant_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    queries = random_queries(rng, 6, 30)
    tables = random_tables(rng, queries, "ab", num_levels=4)
    lifted = [ScoreTable(t.model, t.scores + np.float32(64)) for t in tables.values()]
    pipeline = pipeline_of(("a", "b"), (30, 12, 6))

    found = ScoreBook(queries, lifted, 6).ranks(pipeline)

    np.testing.assert_array_equal(found, ScoreBook(queries, tables.values(), 6).ranks(pipeline))


def test_equal_scores_rank_by_column() -> None:
    queries = query_set([{2: 1.0}, {0: 1.0}], 4, [[], [1]])
    book = ScoreBook(queries, [ScoreTable("flat", np.zeros((2, 4), np.float32))], 4)

    assert book.ranks(pipeline_of(("flat",), (4, 4))).tolist() == [3, 1]
    assert book.ranks(pipeline_of(("flat",), (4, 2))).tolist() == [0, 1]


def test_minus_zero_ties_with_zero() -> None:
    queries = query_set([{1: 1.0}], 2)
    book = ScoreBook(queries, [ScoreTable("a", np.array([[-0.0, 0.0]], np.float32))], 2)

    assert book.ranks(pipeline_of(("a",), (2, 2))).tolist() == [2]


def test_excluded_columns_are_neither_ranked_nor_expected() -> None:
    # The best-scored column and one relevant column are excluded.
    queries = query_set([{1: 1.0, 3: 5.0}], 5, [[0, 3]])
    scores = np.array([[9, 5, 4, 8, 3]], np.float32)
    book = ScoreBook(queries, [ScoreTable("a", scores)], 5)

    assert book.ndcg(pipeline_of(("a",), (5, 5))).tolist() == [1.0]


def test_queries_without_relevant_candidates_are_left_out_and_counted() -> None:
    queries = query_set([{1: 1.0}, {}, {0: 1.0}, {2: 0.0}], 3, [[], [], [0], []])
    book = ScoreBook(queries, [ScoreTable("a", np.ones((4, 3), np.float32))], 3)
    report = book.report(pipeline_of(("a",), (3, 3)))

    assert book.judged.queries.tolist() == [0]
    assert report.num_unjudged == 3
    assert report.ndcg.num_samples == 1
    spread = book.judged.to_all(np.array([0.5]))
    np.testing.assert_array_equal(spread, [0.5, np.nan, np.nan, np.nan])


def test_many_pipelines_come_back_in_the_order_asked_whatever_the_cache() -> None:
    rng = np.random.default_rng(5)
    queries = random_queries(rng, 9, 40)
    tables = random_tables(rng, queries, "abcd", num_levels=3)
    pipelines = [random_pipeline(rng, 40, "abcd") for _ in range(60)]
    roomy = ScoreBook(queries, tables.values(), 8)
    one_by_one = np.stack([roomy.ndcg(p) for p in pipelines])

    for cache_bytes in (0, 3000, 2**30):
        book = ScoreBook(queries, tables.values(), 8, cache_bytes=cache_bytes)
        np.testing.assert_array_equal(book.ndcg_many(pipelines), one_by_one)
        means = [report.ndcg.mean for report in book.reports(pipelines)]
        np.testing.assert_allclose(means, one_by_one.mean(axis=1), rtol=1e-12)
        assert book.funnel.cached_bytes <= cache_bytes


def test_threads_do_not_change_results() -> None:
    rng = np.random.default_rng(6)
    queries = random_queries(rng, 50, 30)
    tables = random_tables(rng, queries, "abc", num_levels=3)
    pipelines = [random_pipeline(rng, 30, "abc") for _ in range(10)]
    one, five = (
        ScoreBook(queries, tables.values(), 8, num_threads=n).ndcg_many(pipelines) for n in (1, 5)
    )

    np.testing.assert_array_equal(one, five)


def test_a_pipeline_the_scores_cannot_answer_is_refused() -> None:
    queries = query_set([{1: 1.0}], 4)
    book = ScoreBook(queries, [ScoreTable("a", np.ones((1, 4), np.float32))], 2)

    with pytest.raises(StudyError, match=r"'b' has no stored scores; known: a"):
        book.ndcg(pipeline_of(("a", "b"), (4, 3, 2)))
    with pytest.raises(StudyError, match=r"begins with 3 candidates, the scores hold 4"):
        book.ndcg(pipeline_of(("a",), (3, 2)))
    with pytest.raises(InvalidInput, match="2 stages of a pipeline that has 1"):
        book.ideal_of_survivors(pipeline_of(("a",), (4, 2)), 2)


@pytest.mark.parametrize(
    ("scores", "error", "message"),
    [
        (np.ones((1, 3), np.float32), ModelError, r"shape \(1, 3\), expected \(1, 4\)"),
        (np.array([[1, np.nan, 1, 1]], np.float32), ModelError, r"nan at \(0, 1\)"),
        (np.ones((1, 4)), InvalidInput, "float64, not float32"),
    ],
)
def test_a_wrong_score_table_is_refused(
    scores: np.ndarray, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ScoreBook(query_set([{1: 1.0}], 4), [ScoreTable("a", scores)], 2)


def test_two_tables_of_one_model_are_refused() -> None:
    table = ScoreTable("a", np.ones((1, 4), np.float32))
    with pytest.raises(InvalidInput, match="two score tables of 'a'"):
        ScoreBook(query_set([{1: 1.0}], 4), [table, table], 2)


def test_every_order_of_four_stages_is_exact() -> None:
    rng = np.random.default_rng(8)
    queries = random_queries(rng, 5, 25)
    tables = random_tables(rng, queries, "abcd", num_levels=2)
    book = ScoreBook(queries, tables.values(), 4)
    for models in itertools.permutations("abcd"):
        pipeline = pipeline_of(models, (25, 17, 9, 6, 4))
        answers = [rank_step_by_step(pipeline, tables, queries, q) for q in range(5)]
        expected = [ndcg_step_by_step(a, queries, q, 4) for q, a in enumerate(answers)]
        np.testing.assert_allclose(
            book.judged.to_all(book.ndcg(pipeline)), expected, rtol=1e-12, atol=0
        )
