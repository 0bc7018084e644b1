"""`recfunnel accel latency`: one's own accelerator from a file, its times out."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recfunnel.cli.main import run_command
from recfunnel.core.seeds import rng_for
from recfunnel.hardware.accel.row_curve import row_curve
from recfunnel.hardware.caches.trace import row_trace
from recfunnel.workload.lookups import ZipfLookups

FRONT = """
[[stages]]
bottom = [13, 64, 4]
top = [64, 1]
num_tables = 26
num_out = 512
hit_rate = 0.5
use = {rows = 64, cols = 64, copies = 2, ahead_bytes = 2_000_000}
"""
BACK = """
[[stages]]
bottom = [13, 512, 256, 128, 64, 32]
top = [96, 1]
num_tables = 26
num_out = 64
hit_rate = 0.5
use = {rows = 64, cols = 64, copies = 2, ahead_bytes = 2_000_000}
"""
TWO = "num_in = 4096\nsub_batches = 8\n" + FRONT + BACK


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "two.toml").write_text(TWO)
    return tmp_path


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run_command(["accel", "latency", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(text: str, folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    (folder / "bad.toml").write_text(text)
    assert run_command(["accel", "latency", str(folder / "bad.toml"), *more]) == 2
    return " ".join(capsys.readouterr().err.split())


def test_a_design_is_told_its_times_alone_and_under_load(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load = ["--load", "500", "3000", "--queries", "1000", "--replications", "2"]
    found = told([str(folder / "two.toml"), *load, "--deadline", "0.002"], capsys)

    assert found["simulated"] is True
    assert found["candidates"] == [[512] * 8, [64] * 8]
    sent_s = max(span["end_s"] for span in found["spans"] if span["unit"] == "PCIe out")
    assert found["latency_s"] == pytest.approx(sent_s + 5e-6)
    units = {unit["unit"]: unit for unit in found["units"]}
    assert units["dram, stage 0"]["busy_s"] == pytest.approx(4096 * 13 * 64 / 16e9)
    assert units["array, stage 0"]["copies"] == 2
    few, many = found["loads"]
    assert found["latency_s"] < few["mean_s"]["mean"] < many["mean_s"]["mean"]
    assert few["p99_s"]["num_samples"] == 2
    assert many["steady"]
    dram = many["units"].index("dram")
    assert many["utilisation"][dram]["mean"] == pytest.approx(
        3000 / found["saturated_qps"], rel=0.1
    )
    assert 500 < found["capacity_qps"]["mean"] < found["saturated_qps"]


def test_the_example_of_the_page_has_the_times_of_the_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    docs = Path(__file__).parents[1] / "docs"
    found = told([str(docs / "rpaccel.toml"), "--replications", "1"], capsys)
    row = "| as it is | 0.299 | 3,756 |"

    assert row in (docs / "rpaccel.md").read_text()
    assert found["latency_s"] == pytest.approx(0.299e-3, abs=0.5e-6)
    assert found["saturated_qps"] == pytest.approx(3756, abs=3)


def test_json_says_the_same_as_toml(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tomllib

    (folder / "two.json").write_text(json.dumps(tomllib.loads(TWO)))
    few = ["--queries", "100", "--replications", "1"]

    assert told([str(folder / "two.json"), *few], capsys) == told(
        [str(folder / "two.toml"), *few], capsys
    )


def test_people_read_tables_that_say_simulated(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--queries", "400", "--replications", "2", "--load", "100", "9000", "--deadline", "1"]
    assert run_command(["accel", "latency", str(folder / "two.toml"), *few]) == 0
    out = " ".join(capsys.readouterr().out.split())

    assert "unit (simulated)" in out
    assert "simulated; one query alone takes 0.2987 ms, 8 sub-batches" in out
    assert "not steady" in out
    assert "2 runs of 400 queries each" in out
    assert "p99 within 1000 ms holds up to 3," in out


def test_every_span_of_a_unit_begins_when_the_one_before_has_ended(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told([str(folder / "two.toml"), "--queries", "100"], capsys)
    by_unit: dict[str, list[tuple[float, float]]] = {}
    for span in found["spans"]:
        by_unit.setdefault(span["unit"], []).append((span["start_s"], span["end_s"]))

    ids_s = 4096 * (8 * 26 + 4 * 13) / 12e9
    ends_s = [end for _, end in sorted(by_unit["PCIe in"])]
    assert min(by_unit["PCIe in"])[0] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(ends_s, ids_s * np.arange(1, 9) / 8)
    assert set(by_unit) >= {"PCIe in", "DRAM", "SRAM", "array 0.1", "filter 1.0", "PCIe out"}
    for spans in by_unit.values():
        spans.sort()
        assert all(after[0] >= before[1] - 1e-12 for before, after in pairwise(spans))


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_picture_shows_when_each_unit_works(
    folder: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = folder / f"query.{ending}"
    told([str(folder / "two.toml"), "--queries", "100", "--picture", str(picture)], capsys)

    if ending == "svg":
        text = picture.read_text()
        assert "array 1.1" in text
        assert "Simulated. The answer is there after 298.7 microseconds; DRAM works longest" in text
    else:
        assert picture.read_bytes()[:4] == b"\x89PNG"


def test_rows_are_counted_on_a_trace(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lookups = ZipfLookups(num_rows=50_000, exponent=1.0)
    ids = lookups.ids(2 * 26 * 40_960, rng_for(1, "trace")).reshape(-1, 26)
    np.save(folder / "front.npy", ids)
    front = FRONT.replace("hit_rate = 0.5", 'trace = "front.npy"').replace(
        "ahead_bytes", "static_bytes = 160_000, ahead_bytes"
    )
    (folder / "traced.toml").write_text("num_in = 4096\nsub_batches = 8\n" + front + BACK)

    found = told([str(folder / "traced.toml"), "--queries", "100"], capsys)

    units = {unit["unit"]: unit["busy_s"] for unit in found["units"]}
    curve = row_curve(row_trace(ids).warmed_up_by(26 * 40_960), [512])
    fetched = 8 * float(curve.fetched(512, 10_000))
    assert units["dram, stage 0"] == pytest.approx(fetched * 64 / 16e9)
    assert 0.3 < fetched / (4096 * 26) < 0.5  # hot rows pinned, the others once a sub-batch


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("rows = 64", "rows = 120"), "elements in an array of 16384"),
        (("rows = 64", "rows = 62"), "whole blocks of 4 x 4"),
        (("2_000_000", "20_000_000"), "bytes in an embedding SRAM of 16,777,216; make them"),
        (("rows = 64", "rows = -64"), "rows of a stage's sub-array is -64"),
        (("hit_rate = 0.5", "hit_rate = 50"), "hit rate is 50; it must be 0 to 1"),
        (("num_in", "num_inn"), "did you mean 'num_in'?"),
        (("hit_rate", "hit_rat"), "did you mean 'hit_rate'?"),
        (("top = [64, 1]", ""), "needs two sizes below, one above"),
        (("bottom = [13, 64, 4]\ntop = [64, 1]", ""), "either bottom and top of a DLRM, or widths"),
        (("bottom = [13, 64, 4]\ntop = [64, 1]", "widths = [4, 1]"), "needs vector_bytes"),
        (("num_out = 512", "num_out = 5120"), "keep 5120 of 4096"),
        (("sub_batches = 8", "sub_batches = 700"), "512 candidates in 700 sub-batches"),
        (("hit_rate = 0.5", 'trace = "none.npy"'), "none.npy does not exist"),
        (("hit_rate = 0.5", 'profile = "a.npy"'), "give the trace too"),
        (("hit_rate = 0.5", 'hit_rate = 0.5\ntrace = "a.npy"'), "give one of both"),
        (("hit_rate = 0.5", "ssd_share = 0.1"), "the chip has none"),
        (("num_in = 4096", "num_in = "), "is not valid TOML"),
        (("\n[[stages]]", "\n[chip]\nclock_hz = 8\n[[stages]]"), "clock is 8 Hz"),
    ],
)
def test_a_description_that_cannot_be_is_refused(
    folder: Path, change: tuple[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(TWO.replace(*change, 1), folder, capsys)


def test_a_trace_of_other_tables_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(folder / "a.npy", np.ones((100, 3), np.int64))
    text = TWO.replace("hit_rate = 0.5", 'trace = "a.npy"', 1)
    assert "a.npy has 3 tables, stage 0 26" in refused(text, folder, capsys)


def test_files_that_are_none_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["accel", "latency", str(folder / "none.json")]) == 2
    assert "does not exist" in capsys.readouterr().err
    (folder / "bad.json").write_text("[1")
    assert run_command(["accel", "latency", str(folder / "bad.json")]) == 2
    assert "is not valid JSON" in capsys.readouterr().err
    (folder / "bad.json").write_text("[1]")
    assert run_command(["accel", "latency", str(folder / "bad.json")]) == 2
    assert "holds no table" in capsys.readouterr().err
    assert "must end in .svg" in refused(TWO, folder, capsys, "--picture", "a.txt")
