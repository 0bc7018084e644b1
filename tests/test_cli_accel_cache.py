"""`recfunnel accel cache`: hit counts of a trace in a file."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recfunnel.cli.main import run_command

# 1 2 3 1 2 3 | 1 1 2 3 9 9: three places hold 1, 2, 3 from the fourth lookup on
IDS = np.array([1, 2, 3, 1, 2, 3, 1, 1, 2, 3, 9, 9])


@pytest.fixture
def trace(tmp_path: Path) -> str:
    np.save(tmp_path / "trace.npy", IDS)
    return str(tmp_path / "trace.npy")


def printed(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_command(["accel", "cache", *arguments]) == 0
    return capfd.readouterr().out


def hits(capfd: pytest.CaptureFixture[str], *arguments: str) -> list[int]:
    found: dict[str, Any] = json.loads(printed(capfd, *arguments, "--json"))
    assert found["simulated"] is True
    return [row["hits"] for row in found["caches"]]


def test_json_and_csv_have_a_row_a_policy_and_capacity(
    trace: str, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = (trace, "--policy", "lru", "fifo", "--capacity", "1", "3")
    assert hits(capfd, *asked) == [2, 8, 2, 8]
    rows = list(csv.DictReader(io.StringIO(printed(capfd, *asked, "--csv"))))
    assert [(row["policy"], row["capacity"]) for row in rows] == [
        ("lru", "1"),
        ("lru", "3"),
        ("fifo", "1"),
        ("fifo", "3"),
    ]
    assert rows[1] == {
        "policy": "lru",
        "capacity": "3",
        "lookups": "12",
        "hits": "8",
        "misses": "4",
        "hit_rate": str(8 / 12),
    }


def test_the_table_says_that_it_is_simulated(trace: str, capfd: pytest.CaptureFixture[str]) -> None:
    shown = printed(capfd, trace, "--policy", "belady", "--capacity", "3")
    assert "simulated; 12 lookups counted after 0, 4 different rows" in shown


def test_static_rows_are_chosen_on_the_first_half(
    trace: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert hits(capfd, trace, "--policy", "static", "--capacity", "1", "9") == [2, 4]
    assert hits(capfd, trace, "--policy", "static", "--capacity", "1", "--warm-up", "11") == [0]


def test_a_profile_is_played_first_and_not_counted(
    trace: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert hits(capfd, trace, "--capacity", "9", "--profile", trace) == [12]


def test_a_sub_batch_counts_each_row_once(trace: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert hits(capfd, trace, "--capacity", "9", "--sub-batch", "6") == [3]


def test_columns_are_tables(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "two.npy", np.array([[0, 0], [0, 0]]))
    two = str(tmp_path / "two.npy")
    assert hits(capfd, two, "--capacity", "2", "--table-rows", "1", "1") == [2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--capacity"),
        (("--capacity", "0"), "a cache of 0 rows"),
        (("--capacity", "x"), "capacity"),
        (("--capacity", "1", "--policy", "lur"), "did you mean 'lru'"),
        (("--capacity", "1", "--warm-up", "12"), "12 of 12 lookups are warm-up"),
        (("--capacity", "1", "--warm-up", "1", "--profile", "x.npy"), "choose one"),
        (("--capacity", "1", "--json", "--csv"), "choose one"),
        (("--capacity", "1", "--sub-batch", "0"), "sub-batch has 0 entries"),
        (("--capacity", "1", "--table-rows", "9"), "table 0 has 9 rows, the trace reads 9"),
        (("--capacity", "1", "--profile", "none.npy"), "none.npy does not exist"),
    ],
)
def test_bad_options_are_said_and_exit_2(
    trace: str, arguments: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["accel", "cache", trace, *arguments]) == 2
    assert message in capfd.readouterr().err


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([1.5]), "trace of float64 numbers"),
        (np.array([3, -4]), "row id -4"),
        (np.array([], np.int64), "without lookups"),
    ],
)
def test_files_that_are_no_trace_are_refused(
    ids: Any, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "bad.npy", ids)
    assert run_command(["accel", "cache", str(tmp_path / "bad.npy"), "--capacity", "1"]) == 2
    assert message in capfd.readouterr().err
