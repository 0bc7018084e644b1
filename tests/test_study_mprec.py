"""MP-Rec's tables: golden sizes, prices that follow from them, and what each ratio hangs on."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from recfunnel.cli.main import run_command
from recfunnel.core.errors import StudyError
from recfunnel.core.storage import read_json, write_json
from recfunnel.data.criteo_shapes import criteo_schema
from recfunnel.hardware.datasheets import SYSTEMS
from recfunnel.plan.paths.plan import plan_paths
from recfunnel.report.figure_mprec import mprec_figures
from recfunnel.report.mprec import MPRecReproduction, SimulatedServing, SweepPoint
from recfunnel.report.mprec_tables import mprec_tables
from recfunnel.study.mprec.assumptions import BOUND, Assumptions, assumptions_of, changed
from recfunnel.study.mprec.design_points import (
    EXACT_OURS,
    GREEDY,
    SWITCHING,
    DesignPointSpec,
    full_problem,
    paper_problem,
    reference_qps,
)
from recfunnel.study.mprec.ratios import speed_up
from recfunnel.study.mprec.reproduce import (
    Serving,
    measured_quality,
    policy_rows,
    reproduce_mprec,
)
from recfunnel.study.mprec.service import call_s, machine, num_operators
from recfunnel.study.mprec.serving import policies_of as serving_policies
from recfunnel.study.mprec.serving import served, simulated, usual
from recfunnel.study.mprec.shapes import (
    DHE,
    DHE_DISTINCT,
    HYBRID,
    HYBRID_STORED,
    KAGGLE,
    NETWORKS,
    SELECT,
    TABLE,
    TERABYTE,
    Network,
    Representation,
    Stack,
    cost,
    dense_flops,
    hot_store,
)


@pytest.mark.parametrize(
    ("network", "rows", "gigabytes"), [(KAGGLE, 33_762_577, 2.161), (TERABYTE, 49_126_297, 12.576)]
)
def test_tables_are_those_of_the_data_sets(network: Network, rows: int, gigabytes: float) -> None:
    assert sum(network.rows) == rows
    assert network.table_bytes / 1e9 == pytest.approx(gigabytes, abs=5e-4)
    assert len(network.rows) == 26


@pytest.mark.parametrize(
    ("stack", "dim", "parameters", "megabytes", "mflop"),
    [
        (Stack(2048), 16, 32_784, 3.4, 0.066),
        (Stack(1024, (128,)), 16, 133_264, 13.9, 0.266),
        (Stack(512, (512, 256)), 16, 398_096, 41.4, 0.795),
        (Stack(1024, (512, 256)), 16, 660_240, 68.7, 1.319),
        (Stack(2048, (512, 256)), 16, 1_184_528, 123.2, 2.367),
        (Stack(1024, (512, 256)), 64, 672_576, 69.9, 1.343),
        (Stack(2048, (512, 256)), 64, 1_196_864, 124.5, 2.392),
    ],
)
def test_stacks_have_the_golden_sizes(
    stack: Stack, dim: int, parameters: int, megabytes: float, mflop: float
) -> None:
    assert stack.num_parameters(dim) == parameters
    assert 26 * 4 * parameters / 1e6 == pytest.approx(megabytes, abs=0.05)
    assert stack.flops(dim) / 1e6 == pytest.approx(mflop, abs=5e-4)


@pytest.mark.parametrize(
    ("network", "interaction", "table", "hybrid"),
    [
        (KAGGLE, "concat", 1.015, 1.441),
        (TERABYTE, "concat", 2.865, 4.569),
        (KAGGLE, "dot", 0.972, 2.090),
        (TERABYTE, "dot", 1.613, 2.931),
    ],
)
def test_dense_work_is_golden(
    network: Network, interaction: Any, table: float, hybrid: float
) -> None:
    assert dense_flops(network, TABLE, interaction) / 1e6 == pytest.approx(table, abs=5e-4)
    assert dense_flops(network, HYBRID, interaction) / 1e6 == pytest.approx(hybrid, abs=5e-4)


def test_whole_models_have_the_sizes_the_paper_reports() -> None:
    megabytes = {r.name: cost(KAGGLE, r).parameter_bytes / 1e6 for r in (TABLE, DHE, HYBRID)}
    assert megabytes["dhe"] == pytest.approx(126.08, abs=5e-3)
    assert megabytes["table"] == pytest.approx(2163, abs=0.5)
    assert megabytes["hybrid"] == pytest.approx(2288, abs=0.5)
    distinct = (
        cost(KAGGLE, DHE_DISTINCT).parameter_bytes - cost(KAGGLE, DHE_DISTINCT).read_bytes_per_query
    )
    assert distinct == 64 * 5_569_311


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("ours", [TABLE, DHE, SELECT, HYBRID, HYBRID_STORED])
def test_work_is_that_of_the_models_themselves(network: Network, ours: Representation) -> None:
    pytest.importorskip("torch")
    from recfunnel.models.embeddings.hybrid import Hybrid
    from recfunnel.models.embeddings.table import Table
    from recfunnel.models.mprec import MPREC, REPRESENTATIONS

    embedding = REPRESENTATIONS.get(ours.name, Hybrid(second=Table()))
    model = msgspec.structs.replace(MPREC[network.name.lower()], embedding=embedding)
    found, expected = model.cost(criteo_schema(network.rows)), cost(network, ours)
    assert found.flops_per_item == expected.flops_per_item
    assert found.read_bytes_per_query == expected.read_bytes_per_query
    hashes = 16 * 2048 * ours.computed  # counted in the paper's sizes, stored by nobody
    assert found.parameter_bytes == expected.parameter_bytes - hashes
    # the models read a candidate's own features as well, in one place
    assert found.reads_per_item == expected.reads_per_item + 1


def test_a_vector_stored_costs_a_lookup_and_none_of_the_stack() -> None:
    assert cost(KAGGLE, HYBRID_STORED).flops_per_item == dense_flops(KAGGLE, HYBRID_STORED)
    assert cost(KAGGLE, HYBRID_STORED).reads_per_item == 52
    assert cost(KAGGLE, DHE).reads_per_item == 0
    assert cost(KAGGLE, SELECT).reads_per_item == 21


def test_a_hot_store_saves_what_it_hits() -> None:
    hot = hot_store(KAGGLE, SELECT, 32_768, 1.05)
    assert hot.hot_bytes == 64 * 5 * 32_768
    assert hot.hit_share == pytest.approx(0.76, abs=0.01)  # five large features, Zipf(1.05)
    bare, stored = cost(KAGGLE, SELECT), cost(KAGGLE, hot)
    saved = bare.flops_per_item - stored.flops_per_item
    assert saved == pytest.approx(hot.hit_share * 5 * hot.stack.flops(16))
    everything = hot_store(KAGGLE, DHE, 20_000_000, 1.05)
    assert everything.hit_share == pytest.approx(1)


def test_assumptions_only_ever_add_to_the_bound() -> None:
    for name, system in SYSTEMS.items():
        for representation in (TABLE, DHE, SELECT, HYBRID):
            work = cost(KAGGLE, representation)
            bound = call_s(machine(system, work, BOUND), KAGGLE, representation, 128, BOUND)
            usual = Assumptions()
            expected = call_s(machine(system, work, usual), KAGGLE, representation, 128, usual)
            assert expected > bound, (name, representation.name)


def test_an_ipu_holds_a_model_in_as_few_chips_as_can() -> None:
    pod = SYSTEMS["ipu_pod16"]
    groups = {r.name: machine(pod, cost(KAGGLE, r), BOUND).group for r in (TABLE, DHE, HYBRID)}
    assert groups == {"table": 4, "dhe": 1, "hybrid": 4}  # the artifact shards tables over four
    assert machine(pod, cost(KAGGLE, DHE), BOUND).num_servers == 16


def test_operators_are_counted_by_hand() -> None:
    # 26 lookups, two launches for each of 4 + 3 layers, two joins
    assert num_operators(KAGGLE, TABLE) == 26 + 14 + 2
    assert num_operators(KAGGLE, DHE) == 26 * 13 + 14 + 2
    assert num_operators(KAGGLE, SELECT) == 21 + 5 * 13 + 14 + 2


SPEC = DesignPointSpec("HW-1", KAGGLE, Assumptions())
NOTHING = Serving(num_queries=0)


def test_hw_1_holds_everything_and_hw_2_no_table() -> None:
    rows = {
        (s, row.policy): row
        for s in ("HW-1", "HW-2")
        for row in policy_rows(DesignPointSpec(s, KAGGLE, Assumptions()), NOTHING)
    }
    assert rows["HW-1", "table on cpu"].tcp_ratio == pytest.approx(1)
    assert ("HW-2", "table on cpu") not in rows
    assert ("HW-2", SWITCHING) not in rows
    stored = rows["HW-2", EXACT_OURS]
    assert any("distinct stored" in path for path in stored.paths)
    # all of the recalled mapping's throughput is that of the tables it keeps
    greedy, tables = rows["HW-1", GREEDY], rows["HW-1", SWITCHING]
    assert greedy.capacity_qps == pytest.approx(tables.capacity_qps)


def test_stored_vectors_never_lower_what_the_exact_mapping_delivers() -> None:
    rates = [0.5 * reference_qps(SPEC), reference_qps(SPEC)]
    fewer, more = plan_paths(paper_problem(SPEC, rates)), plan_paths(full_problem(SPEC, rates))
    assert more.quality > fewer.quality


def test_a_design_point_that_is_not_known_is_refused() -> None:
    with pytest.raises(StudyError, match=r"'HW-9'; known: HW-1, HW-2"):
        paper_problem(DesignPointSpec("HW-9", KAGGLE, Assumptions()))


def test_a_faster_cpu_lowers_what_others_gain_over_it() -> None:
    for name in ("HW-1", "ipu_pod16"):
        ratio = speed_up(name, "Kaggle")
        slow, fast = (ratio(changed(Assumptions(), "cpu_efficiency", e))[0] for e in (0.3, 0.9))
        assert slow > fast


@pytest.fixture(scope="module")
def result() -> MPRecReproduction:
    return reproduce_mprec(Assumptions(), NOTHING)


def test_every_published_ratio_stands_beside_ours(result: MPRecReproduction) -> None:
    found = {(row.name, row.network): row for row in result.ratios}
    assert found["HW-1", "Kaggle"].published.value == 2.49
    assert found["HW-1", "Terabyte"].published.value == 3.76
    assert found["ipu_pod16", "Kaggle"].published.value == 16.65
    for row in result.ratios:
        assert row.expected > 0
        assert row.bound >= row.expected  # the table on the CPU gains most from a bound


def test_an_explaining_value_explains(result: MPRecReproduction) -> None:
    row = next(
        r
        for r in result.sensitivity
        if r.ratio == "ipu_pod16, Kaggle" and r.assumption == "host_call_s"
    )
    assert row.explains is not None
    at = changed(Assumptions(), "host_call_s", row.explains)
    assert speed_up("ipu_pod16", "Kaggle")(at)[0] == pytest.approx(16.65, rel=2e-3)


def test_every_figure_of_ours_says_where_it_comes_from(result: MPRecReproduction) -> None:
    titles = {table.name: table.title for table in mprec_tables(result)}
    assert "exact" in titles["mprec-sizes"]
    assert "published" in titles["mprec-quality"]
    for name, title in titles.items():
        if name.startswith(("mprec-hw", "mprec-calls", "mprec-ratios", "mprec-sensitivity")):
            assert "modelled" in title, name
    assert {row.known for row in result.datasheets} == {"found", "derived", "recalled", "assumed"}


def test_the_result_survives_being_written_and_read(
    result: MPRecReproduction, tmp_path: Path
) -> None:
    write_json(tmp_path / "mprec.json", result)
    assert read_json(tmp_path / "mprec.json", MPRecReproduction) == result


def test_every_figure_names_what_it_shows(result: MPRecReproduction) -> None:
    figures = mprec_figures(result)
    assert len({figure.name for figure in figures}) == len(figures) >= 5
    for figure in figures:
        svg = figure.svg()
        assert figure.title.split("'")[0] in svg
        assert len(figure.description) > 50


def world(folder: Path) -> None:
    against = {"difference": 0.002, "interval": [0.001, 0.003], "reference": 0.5}
    price = {"parameter_bytes": 8, "flops_per_item": 1e6}
    variants = [
        {"name": "table", "means": {"NDCG@64": 0.5}, "cost": price, "against": {}},
        {
            "name": "hybrid",
            "means": {"NDCG@64": 0.502},
            "cost": price,
            "against": {"table": against},
        },
    ]
    write_json(folder / "w" / "w.json", {"world": "w", "metric": "NDCG@64", "variants": variants})
    write_json(folder / "other.json", {"seeds": 3})


def test_our_own_quality_is_shown_beside_the_paper_s(
    result: MPRecReproduction, tmp_path: Path
) -> None:
    world(tmp_path)
    found = measured_quality(tmp_path)
    assert [row.variant for row in found] == ["table", "hybrid"]
    assert found[0].difference is None
    assert found[1].interval == (0.001, 0.003)
    shown = msgspec.structs.replace(result, measured_quality=found)
    table = next(t for t in mprec_tables(shown) if t.name == "mprec-measured-w")
    assert "+0.0020 [+0.0010, +0.0030]" in [cell.text for cell in table.rows[1].cells]
    with pytest.raises(StudyError, match="holds no result of representations"):
        measured_quality(tmp_path / "none")


@pytest.fixture(scope="module")
def rows() -> dict[str, SimulatedServing]:
    """Some policies of HW-1, at what the table on the CPU just carries."""
    wanted = ("table on cpu", "hybrid on cpu", SWITCHING, GREEDY, EXACT_OURS)
    experiment = usual(SPEC, 1500, 2)
    found = [policy for policy in serving_policies(SPEC) if policy.name in wanted]
    assert len(found) == len(wanted)
    return {p.name: simulated(served(SPEC, p, experiment), experiment.rate_qps) for p in found}


def test_the_serving_experiment_by_policy(rows: dict[str, SimulatedServing]) -> None:
    assert rows["table on cpu"].violation_rate < 0.05
    assert rows["hybrid on cpu"].violation_rate > 0.9  # 42 times slower than it would have to be
    assert rows[SWITCHING].delivered_quality == pytest.approx(0.7879, abs=2e-3)
    # the recalled rule looks at service times and at no queue, so the best path is overrun
    assert rows[GREEDY].delivered_quality < 0.1
    best = max(rows.values(), key=lambda row: row.delivered_quality)
    assert best is rows[EXACT_OURS]
    assert best.delivered_quality == pytest.approx(0.7898, abs=1e-3)


def test_what_is_simulated_stands_in_its_table_and_picture(
    result: MPRecReproduction, rows: dict[str, SimulatedServing]
) -> None:
    own = [
        msgspec.structs.replace(row, simulated=rows.get(row.policy))
        for row in result.policies
        if (row.design_point, row.network) == ("HW-1", "Kaggle")
    ]
    points = tuple(
        SweepPoint(
            axis=axis,
            at=at,
            design_point="HW-1",
            network="Kaggle",
            policy=policy,
            delivered_quality=row.delivered_quality,
            violation_rate=row.violation_rate,
            tcp_per_s=row.tcp_per_s,
        )
        for axis, values in (("load", (500.0, 1000.0)), ("target", (0.01, 0.02)))
        for at in values
        for policy, row in rows.items()
    )
    shown = msgspec.structs.replace(result, policies=tuple(own), sweeps=points)
    tables = {table.name: table for table in mprec_tables(shown)}
    assert "simulated at" in tables["mprec-hw-1-kaggle"].caption
    assert len(tables["mprec-target-hw-1-kaggle"].columns) == 3
    assert "mprec-load-hw-1-kaggle" in {figure.name for figure in mprec_figures(shown)}


def test_a_policy_that_keeps_no_path_serves_nothing() -> None:
    spec = DesignPointSpec("HW-2", TERABYTE, Assumptions())
    empty = next(p for p in serving_policies(spec) if not p.choice.chosen)
    with pytest.raises(StudyError, match="keeps no path ready: Nothing serves the load"):
        served(spec, empty, usual(spec, 100, 1))
    with pytest.raises(StudyError, match="at least 1 replication"):
        Serving(num_replications=0)


def test_assumptions_are_changed_by_name() -> None:
    assert assumptions_of(["cpu_efficiency=0.5"]).cpu_efficiency == 0.5
    for change, message in (
        ("cpu_eficiency=1", "did you mean 'cpu_efficiency'"),
        ("cpu_efficiency=2", "must be above 0 and up to 1"),
        ("cpu_efficiency", "has no value; write NAME=NUMBER"),
        ("operator_s=fast", "is 'fast', not a number"),
    ):
        with pytest.raises(StudyError, match=message):
            assumptions_of([change])


def test_the_command_keeps_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["reproduce", "mprec", "-o", str(tmp_path), "-q", "--queries", "0"]) == 0
    printed = capsys.readouterr().out
    for word in ("16.6x", "HW-1, Kaggle", "recalled, unsure", "explains", "note: "):
        assert word in printed
    assert read_json(tmp_path / "mprec.json", MPRecReproduction).ratios
    assert len(list(tmp_path.glob("*.svg"))) == len(list(tmp_path.glob("*.png"))) >= 5
    assert run_command(["reproduce", "mprec", "--set", "x=1", "-q", "-o", str(tmp_path)]) == 2


def test_both_networks_are_reproduced(result: MPRecReproduction) -> None:
    assert {row.network for row in result.sizes} == {network.name for network in NETWORKS}
