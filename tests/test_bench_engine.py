"""The whole measurement on tiny tables, and the verdicts on what it finds."""

import dataclasses
import io
import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from recfunnel.bench import memory
from recfunnel.bench import ours as our_machines
from recfunnel.bench.engine import measure_engine
from recfunnel.bench.process_results import Resident, Steadiness
from recfunnel.bench.request import QUICK, EngineRequest
from recfunnel.bench.results import (
    CASCADE,
    ON_ONE_CORE,
    SIDE_BY_SIDE,
    STAGES,
    BackendResult,
    EngineResult,
    GroupResult,
    Machine,
    Precision,
    Timing,
    Way,
    our_name,
    our_scan,
)
from recfunnel.bench.roof import Bound, call_bound, speed_up_of
from recfunnel.bench.shapes import Setting, shape_named
from recfunnel.bench.targets import verdicts
from recfunnel.bench.targets_cascade import best_stages
from recfunnel.bench.verdict import Verdict
from recfunnel.cli.main import run_command
from recfunnel.core.errors import StudyError
from recfunnel.report.engine_tables import (
    engine_tables,
    machine_line,
    noise_line,
    verdicts_table,
)
from recfunnel.report.terminal import draw_table

TINY = replace(
    QUICK,
    models=("RM_small",),
    parts=("plain", "catalogue", "largest", "scan", "cores", "steady"),
    candidates=(1, 37, 1024),
    num_items=1500,
    largest_items=2000,
    num_rows=3000,
    peers=("none",),
    num_rounds=2,
    num_pairs=2000,
    num_steady=200,
    round_s=1e-4,
)

WAYS: tuple[Way, ...] = ("plain", "hoisted", "compiled")
LARGEST: dict[Precision, float] = {"float32": 1e-5, "bfloat16": 0.02, "int8": 0.05}

MACHINE = Machine(
    processor="some",
    instructions=("avx512_bf16",),
    num_cores=2,
    compute_flops_per_s=1e11,
    bandwidth_bytes_per_s=2e10,
    versions={"numpy": "2"},
)


def backend(name: str, median_s: float, way: str = "library", error: float = 0.0) -> BackendResult:
    precision = "bfloat16" if name.endswith("bf16") else "float32"
    timing = Timing(rounds_s=(median_s,) * 3, p99_s=1.2 * median_s, num_calls=9)
    return BackendResult(name=name, way=way, precision=precision, timing=timing, error=error)  # type: ignore[arg-type]


def group(setting: Setting, size: int, *backends: BackendResult, **changes: object) -> GroupResult:
    found = GroupResult(
        model="RM_small",
        setting=setting,
        num_candidates=size,
        num_items=0 if setting == "plain" else 10**6,
        largest=False,
        num_threads=1,
        backends=backends,
        foreign_share=0.0,
        steal_share=0.0,
    )
    return replace(found, **changes)


def result(*groups: GroupResult) -> EngineResult:
    return EngineResult(
        machine=MACHINE, num_rows=1, num_items=10**6, quick=False, groups=groups, missing=()
    )


def measured(*groups: GroupResult) -> dict[str, Verdict]:
    return {v.what: v for v in verdicts(result(*groups)) if v.measured is not None}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> EngineResult:
    return measure_engine(TINY, tmp_path_factory.mktemp("cache"))


def test_our_scores_equal_float64(tiny: EngineResult) -> None:
    for each in tiny.groups:
        for ours in each.backends:
            assert ours.error < LARGEST[ours.precision], ours.name


def test_every_part_is_measured(tiny: EngineResult) -> None:
    groups = [each for each in tiny.groups if each.model != CASCADE]
    sizes = {(g.setting, g.num_candidates, g.num_items, g.num_threads) for g in groups}
    assert sizes == {
        *(("plain", size, 0, 1) for size in (1, 37, 1024)),
        ("plain", 1024, 0, 2),
        *(("catalogue", size, 1500, 1) for size in (1, 37, 1024)),
        ("catalogue", 1500, 1500, 1),
        ("catalogue", 1024, 2000, 1),
    }
    names = {b.name for g in groups for b in g.backends}
    ways = {our_name(way, precision) for way in WAYS for precision in LARGEST}
    scans = {our_scan("bfloat16"), our_scan("int8")}
    plain = our_name("plain", "float32")
    assert names == {*ways, *scans, plain + ON_ONE_CORE, plain + SIDE_BY_SIDE}


