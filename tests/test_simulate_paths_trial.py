"""The experiment with several paths: ours against every baseline, on the same queries."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from recfunnel.cli.main import run_command
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.servable import PathMenu
from recfunnel.core.storage import read_json, write_json
from recfunnel.report.figure_paths import delivered_figure
from recfunnel.report.paths_tables import trial_tables
from recfunnel.report.terminal import draw_table
from recfunnel.schedule.base import Conditions
from recfunnel.schedule.fixed import FixedPath
from recfunnel.schedule.marginal_value import MarginalValue
from recfunnel.schedule.metrics import delivered_quality
from recfunnel.schedule.outcome import Outcome
from recfunnel.simulate.paths import simulate_paths
from recfunnel.simulate.paths_trial import (
    OURS,
    PathsTrial,
    TrialResult,
    best_static,
    draw_stream,
    run_trial,
    simulated,
    usual_policies,
)
from schedule_world import path

MENU = PathMenu(
    paths=(
        path("table", 0.780, base_s=1e-4, each_s=2e-6, tail=1.4, num_servers=2),
        path("dhe", 0.786, base_s=1e-4, each_s=8e-6, tail=1.4, num_servers=2),
        path("hybrid", 0.790, base_s=2e-4, each_s=2.4e-5, tail=1.4, num_servers=2),
    )
)
TRIAL = PathsTrial(num_queries=2500, num_replications=3, loads=(0.3, 0.8, 1.3), warmup=100)


@pytest.fixture(scope="module")
def result() -> TrialResult:
    return run_trial(MENU, TRIAL, usual_policies(MENU), simulated(MENU, TRIAL))


def test_no_baseline_delivers_more_than_ours(result: TrialResult) -> None:
    for load in result.loads:
        for policy in load.policies:
            # a tenth of a thousandth of quality is what 0.3 queries of 2,400 are worth
            assert policy.below_ours.mean > -1e-4, (load.load, policy.policy)


def test_ours_is_near_what_any_schedule_can_deliver(result: TrialResult) -> None:
    for load in result.loads:
        assert load.bound is not None
        assert load.regret is not None
        assert -1e-9 < load.regret < 0.05 * load.bound


def test_only_ours_and_who_sheds_survive_overload(result: TrialResult) -> None:
    found = {p.policy: p.delivered.delivered_quality.mean for p in result.loads[-1].policies}
    assert found["only table"] < 0.2
    assert found["the same, aware of queues"] < 0.2
    assert found[OURS] > 0.6


def test_the_best_static_plan_carries_its_load_within_the_deadline() -> None:
    stream = draw_stream(MENU, TRIAL, 0)
    name, capacity_qps = best_static(MENU, TRIAL, stream)
    assert name == "table"
    sizes_mean = stream.sizes.mean()
    assert capacity_qps < 2 / (1e-4 + 2e-6 * sizes_mean)
    assert capacity_qps > 0.7 * 2 / (1e-4 + 2e-6 * sizes_mean)


def test_sizes_have_the_stated_mean() -> None:
    sizes = np.concatenate([draw_stream(MENU, TRIAL, r).sizes for r in range(3)])
    assert sizes.mean() == pytest.approx(128, rel=0.03)  # 0.7 / sqrt(7500) is 0.8 %


def test_a_deadline_that_nothing_meets_is_said() -> None:
    with pytest.raises(StudyError, match="no path answers 99 %"):
        best_static(MENU, PathsTrial(deadline_s=1e-5), draw_stream(MENU, TRIAL, 0))
    with pytest.raises(StudyError, match="lack 'marginal value'"):
        run_trial(MENU, TRIAL, {"a": FixedPath()}, simulated(MENU, TRIAL))
    with pytest.raises(StudyError, match="leaves none"):
        PathsTrial(num_queries=10, warmup=10)


def test_the_tables_say_every_policy_and_the_bound(result: TrialResult) -> None:
    tables = list(trial_tables(result))
    assert len(tables) == 3
    assert [row.cells[0].text for row in tables[0].rows] == list(usual_policies(MENU))
    assert "No schedule can deliver more" in tables[0].caption
    Console(file=StringIO()).print(draw_table(tables[0]))


def test_the_command_reads_a_menu_and_prints_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(tmp_path / "menu.json", MENU)
    arguments = ["bench", "paths", str(tmp_path / "menu.json"), "--queries", "400", "--load", "0.5"]
    assert run_command([*arguments, "--replications", "2", "--no-bound", "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["best_static"] == "table"
    assert len(found["loads"]) == 1


@pytest.mark.parametrize("slowness", [0.6, 1.5])
def test_a_profile_that_is_off_moves_the_prices_too(slowness: float) -> None:
    """Servers are quicker or slower than profiled; the load is 1.1 of what they really carry.

    With the prices of the profiled load 0.762 and 0.750 are delivered.
    """
    stream = draw_stream(MENU, TRIAL, 0)
    _, capacity_qps = best_static(MENU, TRIAL, stream)
    policy = MarginalValue().build(MENU, Conditions(TRIAL.deadline_s, stream.sizes))
    run = simulate_paths(
        MENU,
        policy,
        TRIAL.deadline_s,
        stream.unit_times / (1.1 * capacity_qps / slowness),
        stream.sizes,
        [slowness * own for own in stream.service_s],
    )
    assert delivered_quality(MENU, run.after(300), TRIAL.deadline_s) > 0.764


def test_the_figure_draws_what_was_delivered(result: TrialResult) -> None:
    figure = delivered_figure(result, ("only table", "fastest for the size"), ((0.3, 0.79),))
    drawn = {line.get_label(): line for line in figure.canvas.axes[0].containers}
    assert list(drawn) == ["only table", "fastest for the size", OURS]
    ours = [
        next(p.delivered.delivered_quality.mean for p in load.policies if p.policy == OURS)
        for load in result.loads
    ]
    assert drawn[OURS].lines[0].get_ydata().tolist() == ours
    assert drawn[OURS].lines[0].get_xdata().tolist() == [0.3, 0.8, 1.3]
    with pytest.raises(InvalidInput, match="only cake cannot be drawn"):
        delivered_figure(result, ("only cake",))


def test_a_trial_in_which_nothing_is_answered_can_be_stored(tmp_path: Path) -> None:
    """A queue so long that the run is given up: no quality, infinite latency."""
    trial = PathsTrial(num_queries=50, num_replications=2, loads=(0.5,), warmup=0)

    def nothing(*_: object) -> Outcome:
        stream = draw_stream(MENU, trial, 0)
        zeros = np.zeros(50)
        path = np.zeros(50, np.int64)
        return Outcome(stream.unit_times, stream.sizes, path, zeros + np.inf, zeros, path + 1)

    found = run_trial(MENU, trial, usual_policies(MENU), nothing, executed=True)
    write_json(tmp_path / "trial.json", found)
    assert read_json(tmp_path / "trial.json", TrialResult) == found
