"""Quality of pipelines whose sub-batches keep their share, against ranking them step by step."""

import numpy as np
import pytest

from quality_cases import query_set, random_pipeline, random_queries, random_tables
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import Keep, Pipeline, pipeline_of
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.step_by_step import ndcg_step_by_step, rank_step_by_step


def cut(pipeline: Pipeline, sub_batches: int, keep: Keep = "share") -> Pipeline:
    return Pipeline(stages=pipeline.stages, sub_batches=sub_batches, keep=keep)


@pytest.mark.parametrize("num_levels", [0, 2])
@pytest.mark.parametrize("seed", range(6))
def test_equals_ranking_each_share_step_by_step(seed: int, num_levels: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 15, 40)
    tables = random_tables(rng, queries, "abc", num_levels)
    book = ScoreBook(queries, tables.values(), k=7, num_threads=1)
    for _ in range(30):
        plain = random_pipeline(rng, 40, "abc")
        fewest = min(stage.num_out for stage in plain.stages)
        if fewest < 2:
            continue
        pipeline = cut(plain, int(rng.integers(2, min(fewest, 9) + 1)))
        wanted = [
            ndcg_step_by_step(rank_step_by_step(pipeline, tables, queries, q), queries, q, 7)
            for q in book.judged.queries.tolist()
        ]
        np.testing.assert_allclose(book.ndcg(pipeline), wanted, rtol=1e-12)


def test_what_survives_is_what_the_stages_keep_step_by_step() -> None:
    rng = np.random.default_rng(0)
    queries = random_queries(rng, 15, 40)
    tables = random_tables(rng, queries, "ab")
    book = ScoreBook(queries, tables.values(), k=40, num_threads=1)
    # 4 shares of 4 of which the second stage answers all: its answer is what the first one keeps
    front = cut(pipeline_of(("a", "b"), (40, 16, 16)), 4)
    whole = cut(pipeline_of(("a", "b"), (40, 16, 10)), 4)
    rows, columns = book.judged.row_ids, book.judged.columns
    for num_stages, oracle in ((1, front), (2, whole)):
        kept = book.funnel.survivors(whole, num_stages)
        for query, row in enumerate(book.judged.queries.tolist()):
            answer = rank_step_by_step(oracle, tables, queries, row)
            mine = columns[(rows == query) & kept]
            assert set(mine.tolist()) == set(columns[rows == query].tolist()) & set(answer.tolist())


def test_sub_batches_that_keep_the_best_of_all_change_nothing() -> None:
    rng = np.random.default_rng(1)
    queries = random_queries(rng, 15, 40)
    tables = random_tables(rng, queries, "abc")
    book = ScoreBook(queries, tables.values(), k=7, num_threads=1)
    plain = pipeline_of(("a", "b", "c"), (40, 20, 12, 7))

    np.testing.assert_array_equal(book.ndcg(cut(plain, 4, "all")), book.ndcg(plain))
    assert not np.array_equal(book.ndcg(cut(plain, 4)), book.ndcg(plain))


def test_a_share_loses_what_is_best_but_crowded_into_one_run() -> None:
    scores = np.arange(8, 0, -1, dtype=np.float32)[np.newaxis]  # column 0 is best
    queries = query_set([{1: 1.0}], 8)
    book = ScoreBook(queries, [ScoreTable("a", scores), ScoreTable("b", scores)], k=2)
    plain = pipeline_of(("a", "b"), (8, 2, 2))

    assert book.ndcg(plain)[0] > 0.6
    assert book.ndcg(cut(plain, 2))[0] == 0.0  # columns 0 and 4 reach the last stage
