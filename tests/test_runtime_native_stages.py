"""Stages in one native call answer what they answer one by one, to the last bit."""

from pathlib import Path

import numpy as np
import pytest

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import DataError
from recfunnel.core.features import Features
from recfunnel.core.pipeline import Pipeline, pipeline_of
from recfunnel.models.base import ModelSpec
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.models.ease import EASE
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.neumf import NeuMF
from recfunnel.models.reranker import Reranker
from recfunnel.runtime.base import LoadedModel, RuntimeSpec
from recfunnel.runtime.cascade import Cascade, OneByOne, Question, Survivors
from recfunnel.runtime.native import Native
from recfunnel.runtime.native_stages import NativeStages, fused
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.testing.model import EXAMPLE_SCHEMA, fill_with_noise, random_features

NUM_ITEMS, NUM_QUERIES = 150, 12
SPECS: dict[str, tuple[ModelSpec, tuple[str, ...]]] = {
    "als": (MatrixFactorisation(num_factors=5), ()),
    "ease": (EASE(), ()),
    "net": (NeuMF(mf_dim=3, mlp_dim=4, hidden=(6,)), ()),
    "rerank": (Reranker(embedding_dim=4, hidden=(6,)), ("als", "ease")),
    "last": (Reranker(embedding_dim=4, hidden=(5,)), ("rerank", "net")),
}
PIPELINES = {
    "alone": pipeline_of(("als",), (NUM_ITEMS, 9)),
    "reads what nobody has computed": pipeline_of(("rerank",), (NUM_ITEMS, 9)),
    "two": pipeline_of(("ease", "rerank"), (NUM_ITEMS, 60, 10)),
    "three": pipeline_of(("als", "net", "last"), (NUM_ITEMS, 80, 40, 10)),
    "keeps more than there is": pipeline_of(("net", "last"), (NUM_ITEMS, 149, 148)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    for name, (spec, inputs) in SPECS.items():
        module = spec.build(EXAMPLE_SCHEMA, len(inputs))
        fill_with_noise(module)
        save_checkpoint(place / name, spec, EXAMPLE_SCHEMA, module, name=name, score_inputs=inputs)
    return place


def items() -> Features:
    return random_features(EXAMPLE_SCHEMA, "candidate", NUM_ITEMS, np.random.default_rng(0))


def models_of(folder: Path, runtime: RuntimeSpec) -> dict[str, LoadedModel]:
    return {name: runtime.load(folder / name, items()) for name in SPECS}


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, LoadedModel]:
    return models_of(folder, Native())


def questions(candidates: IntArray | None = None, fraction: float = 1.0) -> list[Question]:
    rng = np.random.default_rng(1)
    context = random_features(EXAMPLE_SCHEMA, "context", NUM_QUERIES, rng)
    return [
        Question(context.row(q), np.unique(rng.integers(0, NUM_ITEMS, q)), candidates, fraction)
        for q in range(NUM_QUERIES)
    ]


def assert_same(ours: Survivors, theirs: Survivors) -> None:
    np.testing.assert_array_equal(ours.columns, theirs.columns)
    assert ours.scores.keys() == theirs.scores.keys()
    for name, scores in theirs.scores.items():
        np.testing.assert_array_equal(ours.scores[name], scores)


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
