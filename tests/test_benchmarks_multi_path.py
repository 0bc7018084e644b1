"""What the multi-path experiment draws its figures from: quality of a path, cells that are kept."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

pytest.importorskip("torch")
from multi_path_menu import judged_path, query_runs
from multi_path_models import SERVED, Served
from multi_path_serving import TimeUpError, kept
from recfunnel.schedule.base import Conditions, SchedulerSpec
from recfunnel.schedule.fixed import FixedPath
from recfunnel.schedule.outcome import Outcome
from recfunnel.simulate.paths_trial import PathsTrial, Stream

STREAM = Stream(np.array([1.0, 2.0]), np.array([10, 20]), ())
KNOWN = Conditions(0.01, STREAM.sizes)


def test_candidates_that_an_early_stage_drops_are_predicted_by_it() -> None:
    """Of 80 candidates, all clicked, the first says no to 8 that it keeps and to the others."""
    first = np.full((1, 80), 1.0, np.float32)
    first[0, :8] = -0.5
    first[0, 64:] = -1.0
    last = np.full((1, 80), 1.0, np.float32)
    logits, clicked = {"small": first, "hybrid": last}, np.ones((1, 80), np.bool_)
    runs = [(0, slice(0, 80))]
    both = judged_path(Served("both", ("small@stored", "hybrid@stored")), logits, clicked, runs)
    alone = judged_path(Served("alone", ("small@stored",)), logits, clicked, runs)
    assert both.accuracy == pytest.approx(64 / 80)
    assert alone.accuracy == pytest.approx(56 / 80)
    assert both.ndcg == pytest.approx(1.0)
    assert both.trivial == 0.0


def test_ndcg_is_that_of_the_last_stage() -> None:
    first = np.array([[3.0, 2.0, 1.0, 0.0]], np.float32)
    last = np.array([[0.0, 1.0, 2.0, 3.0]], np.float32)
    clicked = np.array([[True, False, False, False]])
    logits, runs = {"small": first, "hybrid": last}, [(0, slice(0, 4))]
    both = judged_path(Served("both", ("small@stored", "hybrid@stored")), logits, clicked, runs)
    assert both.ndcg == pytest.approx(1 / np.log2(5))


def test_queries_that_are_judged_share_no_candidate() -> None:
    used = np.zeros((3, 1024), np.int64)
    for block, columns in query_runs(used.shape, PathsTrial()):
        used[block, columns] += 1
    assert used.max() == 1
    assert used.mean() > 0.7


def test_paths_end_in_the_answer_and_name_their_runtimes() -> None:
    for served in SERVED:
        path = served.path(2)
        assert path.pipeline.num_out == 16
        assert [name for name, _ in path.runtimes] == list(served.stages)
        assert {runtime for _, runtime in path.runtimes} <= {"stored", "computed", "hot"}


def test_a_cell_that_is_there_is_not_run_again(tmp_path: Path) -> None:
    runs = []

    def run(spec: SchedulerSpec, known: Conditions, stream: Stream, rate_qps: float) -> Outcome:
        del spec, known
        runs.append(rate_qps)
        ones = np.ones(2)
        return Outcome(
            stream.unit_times / rate_qps, stream.sizes, ones.astype(int), ones, ones, ones
        )

    again = kept(run, tmp_path, np.inf)
    first = again(FixedPath(), KNOWN, STREAM, 2.0)
    second = again(FixedPath(), KNOWN, STREAM, 2.0)
    assert runs == [2.0]
    assert (second.arrival_s == first.arrival_s).all()
    again(FixedPath(index=1), KNOWN, STREAM, 2.0)
    again(FixedPath(), KNOWN, STREAM, 3.0)
    assert runs == [2.0, 2.0, 3.0]
    assert len(kept(run, tmp_path, 0.0)(FixedPath(), KNOWN, STREAM, 2.0)) == 2
    with pytest.raises(TimeUpError):
        kept(run, tmp_path, 0.0)(FixedPath(), KNOWN, STREAM, 4.0)
