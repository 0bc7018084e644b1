"""What a cascade cannot run is refused by name, and the next query is answered."""

import numpy as np
import pytest

from native_stages_world import NUM_ITEMS, load_models, questions, save_models
from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import InvalidInput, ModelError, StudyError
from recfunnel.core.pipeline import Pipeline, pipeline_of
from recfunnel.runtime import _native
from recfunnel.runtime.base import LoadedModel
from recfunnel.runtime.cascade import Cascade, OneByOne, Question, StageRunner, Survivors
from recfunnel.runtime.native import Native, NativeModel
from recfunnel.runtime.runner import quickest

TWO = pipeline_of(("als", "rerank"), (NUM_ITEMS, 60, 10))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    return load_models(save_models(tmp_path_factory.mktemp("models")), Native(), 2)


@pytest.fixture(params=["one by one", "in one call", "in sub-batches"])
def runner(request: pytest.FixtureRequest, models: dict[str, LoadedModel]) -> StageRunner:
    count = 3 if request.param == "in sub-batches" else 1
    pipeline = Pipeline(stages=TWO.stages, sub_batches=count)
    stages = OneByOne(Cascade(pipeline, models, NUM_ITEMS), range(2))
    return stages if request.param == "one by one" else quickest(stages)


def question(candidates: IntArray | None = None) -> Question:
    first = questions()[0]
    return Question(first.context, first.excluded, candidates)


@pytest.mark.parametrize("num_candidates", [0, 59, NUM_ITEMS - 1])
def test_a_query_with_fewer_candidates_than_the_first_stage_reads_is_refused(
    runner: StageRunner, num_candidates: int
) -> None:
    few = np.arange(num_candidates, dtype=np.int64)
    with pytest.raises(StudyError, match=f"reads 150 candidates, the query has {num_candidates}"):
        runner.run(question(few), None)
    assert runner.run(question(), None).columns.size == 10


@pytest.mark.parametrize("bad", [-1, NUM_ITEMS, 2**62])
def test_a_candidate_that_is_no_item_is_refused(runner: StageRunner, bad: int) -> None:
    rows = np.arange(NUM_ITEMS, dtype=np.int64)
    rows[77] = bad
    with pytest.raises(InvalidInput, match=f"item {bad}, allowed 0 to {NUM_ITEMS - 1}"):
        runner.run(question(rows), None)
    assert runner.run(question(), None).columns.size == 10


def test_a_query_that_may_answer_nothing_answers_nothing(runner: StageRunner) -> None:
    nothing = Question(question().context, np.arange(NUM_ITEMS))
    assert runner.run(nothing, None).columns.size == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_handed_on_score_that_is_not_finite_is_told_with_the_model_that_reads_it(
    models: dict[str, LoadedModel], bad: float
) -> None:
    cascade = Cascade(TWO, models, NUM_ITEMS)
    scores = np.ones(60, np.float32)
    scores[7] = bad
    before = Survivors(np.arange(60, dtype=np.int64), {"als": scores})
    for second in (OneByOne(cascade, range(1, 2)), quickest(OneByOne(cascade, range(1, 2)))):
        with pytest.raises(ModelError, match=r"'rerank'.*candidate 7 .*not finite"):
            second.run(question(), before)


def test_stages_that_keep_more_than_they_read_are_refused() -> None:
    with pytest.raises(StudyError, match="'a' keeps 6 of 5; it must keep between 1 and 5"):
        pipeline_of(("a",), (5, 6))
    with pytest.raises(StudyError, match="'b' keeps 4 of 3"):
        pipeline_of(("a", "b"), (5, 3, 4))


def native_stages(models: dict[str, LoadedModel], *keeps: int) -> list[tuple[object, int]]:
    als = models["als"]
    assert isinstance(als, NativeModel)
    return [([(als.machine.native, [], 0)], keep) for keep in keeps]


@pytest.mark.parametrize(
    ("keeps", "sub_batches", "says"),
    [
        ((5, 6), 1, "keeps 6 candidates of the 5 it reads"),
        ((5, 0), 1, "stage 1 keeps 0 candidates; it must keep at least 1"),
        ((-1,), 1, "keeps -1 candidates"),
        ((), 1, "at least one stage"),
        ((5,), 0, "at least 1 sub-batch, not 0"),
    ],
)
def test_the_native_cascade_itself_refuses_stages_that_contradict_each_other(
    models: dict[str, LoadedModel], keeps: tuple[int, ...], sub_batches: int, says: str
) -> None:
    stages = native_stages(models, *keeps)
    with pytest.raises(_native.InputError, match=says):
        _native.Cascade(stages, 1, True, [("a", 0)], sub_batches)  # type: ignore[arg-type]


def test_the_native_cascade_refuses_slots_that_are_not_there(
    models: dict[str, LoadedModel],
) -> None:
    with pytest.raises(_native.InputError, match="slot"):
        _native.Cascade(native_stages(models, 5), 1, True, [("a", 1)])  # type: ignore[arg-type]
    with pytest.raises(_native.InputError, match="slots 0 to -1"):
        _native.Cascade(native_stages(models, 5), 0, True, [])  # type: ignore[arg-type]
