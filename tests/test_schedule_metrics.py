"""What a run delivered, on runs small enough to count by hand."""

import numpy as np
import pytest

from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.schedule.metrics import delivered, delivered_quality, paired_difference
from recfunnel.schedule.outcome import Outcome
from schedule_world import MENU

RUN = Outcome(
    arrival_s=np.array([0.0, 1.0, 2.0, 3.0]),
    num_candidates=np.array([100, 100, 200, 400]),
    path=np.array([0, 1, 1, -1]),
    latency_s=np.array([0.5, 0.5, 2.0, np.inf]),
    work_s=np.array([0.1, 0.3, 0.4, 0.0]),
    num_parts=np.ones(4, np.int64),
)


def test_late_and_unanswered_queries_deliver_nothing() -> None:
    found = delivered(MENU, [RUN], deadline_s=1.0)
    assert found.delivered_quality.mean == pytest.approx((0.78 + 0.80) / 4)
    assert found.served_quality.mean == pytest.approx((0.78 + 0.80 + 0.80) / 3)
    assert found.violation_rate.mean == 0.5
    assert found.shed_rate.mean == 0.25
    assert delivered_quality(MENU, RUN, 1.0) == found.delivered_quality.mean


def test_throughput_of_correct_predictions_counts_samples() -> None:
    found = delivered(MENU, [RUN], deadline_s=1.0, trivial_quality=0.74)
    span_s = 4.0  # until the last answer
    assert found.tcp_per_s.mean == pytest.approx((78 + 80 + 160) / span_s)
    assert found.tcp_in_time_per_s.mean == pytest.approx((78 + 80) / span_s)
    assert found.corrected_tcp_per_s.mean == pytest.approx((4 + 6) / span_s)
    assert found.goodput_qps.mean == pytest.approx(2 / span_s)


def test_use_of_each_path_is_by_queries_and_by_work() -> None:
    fast, good = delivered(MENU, [RUN], deadline_s=1.0).paths
    assert (fast.path, good.path) == ("fast", "good")
    assert (fast.share_of_queries.mean, good.share_of_queries.mean) == (0.25, 0.5)
    assert good.share_of_work.mean == pytest.approx(0.7 / 0.8)


def test_estimates_are_over_replications() -> None:
    found = delivered(MENU, [RUN, RUN.after(1)], deadline_s=1.0)
    assert found.violation_rate.num_samples == 2
    assert found.violation_rate.mean == pytest.approx((0.5 + 2 / 3) / 2)
    pairs = paired_difference([1.0, 2.0, 4.0], [0.0, 1.0, 1.0])
    assert (pairs.mean, pairs.num_samples) == (pytest.approx(5 / 3), 3)


def test_a_run_without_any_answer_delivers_nothing() -> None:
    nothing = RUN.after(3)
    found = delivered(MENU, [nothing], deadline_s=1.0)
    assert found.delivered_quality.mean == 0.0
    assert found.served_quality.mean == 0.0
    assert found.p99_s.mean == np.inf


def test_runs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(StudyError, match="at least one run"):
        delivered(MENU, [], deadline_s=1.0)
    with pytest.raises(StudyError, match="cannot be paired"):
        paired_difference([1.0], [])
    with pytest.raises(InvalidInput, match="one entry a query"):
        Outcome(
            RUN.arrival_s, RUN.num_candidates, RUN.path[:2], RUN.latency_s, RUN.work_s, RUN.path
        )
