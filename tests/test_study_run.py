"""A study goes all the way, skips what is done, and survives being killed at any moment."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recfunnel.cli.main import run_command
from recfunnel.core.storage import load_arrays, read_json
from recfunnel.report.summary import RunSummary
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.study.parse import write_study
from recfunnel.study.planning import Planning
from recfunnel.study.run_folder import RunFolder
from tiny_study import tiny_study

RUN = [sys.executable, "-c", "from recfunnel.cli.main import main; main()", "run"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that was never disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_study(folder / "study.toml", tiny_study())
    out = folder / "run"
    assert run_command(["run", str(folder / "study.toml"), "--out", str(out), "--quiet"]) == 0
    return out


def results(out: Path) -> dict[str, Any]:
    """Everything a run decides: parameters, scores, plan."""
    found: dict[str, Any] = {"plan": json.loads((out / "plan.json").read_text())}
    for file in sorted((out / "models").glob("*/*.safetensors")):
        found[str(file.relative_to(out))] = file.read_bytes()
    for folder in sorted((out / "scores").glob("*/*")):
        arrays, _ = load_arrays(folder)
        for name, array in arrays.items():
            found[f"{folder.relative_to(out)}/{name}"] = np.array(array).tobytes()
    return found


def test_a_run_ends_with_a_plan_and_a_report(finished: Path) -> None:
    summary = read_json(finished / "summary.json", RunSummary)
    assert summary.plan is not None
    assert summary.plan.chosen is not None
    assert {row.name for row in summary.models} == set(tiny_study().models)
    page = (finished / "report.html").read_text()
    assert summary.plan.chosen.path.pipeline.stages[0].model in page


def test_every_single_model_is_in_the_table(finished: Path) -> None:
    summary = read_json(finished / "summary.json", RunSummary)
    assert summary.plan is not None
    single = {point.path.pipeline.models for point in summary.plan.baselines}
    assert single == {(name,) for name in tiny_study().models}


def test_the_same_command_again_does_nothing_twice(finished: Path) -> None:
    before = {f: f.stat().st_mtime_ns for f in (finished / "models").rglob("*") if f.is_file()}
    lines = (finished / "run.log.jsonl").read_text().count("train.")
    assert run_command(["run", "--out", str(finished), "--quiet", "--json"]) == 0
    assert (finished / "run.log.jsonl").read_text().count("train.") == lines
    assert before == {f: f.stat().st_mtime_ns for f in before}


def test_another_target_only_plans_again(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["plan", "--out", str(finished), "--quiet", "--json", "--rate", "900"]
    assert run_command(command) == 0
    assert json.loads(capfd.readouterr().out)["plan"]["rate_qps"] == 900


def test_an_unreachable_target_is_an_answer(
    finished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["plan", "--out", str(finished), "--quiet", "--json", "--deadline-ms", "0.001"]
    assert run_command(command) == 1
    shortfall = json.loads(capfd.readouterr().out)["plan"]["shortfall"]
    assert shortfall["needed"] < shortfall["available"]
    assert shortfall["remedies"]


def test_a_change_that_cannot_be_planned_does_not_stay(
    finished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "study.toml").read_text()
    command = ["plan", "--out", str(finished), "--quiet"]
    assert run_command([*command, "--set", "space.keep_counts=[20,9999]"]) == 2
    assert "keep-count 9999 must be below the 150" in capfd.readouterr().err
    assert (finished / "study.toml").read_text() == before
    assert run_command(command) in (0, 1)


def test_a_folder_of_another_study_is_refused(
    finished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["run", "quick", "--out", str(finished), "--quiet"]) == 2
    assert "choose another folder with --out" in capfd.readouterr().err


def test_changing_one_model_fits_that_model_and_its_readers_only(tmp_path: Path) -> None:
    study = tiny_study()
    with RunFolder(tmp_path / "run") as folder:
        Planning(study, folder).steps.train()
        marks = {f.name: f.stat().st_mtime_ns for f in (folder.path / "done").glob("train.*")}
    entry = study.models["als"]
    models = {**study.models, "als": _with(entry, training=_with(entry.training, alpha=3.0))}
    with RunFolder(tmp_path / "run") as folder:
        Planning(_with(study, models=models), folder).steps.train()
        changed = {
            f.name.removeprefix("train.").removesuffix(".json")
            for f in (folder.path / "done").glob("train.*")
            if f.stat().st_mtime_ns != marks[f.name]
        }
    assert changed == {"als", "reranker"}


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(4))
def test_killed_at_any_moment_the_same_command_ends_the_same(
    finished: Path, tmp_path: Path, attempt: int
) -> None:
    write_study(tmp_path / "study.toml", tiny_study())
    command = [*RUN, str(tmp_path / "study.toml"), "--out", str(tmp_path / "run"), "--quiet"]
    rng = random.Random(attempt)
    kills = 0
    while True:
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            patience_s = rng.uniform(2, 4) * 1.1**kills
            running.wait(timeout=patience_s)
            break
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            kills += 1
            time.sleep(0.05)
    assert running.returncode == 0
    assert kills, "the run was never killed; make the pauses shorter"
    undisturbed = run_command(
        ["plan", "--out", str(finished), "--quiet", "--rate", "100", "--deadline-ms", "25"]
    )
    assert undisturbed == 0
    ours, theirs = results(tmp_path / "run"), results(finished)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


@pytest.mark.slow
def test_a_measured_plan_is_executed(tmp_path: Path) -> None:
    runtimes = {"torch": TorchEager(), "anew": TorchEager(cache_items=False)}
    study = _with(tiny_study("measured", rate_qps=300), runtimes=runtimes)
    write_study(tmp_path / "study.toml", study)
    out = tmp_path / "run"
    code = run_command(["run", str(tmp_path / "study.toml"), "--out", str(out), "--quiet"])
    summary = read_json(out / "summary.json", RunSummary)
    assert code in (0, 1)  # a busy machine may miss the deadline; that is an answer
    assert {row.role for row in summary.verification} == {"chosen", "baseline"}
    assert all(row.measured_p50_s.mean > 0 for row in summary.verification)
    assert {row.runtime for row in summary.runtimes} == set(runtimes)
    assert summary.comparison is not None
    assert summary.comparison.measured_capacity_ratio is not None
    assert summary.plan is not None
    for point in (*summary.plan.front.points, *summary.plan.baselines):
        assert set(dict(point.path.runtimes)) >= set(point.path.pipeline.models)
        assert set(dict(point.path.runtimes).values()) <= set(runtimes)


def _with(value: Any, **changes: Any) -> Any:
    fields = {name: getattr(value, name) for name in value.__struct_fields__}
    return type(value)(**{**fields, **changes})
