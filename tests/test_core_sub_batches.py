"""A pipeline says how a query is cut, and refuses what cannot be."""

import pytest

from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Pipeline, pipeline_of

PLAIN = pipeline_of(("a", "b"), (100, 10, 5))


def test_each_sub_batch_keeps_its_share_rounded_up_and_the_last_stage_answers_all() -> None:
    shares = Pipeline(stages=PLAIN.stages, sub_batches=4, keep="share")

    assert [shares.share(0), shares.share(1)] == [3, 5]
    assert shares.run_length(100) == 25
    assert shares.run_length(101) == 26
    assert shares.ranks_by_share
    assert shares.name == "a 100→10 · b 10→5 in 4 sub-batches, each keeps its share"


def test_keeping_the_best_of_all_ranks_as_without_sub_batches() -> None:
    together = Pipeline(stages=PLAIN.stages, sub_batches=4)

    assert together.share(0) == 10
    assert not together.ranks_by_share
    alone = Pipeline(stages=PLAIN.stages[:1], sub_batches=4, keep="share")
    assert not alone.ranks_by_share


@pytest.mark.parametrize("sub_batches", [0, -1, 11])
def test_more_sub_batches_than_a_stage_reads_are_refused(sub_batches: int) -> None:
    with pytest.raises(StudyError, match=f"1 to 10 sub-batches, not {sub_batches}"):
        Pipeline(stages=PLAIN.stages, sub_batches=sub_batches)


def test_a_share_of_one_sub_batch_is_refused() -> None:
    with pytest.raises(StudyError, match="needs at least 2 sub-batches"):
        Pipeline(stages=PLAIN.stages, keep="share")
