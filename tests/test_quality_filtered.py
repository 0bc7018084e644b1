"""Quality behind an accelerator's filters: against pipelines alone, step by step, and laws."""

import math

import numpy as np
import pytest

from quality_cases import query_set, random_pipeline, random_queries, random_tables
from quality_cases import without_exclusions as all_allowed
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import StudyError
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import Pipeline, pipeline_of
from recfunnel.hardware.topk.bins import linear_edges
from recfunnel.hardware.topk.filter import TopKFilter
from recfunnel.hardware.topk.run import filter_scores
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.filtered import filtered_quality
from recfunnel.quality.step_by_step import ndcg_step_by_step

COARSE = TopKFilter(edges=linear_edges(8, -3, 3), low=-3, high=3)
PARTS = TopKFilter(edges=linear_edges(8, -3, 3), low=-3, high=3, sub_batches=3, policy="quota")
CUT = TopKFilter(edges=linear_edges(8, -3, 3), low=-3, high=3, truncate="arrival")


@pytest.mark.parametrize("num_levels", [0, 2])
@pytest.mark.parametrize("seed", range(4))
def test_without_filters_it_is_the_pipeline_alone(seed: int, num_levels: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 15, 40)
    tables = random_tables(rng, queries, "abc", num_levels)
    book = ScoreBook(queries, tables.values(), k=7, num_threads=1)
    for _ in range(10):
        pipeline = random_pipeline(rng, 40, "abc")
        found = filtered_quality(book, pipeline, [None] * len(pipeline.stages), num_threads=1)
        np.testing.assert_allclose(found.ndcg, book.ndcg(pipeline), rtol=1e-12)
        assert found.filter_cycles.max() == 0


@pytest.mark.parametrize("seed", range(4))
def test_equals_each_query_stage_by_stage(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 15, 40)
    tables = random_tables(rng, queries, "abc")
    book = ScoreBook(queries, tables.values(), k=7, num_threads=2)
    for _ in range(10):
        pipeline = random_pipeline(rng, 40, "abc")
        filters = [[COARSE, PARTS, CUT, None][rng.integers(4)] for _ in pipeline.stages]
        found = filtered_quality(book, pipeline, filters)
        for j, query in enumerate(book.judged.queries.tolist()):
            answer, read = stage_by_stage(pipeline, filters, tables, queries, query)
            wanted = ndcg_step_by_step(answer, queries, query, 7)
            assert math.isclose(found.ndcg[j], wanted, rel_tol=1e-12, abs_tol=1e-15)
            assert found.num_read[j].tolist() == read[:-1]
            assert found.num_passed[j].tolist() == read[1:]


def stage_by_stage(
    pipeline: Pipeline,
    filters: list[TopKFilter | None],
    tables: dict[str, ScoreTable],
    queries: QuerySet,
    query: int,
) -> tuple[np.ndarray, list[int]]:
    """What is shown, and how many candidates are left before and after each stage."""
    left = np.flatnonzero(queries.allowed(query))
    read = [left.size]
    for stage, topk in zip(pipeline.stages, filters, strict=True):
        scores = tables[stage.model].scores[query, left]
        keep = min(stage.num_out, left.size)
        if topk is None:
            left = left[np.sort(np.lexsort((left, -scores))[:keep])]
        else:
            left = left[filter_scores(topk, scores[np.newaxis], keep).passed[0]]
        read.append(left.size)
    scores = tables[pipeline.models[-1]].scores[query, left]
    return left[np.lexsort((left, -scores))][: pipeline.num_out], read


def test_quotas_cut_exactly_are_a_pipeline_that_keeps_by_share() -> None:
    rng = np.random.default_rng(3)
    queries = all_allowed(random_queries(rng, 15, 40))
    tables = random_tables(rng, queries, "ab")
    book = ScoreBook(queries, tables.values(), k=7, num_threads=1)
    quota = TopKFilter(
        edges=linear_edges(8, -8, 8), low=-8, high=8, score_bits=24, truncate="exact",
        sub_batches=4, policy="quota",
    )  # fmt: skip
    plain = pipeline_of(("a", "b"), (40, 16, 10))
    shares = Pipeline(stages=plain.stages, sub_batches=4, keep="share")

    found = filtered_quality(book, plain, [quota, None])

    np.testing.assert_allclose(found.ndcg, book.ndcg(shares), rtol=1e-12)
    assert not np.allclose(found.ndcg, book.ndcg(plain))


@pytest.mark.parametrize("seed", range(5))
def test_what_passes_beyond_k_can_only_help_a_stage_that_knows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 15, 40)
    tables = random_tables(rng, queries, "a")
    truth = np.zeros((len(queries), 40), np.float32)
    for query in range(len(queries)):
        weights = queries.relevance.row_weights(query)
        truth[query, queries.relevance.row(query)] = weights
    book = ScoreBook(queries, [*tables.values(), ScoreTable("truth", truth)], k=7)
    pipeline = pipeline_of(("a", "truth"), (40, 12, 7))

    whole, cut = (filtered_quality(book, pipeline, [topk, None]) for topk in (COARSE, CUT))

    assert (whole.num_passed[:, 0] >= np.minimum(12, book.judged.num_allowed)).all()
    assert (whole.ndcg >= book.ndcg(pipeline) - 1e-12).all()
    assert whole.ndcg.mean() > cut.ndcg.mean()


def test_a_filter_that_drops_the_relevant_candidate_is_charged_for_it() -> None:
    scores = np.array([[0.1, 0.2, 0.9, 0.8]], np.float32)
    queries = query_set([{3: 1.0}], 4)
    book = ScoreBook(queries, [ScoreTable("a", scores)], k=4)
    small = TopKFilter(edges=(0.5,), buffer_entries=3, overflow="drop")
    pipeline = pipeline_of(("a",), (4, 2))

    assert filtered_quality(book, pipeline, [None]).ndcg[0] > 0.6
    lost = filtered_quality(book, pipeline, [small])
    assert lost.ndcg[0] == 0.0
    assert lost.filter_cycles[0, 0] == 4 + 2 + 3


def test_a_filter_that_passes_nothing_shows_nothing() -> None:
    scores = np.array([[0.1, 0.2, 0.9, 0.8]], np.float32)
    book = ScoreBook(query_set([{3: 1.0}], 4), [ScoreTable("a", scores)], k=4)
    nothing = TopKFilter(edges=(0.5,), min_score=0.95)
    found = filtered_quality(book, pipeline_of(("a", "a"), (4, 3, 2)), [nothing, COARSE])
    assert found.ndcg[0] == 0.0
    assert found.num_read.tolist() == [[4, 0]]
    assert found.num_passed.tolist() == [[0, 0]]


def test_bad_filters_are_said() -> None:
    rng = np.random.default_rng(0)
    queries = random_queries(rng, 15, 40)
    book = ScoreBook(queries, random_tables(rng, queries, "ab").values(), k=7)
    pipeline = pipeline_of(("a", "b"), (40, 16, 10))
    with pytest.raises(StudyError, match="1 filters for the 2 stages"):
        filtered_quality(book, pipeline, [COARSE])
    shares = Pipeline(stages=pipeline.stages, sub_batches=4, keep="share")
    with pytest.raises(StudyError, match="has sub-batches of its own"):
        filtered_quality(book, shares, [COARSE, None])
    with pytest.raises(StudyError, match="'c' has no stored scores"):
        filtered_quality(book, pipeline_of(("c",), (40, 16)), [COARSE])
