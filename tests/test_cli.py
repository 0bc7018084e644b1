"""The command line: exit codes, clear errors, and options that are a promise."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recfunnel.cli.main import run_command
from recfunnel.cli.options import StudyOptions
from recfunnel.cli.verbs import app

VERBS = (
    *("run", "data", "train", "score", "profile", "plan", "verify", "report", "recipes", "bench"),
    *("explain", "accel", "reproduce", "compact", "serve"),
)
OPTIONS = (
    "out",
    "data",
    "rate",
    "deadline_ms",
    "quantile",
    "objective",
    "seed",
    "set",
    "json",
    "quiet",
)


def test_the_verbs_and_options_are_a_promise() -> None:
    assert {name for name in app if not name.startswith("-")} == set(VERBS)
    assert tuple(StudyOptions.__dataclass_fields__) == OPTIONS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "fly"),
        (["run", "--rat", "5"], "--rat"),
        (["run", "--rate", "x"], "--rate"),
        (["run", "--rate", "0"], "--rate is 0, must be above 0"),
        (["run", "--rate", "-1"], "--rate is -1, must be above 0"),
        (["run", "--deadline-ms", "0"], "must be above 0"),
        (["run", "--objective", "speed"], "objective"),
        (["run", "nowhere"], "no recipe 'nowhere'"),
        (["run", "--set", "sede=1"], "did you mean 'seed'"),
        (["run", "movielens"], "needs the raw data"),
        (["data", "ml-2m"], "did you mean 'ml-1m'"),
        (["train", "--model", "none"], "no model 'none'"),
    ],
)
def test_bad_input_is_said_and_exits_2(
    arguments: list[str],
    message: str,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command([*arguments]) == 2
    assert message in capfd.readouterr().err


def test_a_folder_that_cannot_be_written_is_said(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert run_command(["run", "--out", str(tmp_path / "file" / "run")]) == 2
    assert "choose another folder with --out" in capfd.readouterr().err


def test_recipes_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(["recipes", "--json"]) == 0
    assert {"quick", "movielens"} <= json.loads(capfd.readouterr().out).keys()


def test_help_answers_without_loading_a_framework() -> None:
    code = (
        "import sys; from recfunnel.cli.main import run_command; run_command(['--help']);"
        "sys.exit(3 if 'torch' in sys.modules or 'numba' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "verify" in done.stdout
