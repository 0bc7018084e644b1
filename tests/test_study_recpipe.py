"""RecPipe's accelerator figures: what its model gives, what its emulation adds, what was logged."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.report.recpipe import LoadRow
from recfunnel.study.recpipe.emulation import Sleeping, emulated_latency_s
from recfunnel.study.recpipe.published import GAPS_MS, logged
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
