"""Stages in one native call answer what they answer one by one, to the last bit."""

from pathlib import Path

import numpy as np
import pytest

from native_stages_world import (
    NUM_ITEMS,
    PIPELINES,
    assert_same,
    items,
    load_models,
    questions,
    save_models,
)
from recfunnel.core.errors import DataError
from recfunnel.core.features import Features
from recfunnel.core.pipeline import Pipeline
from recfunnel.runtime.base import LoadedModel
from recfunnel.runtime.cascade import Cascade, OneByOne, Question
from recfunnel.runtime.native import Native
from recfunnel.runtime.native_stages import NativeStages, fused
from recfunnel.runtime.torch_eager import TorchEager


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, LoadedModel]:
    return load_models(folder, Native())


@pytest.mark.parametrize("fraction", [1.0, 0.4])
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES.keys())
def test_a_whole_pipeline_answers_as_its_stages_do(
    models: dict[str, LoadedModel], pipeline: Pipeline, shuffled: bool, fraction: float
) -> None:
    cascade = Cascade(pipeline, models, NUM_ITEMS)
    stages = OneByOne(cascade, range(len(pipeline.stages)))
    native = fused(stages)
    candidates = np.random.default_rng(2).permutation(NUM_ITEMS) if shuffled else None

    assert isinstance(native, NativeStages)
    for question in questions(candidates, fraction):
        assert_same(native.run(question, None), stages.run(question, None))
        assert len(native.stage_s) == len(pipeline.stages)
        assert min(native.stage_s) > 0


@pytest.mark.parametrize("cut", [1, 2])
def test_a_pipeline_cut_in_two_hands_on_the_scores_that_are_read_later(
    models: dict[str, LoadedModel], cut: int
) -> None:
    cascade = Cascade(PIPELINES["three"], models, NUM_ITEMS)
    halves = [OneByOne(cascade, range(cut)), OneByOne(cascade, range(cut, 3))]
    for question in questions():
        ours, theirs = None, None
        for half in halves:
            ours, theirs = fused(half).run(question, ours), half.run(question, theirs)
            assert_same(ours, theirs)


def test_stages_with_a_model_that_runs_elsewhere_stay_one_by_one(
    folder: Path, models: dict[str, LoadedModel]
) -> None:
    mixed = models | {"rerank": TorchEager().load(folder / "rerank", items())}
    stages = OneByOne(Cascade(PIPELINES["two"], mixed, NUM_ITEMS), range(2))

    assert fused(stages) is stages


def test_a_context_with_an_id_that_does_not_exist_is_told_by_the_model_that_reads_it(
    models: dict[str, LoadedModel],
) -> None:
    native = fused(OneByOne(Cascade(PIPELINES["two"], models, NUM_ITEMS), range(2)))
    good = questions()[0]
    ids = good.context.categorical.copy()
    ids[0, :] = 10**9
    bad = Question(
        Features(ids, good.context.dense, good.context.multi_valued), good.excluded, None
    )

    with pytest.raises(DataError, match=r"'als'.*1000000000"):
        native.run(bad, None)
    assert native.run(good, None).columns.size == 10
