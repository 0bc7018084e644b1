"""The fixed path: one path, whatever happens."""

import pytest

from recfunnel.core.errors import StudyError
from recfunnel.schedule.base import PathState, schedulers
from recfunnel.schedule.fixed import FixedPath
from recfunnel.testing.scheduler import SchedulerContract

PATH = PathState(ndcg=0.5, predicted_latency_s=0.01, backlog_s=0.0)
BETTER = PathState(ndcg=0.9, predicted_latency_s=0.001, backlog_s=0.0)


class TestFirst(SchedulerContract):
    spec = FixedPath()


class TestThird(SchedulerContract):
    spec = FixedPath(index=2)
    num_paths = 3


def test_it_is_found_by_its_name() -> None:
    assert "fixed" in schedulers.kinds()


def test_it_stays_on_its_path_however_good_another_is() -> None:
    assert FixedPath().choose([PATH, BETTER], budget_s=-1.0) == 0
    assert FixedPath(index=1).choose([PATH, BETTER], budget_s=1.0) == 1


def test_a_path_the_plan_does_not_have_is_an_error() -> None:
    with pytest.raises(StudyError, match="index 2 but the plan has 2 paths; choose 0 to 1"):
        FixedPath(index=2).choose([PATH, BETTER], budget_s=1.0)
    with pytest.raises(StudyError, match="must be 0 or more"):
        FixedPath(index=-1)


@pytest.mark.parametrize(
    ("ndcg", "latency_s", "backlog_s"), [(1.5, 1, 0), (0.5, 0, 0), (0.5, 1, -1)]
)
def test_a_state_that_cannot_be_is_refused(ndcg: float, latency_s: float, backlog_s: float) -> None:
    with pytest.raises(StudyError, match="must be"):
        PathState(ndcg=ndcg, predicted_latency_s=latency_s, backlog_s=backlog_s)