def test_the_cascade_is_measured_in_one_group(tmp_path: Path) -> None:
    request = replace(TINY, models=("RM_large", "rm_small"), parts=("cascade",))
    (found,) = measure_engine(request, tmp_path).groups
    assert found.model == CASCADE
    assert {b.error < 0.02 for b in found.backends} == {True}
    assert (found.num_candidates, found.num_items) == (1500, 1500)
    assert [b.name for b in found.backends] == [
        "ours, compiled, bf16",
        "ours, compiled, int8/bf16",
        "ours, compiled, int8",
        "ours, hoisted, bf16",
    ]


def test_a_cascade_without_its_models_is_said(tmp_path: Path) -> None:
    found = measure_engine(replace(TINY, parts=("cascade",)), tmp_path)
    assert [each.name for each in found.missing] == [CASCADE]


def test_steady_calls_are_watched(tiny: EngineResult) -> None:
    (found,) = tiny.steadiness
    assert (found.model, found.num_candidates, found.num_calls) == ("RM_small", 256, 200)
    assert 0 < found.median_s <= found.p99_s <= found.longest_s
    assert found.allocations in (0, None)


def test_results_are_drawn(tiny: EngineResult) -> None:
    tables = engine_tables(tiny)
    assert tables[-1].name == "targets"
    assert all(len(row.cells) == len(table.columns) for table in tables for row in table.rows)
    assert "GFLOP/s" in machine_line(tiny)


def test_every_target_fits_one_line_of_a_hundred_columns() -> None:
    ours = [backend(our_name(way, "bfloat16"), 1.23e-4, way) for way in WAYS]
    ours.append(backend(our_name("compiled", "float32"), 1.23e-4, "compiled"))
    library = backend("ONNX Runtime int8", 1.23e-3)
    whole = result(
        group("catalogue", 1024, *ours, library, num_items=1_230_000),
        group("plain", 1024, *ours, library),
        cascade(
            *ours,
            *library_of_stages("dlrm layout, eager", 18e-3, 3e-3),
            *library_of_stages("OpenVINO bf16", 5e-3, 9e-3),
            *library_of_stages("ONNX Runtime int8", 8e-3, 1e-3),
        ),
    )
    console = Console(file=io.StringIO(), width=100, color_system=None)
    table = verdicts_table(replace(whole, steadiness=(STEADY,), resident=(HELD,)))
    console.print(draw_table(dataclasses.replace(table, caption="")))
    assert isinstance(console.file, io.StringIO)
    drawn = [line for line in console.file.getvalue().splitlines() if line.strip()]
    assert len(drawn) == len(table.rows) + 3  # title, head and rule


def test_a_busy_machine_is_said() -> None:
    busy = group("plain", 1, foreign_share=0.4)
    assert "40 %" in noise_line(result(busy))
    assert noise_line(result(group("plain", 1))) == ""


def test_a_neumf_is_measured_on_its_own_items(tmp_path: Path) -> None:
    request = replace(TINY, models=("NeuMF_large",), candidates=(64,))
    found = measure_engine(request, tmp_path)
    assert [(g.setting, g.num_items) for g in found.groups] == [("catalogue", 3706)]
    assert {b.way for b in found.groups[0].backends} == {"hoisted"}


def test_what_does_not_fit_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 1 << 20)
    request = replace(
        TINY, models=("RM_small", "RM_large"), parts=("plain", "cascade"), num_rows=10**6
    )
    found = measure_engine(request, tmp_path)
    assert not found.groups
    assert [each.name for each in found.missing] == ["RM_small", "RM_large", CASCADE]
    assert all("GiB, has 0.0 GiB; take fewer rows" in each.why for each in found.missing)


def test_a_catalogue_that_does_not_fit_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(our_machines, "free_memory_bytes", lambda: 1 << 20)
    found = measure_engine(replace(TINY, parts=("plain", "largest")), tmp_path)
    assert {each.setting for each in found.groups} == {"plain"}
    (left,) = found.missing
    assert left.name == "RM_small, 2,000 items"
    assert left.why == "needs 1.0 GiB, has 0.0 GiB"


