"""Sub-batches answer what their rule says, in one native call on several cores and in numpy."""

from itertools import pairwise

import numpy as np
import pytest

from native_stages_world import (
    NUM_ITEMS,
    PIPELINES,
    assert_same,
    load_models,
    questions,
    save_models,
)
from recfunnel.core.arrays import FloatArray
from recfunnel.core.errors import ModelError
from recfunnel.core.features import Features
from recfunnel.core.pipeline import Keep, Pipeline
from recfunnel.runtime.base import LoadedModel
from recfunnel.runtime.cascade import Cascade, OneByOne, Question
from recfunnel.runtime.native import Native
from recfunnel.runtime.native_stages import NativeStages, fused

THREADS = (1, 2, 3)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, LoadedModel]]:
    folder = save_models(tmp_path_factory.mktemp("models"))
    return {threads: load_models(folder, Native(), threads) for threads in THREADS}


def cut(name: str, sub_batches: int, keep: Keep) -> Pipeline:
    return Pipeline(stages=PIPELINES[name].stages, sub_batches=sub_batches, keep=keep)


def full_scores(name: str, models: dict[str, LoadedModel], question: Question) -> FloatArray:
    model, given = models[name], None
    if model.score_inputs:
        read = [full_scores(i, models, question) for i in model.score_inputs]
        given = np.stack(read, axis=-1)[np.newaxis]
    rows = None if question.candidates is None else question.candidates[np.newaxis]
    return model.score(question.context, rows, given)[0]


def by_hand(pipeline: Pipeline, models: dict[str, LoadedModel], question: Question) -> list[int]:
    """Every score first, then sorting: each run of columns on its own, or all together."""
    num_columns = int(np.ceil(question.fraction * NUM_ITEMS))
    runs = pipeline.sub_batches if pipeline.keep == "share" else 1
    edges = [i * num_columns // runs for i in range(runs + 1)]
    excluded = set(question.excluded.tolist())
    left = [[c for c in range(a, b) if c not in excluded] for a, b in pairwise(edges)]
    for number, stage in enumerate(pipeline.stages):
        scores = full_scores(stage.model, models, question)
        if number == len(pipeline.stages) - 1:
            left = [[c for run in left for c in run]]
            share = stage.num_out
        else:
            share = -(-stage.num_out // runs)
        left = [sorted(run, key=lambda c: (-scores[c], c))[:share] for run in left]
    return left[0]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("keep", ["all", "share"])
@pytest.mark.parametrize("sub_batches", [2, 3, 8])
@pytest.mark.parametrize("name", ["alone", "two", "three", "keeps more than there is"])
def test_one_native_call_answers_what_sorting_by_hand_does(
    loaded: dict[int, dict[str, LoadedModel]],
    name: str,
    sub_batches: int,
    keep: Keep,
    threads: int,
) -> None:
    models = loaded[threads]
    pipeline = cut(name, sub_batches, keep)
    cascade = Cascade(pipeline, models, NUM_ITEMS)
    stages = OneByOne(cascade, range(len(pipeline.stages)))
    native = fused(stages)
    assert isinstance(native, NativeStages)
    shuffled = np.random.default_rng(2).permutation(NUM_ITEMS)
    for candidates, fraction in ((None, 1.0), (shuffled, 1.0), (shuffled, 0.4)):
        for question in questions(candidates, fraction):
            ours = native.run(question, None)
            assert ours.columns.tolist() == by_hand(pipeline, models, question)
            assert_same(ours, stages.run(question, None))


def test_meeting_after_each_stage_changes_nothing_to_the_last_bit(
    loaded: dict[int, dict[str, LoadedModel]],
) -> None:
    whole = fused(OneByOne(Cascade(PIPELINES["three"], loaded[2], NUM_ITEMS), range(3)))
    together = fused(OneByOne(Cascade(cut("three", 5, "all"), loaded[2], NUM_ITEMS), range(3)))
    for question in questions():
        assert_same(together.run(question, None), whole.run(question, None))


@pytest.mark.parametrize("keep", ["all", "share"])
@pytest.mark.parametrize("parted", [1, 2])
def test_a_pipeline_parted_among_stations_keeps_its_sub_batches(
    loaded: dict[int, dict[str, LoadedModel]], parted: int, keep: Keep
) -> None:
    cascade = Cascade(cut("three", 3, keep), loaded[2], NUM_ITEMS)
    halves = [OneByOne(cascade, range(parted)), OneByOne(cascade, range(parted, 3))]
    for question in questions():
        ours, theirs = None, None
        for half in halves:
            ours, theirs = fused(half).run(question, ours), half.run(question, theirs)
            assert_same(ours, theirs)


def test_more_sub_batches_than_candidates_of_a_small_query_do_no_harm(
    loaded: dict[int, dict[str, LoadedModel]],
) -> None:
    for keep in ("all", "share"):
        pipeline = cut("two", 60, keep)
        native = fused(OneByOne(Cascade(pipeline, loaded[2], NUM_ITEMS), range(2)))
        question = questions(fraction=0.05)[0]
        assert native.run(question, None).columns.tolist() == by_hand(pipeline, loaded[2], question)


@pytest.mark.parametrize("keep", ["all", "share"])
def test_a_fault_on_another_thread_is_told_and_the_next_query_answered(
    loaded: dict[int, dict[str, LoadedModel]], keep: Keep
) -> None:
    native = fused(OneByOne(Cascade(cut("two", 4, keep), loaded[2], NUM_ITEMS), range(2)))
    good = questions()[0]
    nan = np.full_like(good.context.dense, np.nan)
    bad = Question(
        Features(good.context.categorical, nan, good.context.multi_valued), good.excluded
    )
    for _ in range(3):
        with pytest.raises(ModelError, match=r"not finite|nan"):
            native.run(bad, None)
        assert native.run(good, None).columns.size == 10


def test_stages_tell_the_time_of_all_their_sub_batches(
    loaded: dict[int, dict[str, LoadedModel]],
) -> None:
    native = fused(OneByOne(Cascade(cut("three", 4, "share"), loaded[2], NUM_ITEMS), range(3)))
    assert isinstance(native, NativeStages)
    native.run(questions()[0], None)
    assert len(native.stage_s) == 3
    assert min(native.stage_s) > 0
