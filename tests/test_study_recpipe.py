"""RecPipe's accelerator figures: what its model gives, what its emulation adds, what was logged."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from recfunnel.cli.main import run_command
from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.core.storage import read_json, write_json
from recfunnel.hardware.artifact.constants import FIFO_HITS
from recfunnel.hardware.artifact.mappings import mapping
from recfunnel.hardware.energy.access import USUAL
from recfunnel.report.figure_recpipe import recpipe_figures
from recfunnel.report.recpipe import LoadRow, RecPipeReproduction
from recfunnel.report.recpipe_tables import recpipe_tables
from recfunnel.study.recpipe.best import TARGET_QPS
from recfunnel.study.recpipe.cache_study import published
from recfunnel.study.recpipe.emulation import Sleeping, emulated_latency_s
from recfunnel.study.recpipe.our_model import alone_s, best_times, times_with
from recfunnel.study.recpipe.ours_under_load import ONE_ARRAY, Kind, candidates
from recfunnel.study.recpipe.published import GAPS_MS, logged
from recfunnel.study.recpipe.reproduce import FIGURES, check_figures, mapping_row, reproduce_recpipe
from recfunnel.study.recpipe.systolic import systolic_rows
from recfunnel.study.recpipe.under_load import Effort, arrivals, load_rows, mapped, tandem


@pytest.fixture(scope="module")
def loads() -> tuple[LoadRow, ...]:
    return load_rows(logged(12), Effort(num_replications=2))


def test_the_logs_of_figure_12_are_37_mappings_at_11_loads() -> None:
    runs = logged(12)
    assert len(runs) == 37 * 11
    assert {run.gap_ms for run in runs} == set(GAPS_MS)
    assert len({run.fission for run in runs}) == 37


def test_figure_13_has_every_mapping_at_five_sizes() -> None:
    assert len(logged(13)) == 5 * (4 * 3 + 9 * 4)


def kept_up(rows: Sequence[LoadRow], most_qps: float = math.inf) -> list[LoadRow]:
    return [row for row in rows if not row.logged_saturated and row.rate_qps <= most_qps]


def share_within(ratios: Sequence[float], factor: float) -> float:
    return float(np.mean(np.abs(np.log(np.array(ratios))) < math.log(factor)))


def test_sleeping_explains_the_logged_tails(loads: tuple[LoadRow, ...]) -> None:
    """Up to 1000 queries/s; above it, processes in each other's way are not modelled."""
    rows = kept_up(loads, 1000)
    assert len(rows) > 300
    emulated = [row.emulated_p95_s.mean / row.logged_p95_s for row in rows]
    assert 0.98 < np.median(emulated) < 1.02
    assert share_within(emulated, 1.1) > 0.9
    assert share_within(emulated, 1.05) > 0.75
    for rate_qps in {row.rate_qps for row in rows}:
        one = [
            row.emulated_p95_s.mean / row.logged_p95_s for row in rows if row.rate_qps == rate_qps
        ]
        assert 0.97 < np.median(one) < 1.03


def test_without_sleeping_the_model_is_not_what_they_measured(loads: tuple[LoadRow, ...]) -> None:
    rows = kept_up(loads, 1000)
    for bare in (
        [row.gaps_p95_s.mean / row.logged_p95_s for row in rows],
        [row.p95_s.mean / row.logged_p95_s for row in rows],
    ):
        assert np.median(bare) < 0.9
        assert share_within(bare, 1.1) < 0.5


def test_saturated_runs_take_the_time_that_their_queries_need(loads: tuple[LoadRow, ...]) -> None:
    """The monolith above its capacity: a queue that only grows, to seconds."""
    over = [row for row in loads if row.fission == (1,) and row.rate_qps >= 600]
    assert [row.logged_saturated for row in over] == [True] * 4
    for row in over:
        assert row.emulated_p95_s.mean == pytest.approx(row.logged_p95_s, rel=0.06)
        assert math.isinf(row.p99_s.mean)


def test_intervals_belong_to_every_simulated_tail(loads: tuple[LoadRow, ...]) -> None:
    for row in loads:
        for estimate in (row.p95_s, row.p99_s, row.corrected_p99_s):
            assert estimate.num_samples == 2
            assert math.isinf(estimate.mean) or estimate.stderr >= 0
        assert row.p99_s.mean >= row.p95_s.mean > 0.999 * row.service_s


def test_an_empty_system_shows_the_emulations_own_times() -> None:
    sleeping = Sleeping()
    alone = emulated_latency_s([2e-3], [1], 1000.0, 200, rng_for(1, "alone"), sleeping)
    assert alone == pytest.approx(2e-3 + sleeping.sleeping_s + sleeping.hand_over_s)
    short = emulated_latency_s([1e-3, 2e-3], [1, 1], 1000.0, 200, rng_for(1, "alone"), sleeping)
    added = sleeping.counting_s + sleeping.sleeping_s + 2 * sleeping.hand_over_s
    assert short == pytest.approx(3e-3 + added)


