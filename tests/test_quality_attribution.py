"""Every point of NDCG a pipeline loses has an owner, and bounds hold for whatever follows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality_cases import query_set, random_pipeline, random_queries, random_tables
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import pipeline_of
from recfunnel.quality.attribution import attribute_loss
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.bounds import front_bounds
from recfunnel.quality.step_by_step import ndcg_step_by_step, rank_step_by_step

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds)
@settings(max_examples=60, deadline=None)
def test_losses_are_not_negative_and_add_up_to_the_distance_from_1(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 6, 30)
    tables = random_tables(rng, queries, "abcd", 2)
    book = ScoreBook(queries, tables.values(), 5, "exponential" if seed % 2 else "linear")
    pipeline = random_pipeline(rng, 30, "abcd")

    found = attribute_loss(book, pipeline)

    losses = [stage.loss.mean for stage in found.stages] + [found.ordering_loss.mean]
    assert min(losses) >= -1e-12
    assert sum(losses) == pytest.approx(1 - found.ndcg.mean, abs=1e-12)
    assert found.ndcg == book.report(pipeline).ndcg
    assert [stage.stage for stage in found.stages] == list(pipeline.stages)


@given(seed=seeds)
@settings(max_examples=40, deadline=None)
def test_the_ideal_of_survivors_is_the_ndcg_of_an_oracle_put_behind_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 6, 30)
    tables = random_tables(rng, queries, "abcd", 2)
    truth = np.zeros((6, 30), np.float32)
    truth[queries.relevance.row_ids(), queries.relevance.values] = queries.relevance.weights
    tables["truth"] = ScoreTable("truth", truth)
    book = ScoreBook(queries, tables.values(), 5)
    pipeline = random_pipeline(rng, 30, "abcd")

    for num_stages in range(1, len(pipeline.stages) + 1):
        first = pipeline.stages[:num_stages]
        sizes = (30, *(stage.num_out for stage in first), first[-1].num_out)
        oracle = pipeline_of((*(stage.model for stage in first), "truth"), sizes)
        answers = [rank_step_by_step(oracle, tables, queries, q) for q in book.judged.queries]
        expected = [
            ndcg_step_by_step(answer, queries, int(q), 5)
            for q, answer in zip(book.judged.queries, answers, strict=True)
        ]
        found = book.ideal_of_survivors(pipeline, num_stages)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_loss_is_charged_to_the_stage_that_dropped_the_item() -> None:
    # Column 0 is relevant. The front keeps 3 of 4 and loses nothing; the second stage drops it.
    front = np.array([[4, 3, 2, 1]], np.float32)
    back = np.array([[1, 3, 4, 2]], np.float32)
    tables = [ScoreTable("front", front), ScoreTable("back", back)]
    book = ScoreBook(query_set([{0: 1.0}], 4), tables, 2)

    found = attribute_loss(book, pipeline_of(("front", "back"), (4, 3, 2)))

    assert [stage.loss.mean for stage in found.stages] == [0.0, 1.0]
    assert found.ordering_loss.mean == 0.0


@given(seed=seeds)
@settings(max_examples=40, deadline=None)
def test_no_pipeline_is_above_the_bound_of_its_front(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 6, 30)
    book = ScoreBook(queries, random_tables(rng, queries, "abcd", 2).values(), 5)
    pipelines = [random_pipeline(rng, 30, "abcd") for _ in range(8)]

    for pipeline in pipelines:
        front = pipeline.stages[0]
        bound = front_bounds(book, front.model, [front.num_out])[0]
        assert (book.ndcg(pipeline) <= bound + 1e-12).all()
        np.testing.assert_array_equal(bound, book.ideal_of_survivors(pipeline, 1))


def test_bounds_rise_with_what_is_kept_and_end_at_1() -> None:
    rng = np.random.default_rng(3)
    queries = random_queries(rng, 20, 30)
    book = ScoreBook(queries, random_tables(rng, queries, "a").values(), 5)

    bounds = front_bounds(book, "a", [1, 2, 5, 12, 30])

    assert bounds.shape == (5, book.num_judged)
    assert (np.diff(bounds, axis=0) >= 0).all()
    np.testing.assert_array_equal(bounds[-1], 1)
    assert bounds[0].mean() < 0.5


def test_bounds_of_nothing_are_refused() -> None:
    book = ScoreBook(query_set([{0: 1.0}], 2), [ScoreTable("a", np.ones((1, 2), np.float32))], 2)

    with pytest.raises(InvalidInput, match="cannot keep 0"):
        front_bounds(book, "a", [0])
    with pytest.raises(StudyError, match="'b' has no stored scores"):
        front_bounds(book, "b", [1])
