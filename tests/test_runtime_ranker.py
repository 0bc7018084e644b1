"""Whoever ranks a query by hand gets the served answer, and what each stage took."""

from time import perf_counter

import numpy as np
import pytest

from native_stages_world import (
    NUM_ITEMS,
    PIPELINES,
    items,
    load_models,
    questions,
    save_models,
)
from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Pipeline
from recfunnel.runtime.cascade import Cascade, Question
from recfunnel.runtime.native import Native
from recfunnel.runtime.ranker import Ranker
from recfunnel.runtime.torch_eager import TorchEager


@pytest.mark.parametrize("sub_batches", [1, 3])
@pytest.mark.parametrize("mixed", [False, True])
def test_the_answer_is_the_cascades_and_stages_add_up_to_less_than_the_call(
    tmp_path_factory: pytest.TempPathFactory, sub_batches: int, mixed: bool
) -> None:
    folder = save_models(tmp_path_factory.mktemp("models"))
    models = load_models(folder, Native())
    if mixed:
        models["net"] = TorchEager().load(folder / "net", items())
    pipeline = Pipeline(stages=PIPELINES["three"].stages, sub_batches=sub_batches)
    cascade = Cascade(pipeline, models, NUM_ITEMS)
    ranker = Ranker(cascade)

    assert ranker.in_one_call is not mixed
    for question in questions():
        began = perf_counter()
        ranking = ranker.rank(question)
        wall_s = perf_counter() - began
        wanted = cascade.rank(question)
        np.testing.assert_array_equal(ranking.columns, wanted.columns)
        np.testing.assert_array_equal(ranking.scores, wanted.scores)
        assert len(ranking.stage_s) == 3
        assert min(ranking.stage_s) > 0
        assert sum(ranking.stage_s) < wall_s
    with pytest.raises(StudyError, match="the query has 5"):
        ranker.rank(Question(question.context, question.excluded, np.arange(5)))