def test_a_query_is_held_by_the_milliseconds_counted_behind_it() -> None:
    """With enough engines nobody queues, so what is above the service time is being held."""
    only_held = Sleeping(
        counting_s=0, sleeping_s=0, hand_over_s=0, put_s=0, asleep_s=0, held_s=1e-3
    )
    rng = rng_for(3, "held")
    latency_s = emulated_latency_s([1e-6], [64], 1.0, 20_000, rng, only_held)
    held = np.rint(1e3 * latency_s)
    one = math.exp(-1)  # of gaps are 1 ms
    assert set(held) == {0, 1, 2}
    assert np.mean(held == 2) == pytest.approx(one**2, abs=0.01)
    assert np.mean(held >= 1) == pytest.approx(one, abs=0.01)


def test_capacities_are_met_by_the_simulated_stations() -> None:
    effort = Effort(num_queries=20_000, num_replications=2)
    priced = mapped((16, 4, 16))
    load = tandem(priced, arrivals(effort))
    assert round(priced.capacity_qps) == 3809
    over = load.run_one(0, 2 * priced.capacity_qps)
    assert not over.steady
    assert over.throughput_qps == pytest.approx(priced.capacity_qps, rel=0.01)


def test_the_prior_art_has_its_own_capacity() -> None:
    assert round(mapped((1,), host_sort=True).capacity_qps) == 403


def test_one_replication_has_no_interval_and_is_refused() -> None:
    with pytest.raises(StudyError, match="10000 queries in 1 replications"):
        Effort(num_replications=1)


@pytest.fixture(scope="module")
def whole() -> RecPipeReproduction:
    return reproduce_recpipe(FIGURES, Effort(num_queries=500, num_replications=2), 2000)


def test_the_published_model_has_the_cycles_of_figure_10a(whole: RecPipeReproduction) -> None:
    theirs = {(row.network, row.side): row.artifact_cycles for row in whole.systolic}
    assert [theirs[name, 128] for name in "SML"] == [16_766, 29_662, 103_381]
    assert [theirs[name, 64] for name in "SML"] == [20_946, 42_078, 341_578]
    assert [theirs[name, 32] for name in "SML"] == [58_084, 141_308, 1_122_803]
    assert [theirs[name, 16] for name in "SML"] == [165_000, 495_288, 4_301_190]


def test_our_cycles_are_near_their_simulators_where_tiles_are_full(
    whole: RecPipeReproduction,
) -> None:
    for row in whole.systolic:
        if row.published_cycles is not None:
            assert row.cycles == pytest.approx(row.published_cycles, rel=0.16)
            assert row.side > 16 or row.cycles == pytest.approx(row.published_cycles, rel=0.001)


def test_figure_14_has_the_authors_choice_of_logged_runs(whole: RecPipeReproduction) -> None:
    """The least p95 over the target and all higher loads, from the logs it was made of."""
    runs = logged(12)
    for row in whole.best:
        if row.platform == "RPAccel":
            least_qps = TARGET_QPS[row.target]
            known = [
                run.p95_s
                for run in runs
                if len(run.fission) == row.num_stages and run.rate_qps >= least_qps
            ]
            assert row.published_p95_s is None or round(1e3 * min(known), 2) == pytest.approx(
                1e3 * row.published_p95_s
            )
            assert (row.published_p95_s is None) == (min(known) > 1)


def test_figure_13_names_the_authors_sums(whole: RecPipeReproduction) -> None:
    sums = {(row.items, row.fission): 1e3 * row.service_s for row in whole.scaling}
    ones = [sums[(n,), (1,)] for n in (4096, 6140, 8192, 10_240, 12_288)]
    assert [round(each, 3) for each in ones] == [2.091, 3.055, 4.024, 4.990, 5.957]
    pairs = ((4096, 512), (6140, 1024), (8192, 1024), (10_240, 1280), (12_288, 1280))
    twos = [sums[pair, (4, 4)] for pair in pairs]
    assert [round(each, 3) for each in twos] == [1.394, 2.176, 2.410, 2.917, 3.150]


def test_energy_of_a_query_is_that_of_what_it_does(whole: RecPipeReproduction) -> None:
    parts = {(row.mapping, row.component): row.energy_j for row in whole.energies}
    macs = 4096 * (217_600 + 11_232)
    multiplied = parts["1 stage [1]", "multiply-adds"]
    assert multiplied == pytest.approx(macs * USUAL.mac_j.value, rel=1e-9)
    pages = {energy for (_, name), energy in parts.items() if name == "SSD"}
    assert pages == {0.0}


def test_a_cache_study_on_a_short_trace_has_every_point(whole: RecPipeReproduction) -> None:
    assert len(whole.caches) == 735
    even = [p for p in whole.caches if p.front_share == 0.5 and p.size_mb == 12]
    assert {round(point.published_cycles, 1) for point in even} == {56.0}


