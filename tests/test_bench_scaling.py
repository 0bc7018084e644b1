"""Scaling is measured along each axis, and drawn."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from recfunnel.bench.machine import cache_bytes
from recfunnel.bench.scaling import ScalingRequest, measure_scaling
from recfunnel.bench.scaling_result import AXES, ScalingResult
from recfunnel.cli.main import run_command
from recfunnel.core.errors import StudyError
from recfunnel.hardware.limits import num_allowed_cores
from recfunnel.report.figure_scaling import scaling_figures

TINY = ScalingRequest(
    peers=("none",),
    num_pairs=2000,
    num_rows=3000,
    num_items=1200,
    most=2000,
    num_rounds=2,
    round_s=1e-5,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ScalingResult:
    small = measure_scaling(
        replace(TINY, axes=("candidates", "catalogue", "threads")),
        tmp_path_factory.mktemp("cache"),
    )
    features = measure_scaling(
        replace(TINY, axes=("features",), most=8), tmp_path_factory.mktemp("cache")
    )
    tables = measure_scaling(
        replace(TINY, axes=("tables",), most=10_000), tmp_path_factory.mktemp("cache")
    )
    return replace(small, points=small.points + features.points + tables.points)


def test_every_axis_has_points(tiny: ScalingResult) -> None:
    places = {axis: {p.at for p in tiny.points if p.axis == axis} for axis in AXES}
    assert places["candidates"] == {1, 4, 16, 64, 256, 1024}
    assert places["catalogue"] == {1000}
    assert places["features"] == {4, 8}
    assert places["tables"] == {10_000}
    assert places["threads"] == set(range(1, num_allowed_cores() + 1))
    assert {p.name for p in tiny.points if p.axis == "threads"} == {
        *("256 candidates", "1,024 candidates", "4,096 candidates"),
        "1,024 candidates, a query a core",
    }
    assert all(point.items_per_s > 0 for point in tiny.points)


def test_a_figure_for_each_axis(tiny: ScalingResult) -> None:
    figures = {figure.name: figure for figure in scaling_figures(tiny)}
    assert figures.keys() == {f"scaling-{axis}" for axis in AXES}
    svg = figures["scaling-candidates"].svg()
    assert "ours, compiled, bf16" in svg
    assert "candidates a query" in svg


def test_a_cache_that_is_outgrown_is_marked(tiny: ScalingResult) -> None:
    wide = [replace(p, at=at) for p in tiny.points if p.axis == "catalogue" for at in (1000, 10**6)]
    result = replace(
        tiny, points=tuple(wide), caches={"L1": 1 << 15, "L2": 1 << 20}, record_bytes=208
    )
    svg = scaling_figures(result)[0].svg()
    assert "fills L2" in svg
    assert "fills L1" not in svg


def test_the_command_draws(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = [
        *("bench", "scaling", "-q", "--json", "--axis", "candidates", "--library", "none"),
        *("--rows", "3000", "--items", "100", "--most", "16", "--rounds", "1"),
        *("--round-ms", "0.01", "--out", str(tmp_path)),
    ]
    assert run_command(arguments) == 0
    assert json.loads(capfd.readouterr().out)["model"] == "RM_small"
    assert {file.name for file in tmp_path.iterdir()} >= {
        "scaling.json",
        "scaling-candidates.svg",
        "scaling-candidates.png",
    }


def test_only_a_dlrm_scales() -> None:
    with pytest.raises(StudyError, match="'NeuMF_large' is none"):
        ScalingRequest(model="NeuMF_large")


def test_caches_are_read_from_the_system(tmp_path: Path) -> None:
    for number, (level, kind, size) in enumerate(
        [("1", "Data", "32K"), ("1", "Instruction", "32K"), ("3", "Unified", "32M")]
    ):
        folder = tmp_path / f"index{number}"
        folder.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(text + "\n")
    assert cache_bytes(tmp_path) == {"L1": 32 << 10, "L3": 32 << 20}
    assert cache_bytes(tmp_path / "nowhere") == {}