def test_a_ratio_is_held_against_the_best_library_of_its_precision() -> None:
    ours = backend(our_name("plain", "float32"), 1.0, "plain")
    low = backend(our_name("plain", "bfloat16"), 0.5, "plain")
    group_ = group(
        "plain", 1024, ours, low, backend("a", 2.6), backend("b", 3.0), backend("c bf16", 1.5)
    )
    found = measured(group_)
    assert found["plain fp32"].measured == pytest.approx(2.6)
    assert found["plain fp32"].met
    assert found["plain bf16"].measured == pytest.approx(3.0)
    assert found["plain bf16"].met is False


def test_without_libraries_no_ratio_is_claimed() -> None:
    ours = backend(our_name("plain", "float32"), 1.0, "plain")
    assert "plain fp32" not in measured(group("plain", 1024, ours))


def cascade(*backends: BackendResult) -> GroupResult:
    return group("catalogue", 4096, *backends, model=CASCADE)


def library_of_stages(name: str, first_s: float, second_s: float) -> list[BackendResult]:
    times = zip(("", *STAGES), (first_s + second_s, first_s, second_s), strict=True)
    return [backend(name + end, seconds) for end, seconds in times]


def test_the_cascade_is_held_against_whole_libraries_and_the_best_of_each_stage() -> None:
    found = measured(
        cascade(
            backend(our_name("compiled", "bfloat16"), 3e-4, "compiled"),
            backend(our_name("hoisted", "bfloat16"), 9.1e-4, "hoisted"),
            *library_of_stages("dlrm layout, eager", 18e-3, 3e-3),
            *library_of_stages("fast first", 5e-3, 9e-3),
            *library_of_stages("fast second", 8e-3, 1e-3),
        )
    )
    assert found["compiled bf16"].measured == pytest.approx(3e-4)
    assert found["compiled bf16"].met
    assert found["hoisted bf16"].met is False
    assert found["over dlrm, bf16"].measured == pytest.approx(70)
    assert found["over best, bf16"].measured == pytest.approx(20)
    assert found["over best, bf16"].beside == "fast first + fast second"


def test_a_cascade_without_libraries_claims_no_ratio() -> None:
    found = measured(cascade(backend(our_name("compiled", "bfloat16"), 3e-4, "compiled")))
    assert "over dlrm, bf16" not in found
    assert "over best, bf16" not in found


def test_stages_are_added_round_by_round() -> None:
    first, second = backend("a, stage 1", 1.0), backend("b, stage 2", 1.0)
    first = replace(first, timing=replace(first.timing, rounds_s=(1.0, 2.0, 3.0)))
    second = replace(second, timing=replace(second.timing, rounds_s=(30.0, 20.0, 10.0)))
    together = best_stages(cascade(first, second))
    assert together is not None
    assert together.timing.rounds_s == (31.0, 22.0, 13.0)


STEADY = Steadiness(
    model="RM_small",
    num_candidates=256,
    num_calls=5000,
    median_s=1e-5,
    p99_s=1.8e-5,
    p99_kept_s=1.2e-5,
    quiet_median_s=1e-5,
    quiet_p99_s=1.2e-5,
    num_quiet=9_500,
    num_kept=4900,
    longest_s=1e-3,
    slow={"switched out": 90, "unknown": 3},
    ticks=41,
    allocations=0,
    page_faults=2,
)
HELD = Resident(
    model="RM_small",
    table_bytes=800,
    record_bytes=150,
    feature_bytes=50,
    resident_bytes=1040,
    peak_bytes=1100,
)


def test_a_process_is_held_against_its_targets() -> None:
    whole = replace(result(), steadiness=(STEADY,), resident=(HELD,))
    found = {v.what: v for v in verdicts(whole) if v.measured is not None}
    assert found["p99 / median"].measured == pytest.approx(1.8)
    assert found["p99 / median"].met is False
    assert found["p99 / median, kept"].met
    assert found["allocations"].met
    assert found["page faults"].met is False
    assert found["resident memory"].measured == pytest.approx(1.04)
    assert found["resident memory"].met


