"""A cascade ranks one query exactly as scoring and sorting it step by step by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Pipeline, pipeline_of
from recfunnel.runtime.base import LoadedModel
from recfunnel.runtime.cascade import Cascade, Question, carried_scores
from recfunnel.runtime.server import stored_question
from recfunnel.runtime.top_k import best_first, top_k
from serving_world import Recipe, load_recipe, query_set

NUM_ITEMS = 60
QUERIES = query_set(20, NUM_ITEMS, longest_history=30)


def models_of(*recipes: Recipe) -> dict[str, LoadedModel]:
    return {recipe.name: load_recipe(recipe, NUM_ITEMS) for recipe in recipes}


def by_hand(pipeline: Pipeline, models: dict[str, LoadedModel], question: Question) -> list[int]:
    """Every pair's score first, then plain Python sorting, stage by stage."""
    tables = {name: full_scores(name, models, question) for name in models}
    left = [c for c in range(pipeline.stages[0].num_in) if c not in set(question.excluded)]
    for stage in pipeline.stages:
        left.sort(key=lambda column: (-tables[stage.model][column], column))
        left = left[: stage.num_out]
    return left


def full_scores(name: str, models: dict[str, LoadedModel], question: Question) -> FloatArray:
    model = models[name]
    given = None
    if model.score_inputs:
        inputs = [full_scores(i, models, question) for i in model.score_inputs]
        given = np.stack(inputs, axis=-1)[np.newaxis]
    rows = None if question.candidates is None else question.candidates[np.newaxis]
    return model.score(question.context, rows, given)[0]


@settings(deadline=None, max_examples=60)
@given(
    query=st.integers(0, 19),
    coarse=st.booleans(),
    sizes=st.lists(st.integers(1, NUM_ITEMS), min_size=3, max_size=3),
)
def test_equals_scoring_everything_and_sorting_by_hand(
    query: int, coarse: bool, sizes: list[int]
) -> None:
    sizes.sort(reverse=True)
    models = models_of(
        Recipe(name="front", seed=1, coarse=coarse),
        Recipe(name="side", seed=2),
        Recipe(name="middle", seed=3, score_inputs=("front", "side"), coarse=coarse),
        Recipe(name="back", seed=4, score_inputs=("middle", "front"), coarse=coarse),
    )
    pipeline = pipeline_of(("front", "middle", "back"), (NUM_ITEMS, *sizes))
    question = stored_question(QUERIES, query)

    ranking = Cascade(pipeline, models, NUM_ITEMS).rank(question)

    assert ranking.columns.tolist() == by_hand(pipeline, models, question)
    tables = full_scores("back", models, question)
    np.testing.assert_array_equal(ranking.scores, tables[ranking.columns])
    assert len(ranking.stage_s) == 3


def test_given_candidates_are_ranked_by_their_item_rows() -> None:
    models = models_of(Recipe(name="a", seed=1), Recipe(name="b", seed=2, score_inputs=("a",)))
    rows = np.array([7, 3, 50, 11, 42], np.int64)
    stored = stored_question(QUERIES, 0)
    question = Question(stored.context, np.array([2]), rows)
    pipeline = pipeline_of(("a", "b"), (5, 3, 2))

    ranking = Cascade(pipeline, models, NUM_ITEMS).rank(question)

    assert ranking.columns.tolist() == by_hand(pipeline, models, question)
    assert 2 not in ranking.columns


def test_excluded_items_leave_a_shorter_answer_when_few_are_left() -> None:
    models = models_of(Recipe(name="a"))
    stored = stored_question(QUERIES, 0)
    question = Question(stored.context, np.arange(NUM_ITEMS - 2))

    ranking = Cascade(pipeline_of(("a",), (NUM_ITEMS, 10)), models, NUM_ITEMS).rank(question)

    assert sorted(ranking.columns.tolist()) == [NUM_ITEMS - 2, NUM_ITEMS - 1]


def test_a_front_stage_of_the_same_model_changes_nothing() -> None:
    models = models_of(Recipe(name="a", coarse=True))
    question = stored_question(QUERIES, 3)
    one = Cascade(pipeline_of(("a",), (NUM_ITEMS, 8)), models, NUM_ITEMS)
    two = Cascade(pipeline_of(("a", "a"), (NUM_ITEMS, 20, 8)), models, NUM_ITEMS)

    assert one.rank(question).columns.tolist() == two.rank(question).columns.tolist()


def test_a_small_query_brings_its_share_and_keeps_what_it_may() -> None:
    models = models_of(Recipe(name="a"))
    stored = stored_question(QUERIES, 0)
    question = Question(stored.context, stored.excluded[:0], fraction=0.25)

    ranking = Cascade(pipeline_of(("a",), (NUM_ITEMS, 8)), models, NUM_ITEMS).rank(question)

    assert ranking.columns.size == 8
    assert ranking.columns.max() < NUM_ITEMS // 4


def test_only_scores_that_are_read_later_are_carried() -> None:
    inputs: dict[str, tuple[str, ...]] = {"a": (), "b": ("x", "a"), "x": (), "c": ("x",)}
    pipeline = pipeline_of(("a", "b", "c"), (60, 30, 20, 10))

    assert carried_scores(pipeline, inputs) == (("a",), ("x",), ())


def test_a_missing_model_or_too_few_candidates_are_named() -> None:
    with pytest.raises(StudyError, match="no model 'b'; known: a"):
        Cascade(pipeline_of(("a", "b"), (9, 5, 2)), models_of(Recipe(name="a")), NUM_ITEMS)
    cascade = Cascade(pipeline_of(("a",), (61, 5)), models_of(Recipe(name="a")), NUM_ITEMS)
    with pytest.raises(StudyError, match="reads 61 candidates, the query has 60"):
        cascade.rank(stored_question(QUERIES, 0))


@settings(deadline=None)
@given(
    scores=arrays(np.float32, st.integers(1, 40), elements=st.integers(-3, 3)),
    k=st.integers(1, 45),
    excluded=st.lists(st.integers(0, 39), max_size=50),
)
def test_top_k_equals_a_full_stable_sort(scores: FloatArray, k: int, excluded: list[int]) -> None:
    left: IntArray = np.array([e for e in excluded if e < scores.size], np.int64)
    order = sorted(set(range(scores.size)) - set(left.tolist()), key=lambda i: (-scores[i], i))

    picks = top_k(scores, k, left)

    assert picks.tolist() == sorted(order[:k])
    assert best_first(scores, picks).tolist() == order[:k]