def test_only_what_is_asked_for_is_made() -> None:
    result = reproduce_recpipe(("11",))
    assert result.components
    assert result.energies
    assert (result.systolic, result.caches, result.loads, result.best) == ((), (), (), ())


@pytest.mark.parametrize(
    ("figures", "said"),
    [((), "no figure is asked for; give --figure"), (("10b",), "did you mean 10")],
)
def test_figures_that_are_not_there_are_refused(figures: tuple[str, ...], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        check_figures(figures)


def test_every_table_has_a_cell_for_each_column_and_says_simulated(
    whole: RecPipeReproduction,
) -> None:
    tables = recpipe_tables(whole)
    assert len({table.name for table in tables}) == len(tables) == 16
    for table in tables:
        assert table.rows
        assert all(len(row.cells) == len(table.columns) for row in table.rows)
    assert any("simulated" in note for note in whole.notes)


@pytest.mark.slow
def test_every_figure_is_drawn(whole: RecPipeReproduction) -> None:
    pytest.importorskip("matplotlib")
    figures = recpipe_figures(whole)
    assert len({figure.name for figure in figures}) == len(figures) == 14
    for figure in figures:
        assert figure.svg().startswith("<svg")
        assert figure.description


def test_the_command_keeps_results_and_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["reproduce", "recpipe", "--figure", "11", "-q", "-o", str(tmp_path)]
    assert run_command(command) == 0
    said = capsys.readouterr().out
    assert "28.5504" in said
    assert "4655.2" in said
    kept = read_json(tmp_path / "recpipe.json", RecPipeReproduction)
    assert kept == reproduce_recpipe(("11",))
    assert (tmp_path / "recpipe-11-area.svg").exists()


def test_the_command_refuses_an_unknown_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["reproduce", "recpipe", "--figure", "9", "-q"]) == 2
    assert "known: 10a, 10c, 11, 12, 13, 14" in capsys.readouterr().err


def test_infinite_latencies_survive_the_file(whole: RecPipeReproduction, tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", whole)
    again = read_json(tmp_path / "result.json", RecPipeReproduction)
    assert again == whole
    assert any(math.isinf(row.p99_s.mean) for row in again.loads)


def test_our_model_answers_a_query_alone_sooner_on_every_mapping(
    whole: RecPipeReproduction,
) -> None:
    assert len(whole.mappings) == 41
    for row in whole.mappings:
        assert row.ours_s < row.published_s
        assert row.ours_qps >= 0.999 / row.ours_s  # no unit works longer than the query takes


def test_our_model_without_sub_batches_is_near_the_corrected_one() -> None:
    """Same constants, two models: one sub-batch on the whole array has nothing to overlap."""
    row = mapping_row((1,))
    one = alone_s(times_with(mapping((1,)), 1))
    assert one == pytest.approx(row.corrected_s, rel=0.2)
    assert alone_s(best_times((1,))) < one


def test_our_model_under_load_has_the_better_of_what_is_tried(
    whole: RecPipeReproduction,
) -> None:
    assert len(whole.ours) == 4 * 11
    for row in whole.ours:
        assert row.p99_s.mean >= row.p95_s.mean > 0
        assert math.isinf(row.p99_s.mean) or row.fission
    one = [row for row in whole.ours if row.kind == ONE_ARRAY]
    assert [math.isinf(row.p99_s.mean) for row in one] == [row.rate_qps > 900 for row in one]


def test_candidates_are_those_that_no_other_beats() -> None:
    kept = candidates(Kind("two", ((4, 4), (16, 16), (64, 64)), (4096, 512)))
    by_latency = sorted(kept, key=lambda each: each.alone_s)
    capacities = [each.capacity_qps for each in by_latency]
    assert len(kept) > 1
    assert capacities == sorted(capacities)
    assert by_latency[0].alone_s == alone_s(best_times((4, 4)))


def test_hit_rates_of_the_corrected_model_are_the_logged_ones() -> None:
    logged_hits = {
        int(row["front_lines"]): round(row["front_hit_percent"] / 100, 4) for row in published()
    }
    for rows, hits in FIFO_HITS:
        assert logged_hits[rows] == pytest.approx(hits, abs=2e-4)


def test_published_utilisations_belong_to_the_published_cycles() -> None:
    """Within 10 %: theirs is always a little above multiply-adds over elements and cycles."""
    for row in systolic_rows():
        if row.published_cycles is not None and row.published_utilisation is not None:
            ours = row.utilisation * row.cycles / row.published_cycles
            assert 0.999 < row.published_utilisation / ours < 1.1, row


def test_the_prior_art_stands_first_and_is_the_slowest_single_stage_on_one_array(
    whole: RecPipeReproduction,
) -> None:
    before, one = whole.mappings[:2]
    assert (before.host_sort, before.fission, one.fission) == (True, (1,), (1,))
    assert round(1e3 * before.published_s, 3) == 2.480
    for name in ("published_s", "corrected_s", "ours_s"):
        assert getattr(before, name) > 1.15 * getattr(one, name)
    assert round(before.published_qps) == 403