def test_a_process_is_drawn() -> None:
    tables = {
        t.name: t for t in engine_tables(replace(result(), steadiness=(STEADY,), resident=(HELD,)))
    }
    steady = [cell.text for cell in tables["engine-steady"].rows[0].cells]
    assert "1.80" in steady
    assert "41" in steady
    assert "4 %" in [cell.text for cell in tables["engine-memory"].rows[0].cells]


def test_a_cascade_is_drawn_with_its_stages() -> None:
    whole = result(
        cascade(
            backend(our_name("compiled", "bfloat16"), 1e-3, "compiled"),
            *library_of_stages("some", 18e-3, 3e-3),
        )
    )
    table = next(t for t in engine_tables(whole) if t.name == "engine-cascade")
    ours, some, best = ([cell.text for cell in row.cells] for row in table.rows)
    assert ours[1] == "1.00 ms"
    assert some[1:6] == ["21.0 ms", "25.2 ms", "18.0 ms", "3.00 ms", "21.0"]
    assert best[0] == "best a stage"


def test_two_cores_are_held_against_one() -> None:
    name = our_name("plain", "float32")
    both = backend(name + ON_ONE_CORE, 1.9, "plain"), backend(name, 1.0, "plain")
    found = measured(group("plain", 1024, *both, num_threads=2))
    assert found["two cores fp32"].measured == pytest.approx(1.9)


def test_an_inexact_fp32_is_missed() -> None:
    wrong = backend(our_name("plain", "float32"), 1.0, "plain", error=1e-3)
    assert measured(group("plain", 1, wrong))["error of fp32"].met is False


def test_the_bound_of_a_call_by_hand() -> None:
    # 2 MFLOP at 100 GFLOP/s is 20 µs, 1 MB at 20 GB/s is 50 µs.
    assert Bound(2e6, 0).least_s(MACHINE, "float32") == pytest.approx(20e-6)
    assert Bound(2e6, 0).least_s(MACHINE, "bfloat16") == pytest.approx(10e-6)
    assert Bound(2e6, 1e6).least_s(MACHINE, "float32") == pytest.approx(50e-6)
    assert speed_up_of("int8", ("avx2",)) == 1


def test_rm_small_has_the_flops_of_its_paper() -> None:
    from recfunnel.bench.model import build_model

    model = build_model(shape_named("RM_small"), num_rows=1000, seed=0)
    bound = call_bound(model.graph("plain"), model.parameters, 1)
    # MACs: bottom 13·64 + 64·4, dots 351·4, top 355·64 + 64.
    assert bound.flops == 2 * (13 * 64 + 64 * 4 + 351 * 4 + 355 * 64 + 64)


def test_the_command_keeps_what_it_prints(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = [
        *("bench", "engine", "--quick", "--json", "-q", "--out", str(tmp_path)),
        *("--model", "RM_small", "--part", "plain", "--candidates", "1", "--candidates", "20"),
        *("--library", "none", "--rows", "2000", "--rounds", "2", "--round-ms", "0.1"),
    ]
    assert run_command(arguments) == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed == json.loads((tmp_path / "engine.json").read_text())
    verdict = {target["what"]: target["met"] for target in printed["targets"]}
    assert verdict["error of fp32"] is True
    assert verdict["plain fp32"] is None
    lines = (tmp_path / "engine.csv").read_text().splitlines()
    assert len(lines) == 1 + 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "RM_smal"], "did you mean 'RM_small'"),
        (["--library", "ONNX"], "no library 'ONNX'"),
        (["--rows", "10"], "give at least 104"),
        (["--rows", "0"], "give at least 104"),
        (["--items", "0"], "0 items, must be at least 1"),
        (["--part", "everything"], "part"),
        (["--candidates", "-3"], "-3 candidates, must be at least 1"),
        (["--rounds", "-1"], "-1 rounds, must be at least 1"),
        (["--round-ms", "-1"], "must be above 0"),
    ],
)
def test_bad_options_are_said(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_command(["bench", "engine", "--quick", "-o", str(tmp_path), *arguments]) == 2
    assert message in " ".join(capfd.readouterr().err.split())


def test_a_request_checks_itself() -> None:
    with pytest.raises(StudyError, match="0 items, must be at least 1"):
        EngineRequest(num_items=0)
