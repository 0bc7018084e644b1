"""`recfunnel accel cycles` and `accel topk`: people's own tables in, figures out."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recfunnel.cli.main import run_command
from recfunnel.hardware.systolic.cycles import gemm_cycles
from recfunnel.hardware.systolic.traffic import sram_words

LAYERS = """# made by hand
name,M,N,K,rows,cols,dataflow
top, 64,512,383,128,128,ws
bottom,64,512,13,32,8,OS
last,1,1,256,128,128, is
"""


def output(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run_command(["accel", *arguments]) == 0
    return capsys.readouterr().out


def as_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def layers(tmp_path: Path) -> str:
    (tmp_path / "layers.csv").write_text(LAYERS)
    return str(tmp_path / "layers.csv")


def test_each_row_is_told_its_cycles_and_words(
    layers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = as_csv(output(["cycles", layers, "--csv"], capsys))
    assert [row["name"] for row in rows] == ["top", "bottom", "last"]
    for row in rows:
        shape: Any = [int(row[name]) for name in ("M", "N", "K", "rows", "cols")]
        dataflow: Any = row["dataflow"]
        words = sram_words(*shape, dataflow)
        assert int(row["cycles"]) == gemm_cycles(*shape, dataflow)
        assert int(row["input_words"]) == words.inputs
        assert int(row["weight_words"]) == words.weights
        assert int(row["output_words"]) == words.outputs
        assert int(row["partial_sum_words"]) == words.partial_sums
        done = shape[0] * shape[1] * shape[2] / (shape[3] * shape[4] * int(row["cycles"]))
        assert float(row["utilisation"]) == pytest.approx(done)
        assert row["simulated"] == "true"
    assert rows[1]["dataflow"] == "os"


def test_overlap_changes_the_cycles_of_weights_that_stay(
    layers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    serial, overlapped = (
        json.loads(output(["cycles", layers, "--json", *flag], capsys))
        for flag in ([], ["--overlap"])
    )
    assert serial["simulated"]
    assert overlapped["overlap"]
    top = [found["products"][0] for found in (serial, overlapped)]
    assert top[0]["cycles"] == 3 * 4 * (2 * 128 + 128 + 64 - 2) - 1
    assert top[1]["cycles"] == 255 + 11 * 128 + 254 + 64
    assert top[1]["input_words"] == top[0]["input_words"]


def test_what_people_read_says_it_is_simulated(
    layers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "simulated" in output(["cycles", layers], capsys)
    np.save(tmp_path / "scores.npy", np.random.default_rng(0).random((3, 500)))
    text = output(["topk", str(tmp_path / "scores.npy"), "--k", "50"], capsys)
    assert "simulated" in text
    assert "outside" not in text.splitlines()[-2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; it needs the columns M, N, K"),
        ("M,N,K,rows,cols,dataflow\n", "has no rows"),
        ("M,N,k,rows,cols,dataflow\n1,1,1,8,8,ws\n", "has no column 'K'"),
        ("M,N,K,row,cols,dataflow\n1,1,1,8,8,ws\n", "no column 'rows'; rename 'row'"),
        ("M,N,K,rows,cols,dataflow\n1,1,1,8,8,ws\n1,x,1,8,8,ws\n", "row 2 has N 'x'"),
        ("M,N,K,rows,cols,dataflow\n1,,1,8,8,ws\n", "row 1 has N None"),
        ("M,N,K,rows,cols,dataflow\n1,1.5,1,8,8,ws\n", "row 1 has N '1.5'"),
        ("M,N,K,rows,cols,dataflow\n1,1,1,0,8,ws\n", "rows is 0; it must be between 1"),
        ("M,N,K,rows,cols,dataflow\n1,1,1,8,8,rs\n", "no dataflow 'rs'; known: ws, os, is"),
        ("M,N,K,rows,cols,dataflow\n1,1,1,8,8\n", "no dataflow ''"),
    ],
)
def test_a_bad_table_is_said_and_exits_2(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text(text)
    assert run_command(["accel", "cycles", str(tmp_path / "bad.csv")]) == 2
    assert message in capsys.readouterr().err


def test_the_filter_tells_what_it_emits_of_each_query(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = np.random.default_rng(0).beta(1, 30, (20, 4096)).astype(np.float32)
    np.save(tmp_path / "scores.npy", scores)
    rows = as_csv(output(["topk", str(tmp_path / "scores.npy"), "--k", "512", "--csv"], capsys))
    assert len(rows) == 20
    for row, line in zip(rows, scores, strict=True):
        least = np.sort(line)[-512]
        assert int(row["emitted"]) == (line >= np.floor(least * 16) / 16).sum()
        assert float(row["recall"]) == 1.0
        walked = 16 - int(np.floor(least * 16))
        assert int(row["cycles"]) == 4096 + walked + 4096
        assert row["simulated"] == "true"


def test_tail_edges_take_their_range_and_places_from_the_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / name) for name in ("scores.npy", "sample.npy")]
    for path in paths:
        np.save(path, rng.normal(-3, 1.5, (10, 4096)))
    base = ["topk", paths[0], "--k", "64", "--json"]
    linear = json.loads(output([*base, "--low", "-10", "--high", "5"], capsys))
    tail = json.loads(output([*base, "--edges", "tail", "--sample", paths[1]], capsys))
    assert tail["simulated"]
    assert tail["mean"]["recall"] == linear["mean"]["recall"] == 1.0
    assert tail["mean"]["overshoot"] < 1.15 < linear["mean"]["overshoot"]
    assert len(tail["filter"]["edges"]) == 15
    assert len(tail["queries"]) == 10


def test_scores_outside_the_range_and_edges_from_themselves_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "scores.npy")
    np.save(path, np.linspace(-1, 3, 4001))
    text = output(["topk", path, "--k", "64"], capsys)
    assert "75.01% of the scores lie outside 0 to 1" in text
    text = output(["topk", path, "--k", "64", "--edges", "tail"], capsys)
    assert "edges come from the same scores" in text
    assert "outside -1" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--k", "11"], "keeps 11 of 10 candidates; k must be between 1 and 10"),
        (["--k", "0"], "keeps 0 of 10"),
        (["--k", "11", "--edges", "tail"], "keeps 11 of 10"),
        (["--k", "2", "--bins", "1"], "a filter of 1 bins"),
        (["--k", "2", "--lanes", "0"], "0 lanes"),
        (["--k", "2", "--low", "1"], "range must be finite and not empty"),
        (["--k", "10", "--edges", "tail"], "tail edges for all candidates say nothing"),
        (["--k", "2", "--edges", "round"], "edges"),
        (["--k", "2", "--json", "--csv"], "choose one"),
        (["--k", "3", "--buffer", "2", "--overflow", "raise"], "cannot hold the 3"),
        ([], "--k"),
    ],
)
def test_a_bad_filter_is_said_and_exits_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "scores.npy", np.linspace(0, 0.9, 10))
    assert run_command(["accel", "topk", str(tmp_path / "scores.npy"), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.array([0.1, np.nan]), "query 0 has score nan at 1"),
        (np.array([1, 2]), "scores are int64"),
        (np.ones((1, 2, 3)), "shape (1, 2, 3)"),
    ],
)
def test_bad_scores_are_said_and_exit_2(
    scores: np.ndarray, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "scores.npy", scores)
    assert run_command(["accel", "topk", str(tmp_path / "scores.npy"), "--k", "1"]) == 2
    assert message in capsys.readouterr().err


def test_no_scores_at_all_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.npy").write_text("0.5, 0.3")
    assert run_command(["accel", "topk", str(tmp_path / "text.npy"), "--k", "1"]) == 2
    assert "is no .npy file of scores" in capsys.readouterr().err
    np.savez(tmp_path / "two.npz", a=np.ones(2), b=np.ones(2))
    assert run_command(["accel", "topk", str(tmp_path / "two.npz"), "--k", "1"]) == 2
    assert "holds several arrays" in capsys.readouterr().err
    assert run_command(["accel", "topk", str(tmp_path / "none.npy"), "--k", "1"]) == 2
    assert "none.npy" in capsys.readouterr().err
