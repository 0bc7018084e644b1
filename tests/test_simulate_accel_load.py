"""Queries that share an accelerator: the recurrence, queueing theory, and what is conserved."""

import math

import numpy as np
import pytest
from msgspec.structs import replace

from accel_oracle import departures
from accel_world import (
    HALF,
    PROTOTYPE,
    TWO_STAGES,
    design,
    random_design,
    times_of,
    use,
)
from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.core.workload import ServiceLevel
from recfunnel.hardware.accel.times import UnitTimes, joined
from recfunnel.hardware.memory.ssd import Ssd
from recfunnel.simulate.accel_events import (
    ASKED,
    COPY,
    FINISH,
    HELD,
    PASSED,
    READY,
    ROWS,
    START,
)
from recfunnel.simulate.accel_load import AccelLoad, accel_load, saturated_qps
from recfunnel.simulate.accel_query import busy_s, query_latency_s, query_steps
from recfunnel.simulate.accel_stream import run_stream
from recfunnel.simulate.theory import md1_wait_s
from recfunnel.workload.poisson import Poisson


def stream(times: UnitTimes, rate_qps: float, num: int = 2000, seed: int = 1):
    arrival_s = np.cumsum(rng_for(seed, "stream").exponential(size=num)) / rate_qps
    return arrival_s, run_stream(times, arrival_s, np.zeros(num, np.int64), with_steps=True)


def only_array(array_s: float) -> UnitTimes:
    """One stage and sub-batch, nothing but a sub-array taking any time."""
    work = replace(TWO_STAGES, stages=TWO_STAGES.stages[:1])
    times = times_of(design(use()), work=work, demands=HALF[:1])
    free = {
        name: np.zeros_like(getattr(times, name)) for name in ("pcie_in", "sram", "dram", "topk")
    }
    out = {"pcie_out": np.zeros_like(times.pcie_out), "pcie_latency_s": 0.0}
    return times._replace(**free, **out, array=np.full_like(times.array, array_s))


def busy_with(times: UnitTimes, share: float) -> float:
    """The load at which the busiest unit works this share of the time."""
    return share * saturated_qps(times, np.zeros(1000, np.int64))


def test_one_query_is_the_recurrence_to_the_last_bit() -> None:
    rng = rng_for(11, "one query")
    small = replace(PROTOTYPE, weight_sram_bytes=200_000, ssd=Ssd())  # the large stage's stream
    cold = tuple(replace(each, ssd_share=0.001) for each in HALF)
    for number in range(300):
        made = random_design(rng, 1 + number % 2)
        work = replace(TWO_STAGES, stages=TWO_STAGES.stages[: len(made.stages)])
        chip, demands = (small, cold) if number % 4 > 1 else (PROTOTYPE, HALF)
        times = times_of(made, chip=chip, work=work, demands=demands[: len(made.stages)])
        run = run_stream(times, np.array([0.0]), np.array([0]), with_steps=True)
        alone_s, steps = query_steps(times)

        assert run.departure_s[0] == alone_s
        for mine, theirs in ((READY, 0), (ASKED, 1), (START, 6), (FINISH, 7), (PASSED, 8)):
            np.testing.assert_array_equal(run.steps[0, :, :, mine], steps[:, :, theirs])


@pytest.mark.parametrize("policy", ["host", "global"])
def test_one_query_is_the_recurrence_where_a_stage_waits(policy: str) -> None:
    for batches in (1, 5):
        made = design(use(policy=policy, copies=2), use(policy=policy), sub_batches=batches)
        times = times_of(made)
        run = run_stream(times, np.zeros(1), np.zeros(1, np.int64))

        assert run.departure_s[0] == query_latency_s(times)[0]


@pytest.mark.parametrize("load", [0.5, 0.9, 1.5])
def test_many_queries_go_as_a_plain_list_of_events_says(load: float) -> None:
    rng = rng_for(17, "plainly", str(load))
    small = replace(PROTOTYPE, weight_sram_bytes=200_000, ssd=Ssd())
    cold = tuple(replace(each, ssd_share=0.001) for each in HALF)
    for number in range(25):
        chip, demands = (small, cold) if number % 2 else (PROTOTYPE, HALF)
        made = random_design(rng, sub_batches=int(rng.integers(1, 7)))
        if number % 5 == 0:
            made = replace(made, stages=(replace(made.stages[0], policy="host"), made.stages[1]))
        if number % 7 == 0:
            made = replace(made, stages=(made.stages[0], replace(made.stages[0], shares_with=0)))
        works = [replace(TWO_STAGES, num_in=n) for n in (700, 1500, 4096)]
        parts = [times_of(made, chip=chip, work=work, demands=demands) for work in works]
        times, kind = joined(parts), rng.integers(0, 3, 30)
        rate_qps = load * saturated_qps(times, np.repeat(kind, 10))
        arrival_s = np.cumsum(rng.exponential(size=30)) / rate_qps

        found = run_stream(times, arrival_s, kind).departure_s

        np.testing.assert_allclose(found, departures(times, arrival_s, kind), rtol=1e-9)


def test_queries_far_apart_do_not_know_of_each_other() -> None:
    rng = rng_for(12, "far apart")
    for _ in range(50):
        times = times_of(random_design(rng))
        alone_s = query_latency_s(times)[0]
        arrival_s = np.arange(20) * 1.01 * alone_s
        run = run_stream(times, arrival_s, np.zeros(20, np.int64))

        np.testing.assert_allclose(run.departure_s - arrival_s, alone_s, rtol=1e-9)


def test_a_single_busy_unit_waits_as_theory_says() -> None:
    service_s, rho = 1e-3, 0.7
    load = accel_load(only_array(service_s), Poisson(), num_queries=40_000, num_replications=8)

    found = load.at(rho / service_s)

    expected_s = service_s + md1_wait_s(rho / service_s, service_s)
    # eight independent runs: 3.5 standard errors of their mean
    assert abs(found.mean_s.mean - expected_s) < 3.5 * found.mean_s.stderr
    assert found.mean_s.stderr < 0.02 * expected_s
    array = load.units.index("array_0")
    assert found.utilisation[array].mean == pytest.approx(rho, rel=0.02)


def test_throughput_ends_where_the_busiest_unit_is_always_busy() -> None:
    rng = rng_for(13, "saturated")
    for _ in range(60):
        times = times_of(random_design(rng, look_ahead=True, weights_preloaded=True))
        found = saturated_qps(times, np.zeros(400, np.int64))
        busy = busy_s(times)
        bound_s = max(
            busy["pcie_in"][0],
            busy["sram"][0],
            busy["dram"].sum() if not times.channel.any() else busy["dram"].max(),
            (busy["array"][0] / times.copies[0]).max(),
        )

        # the last of 400 queries leave a little closer together than the middle ones
        assert found <= 1.005 / bound_s
    ample = times_of(design(sub_batches=8))
    assert saturated_qps(ample, np.zeros(400, np.int64)) == pytest.approx(
        1 / busy_s(ample)["dram"].sum(), rel=1e-3
    )


def test_work_is_conserved() -> None:
    rng = rng_for(14, "work")
    for _ in range(30):
        times = times_of(random_design(rng))
        _, run = stream(times, busy_with(times, 0.8), 200)
        busy = busy_s(times)

        for unit in ("pcie_in", "sram", "pcie_out"):
            assert run.busy_s[unit] == pytest.approx(200 * busy[unit].sum())
        for many in ("dram", "array"):
            names = [name for name in run.busy_s if name.startswith(many)]
            total_s = sum(run.busy_s[name] for name in names)
            assert total_s == pytest.approx(200 * busy[many].sum())


def test_no_sub_array_does_two_things_at_once() -> None:
    rng = rng_for(15, "sub-arrays")
    for _ in range(30):
        made = random_design(rng)
        times = times_of(made)
        _, run = stream(times, busy_with(times, 0.9), 100)
        for s in range(2):
            part = run.steps[:, s].reshape(-1, run.steps.shape[-1])
            for copy in range(made.stages[s].copies):
                mine = part[part[:, COPY] == copy]
                mine = mine[mine[:, START].argsort()]
                assert (mine[1:, START] >= mine[:-1, FINISH] - 1e-15).all()
                assert (mine[:, START] >= mine[:, ROWS]).all()


def test_a_sub_array_never_rests_while_rows_are_there_for_it() -> None:
    times = times_of(design(sub_batches=4))
    _, run = stream(times, busy_with(times, 0.9), 500)
    for s in range(2):
        part = run.steps[:, s].reshape(-1, run.steps.shape[-1])
        part = part[part[:, START].argsort()]
        could = np.maximum(part[1:, ROWS], part[:-1, FINISH])
        np.testing.assert_allclose(part[1:, START], could, rtol=1e-12)


def test_the_look_ahead_buffer_never_holds_more_than_it_has() -> None:
    made = design(use(ahead_bytes=300_000), use(ahead_bytes=200_000), sub_batches=8)
    times = times_of(made)
    _, run = stream(times, busy_with(times, 0.95), 200)
    for s in range(2):
        part = run.steps[:, s].reshape(-1, run.steps.shape[-1])
        held = part[part[:, HELD] > 0]
        moments = held[:, ASKED]
        within = (held[:, ASKED] <= moments[:, None]) & (held[:, FINISH] > moments[:, None])
        most = (within * held[:, HELD]).sum(axis=1).max()
        assert 0 < most <= made.stages[s].ahead_bytes + 1e-6


def test_the_number_of_queries_inside_follows_from_how_long_they_stay() -> None:
    times = times_of(design(sub_batches=8))
    arrival_s, run = stream(times, busy_with(times, 0.8), 5000)
    moments = np.linspace(arrival_s[500], arrival_s[-500], 4001)
    inside = [
        (arrival_s <= m).sum() - (run.departure_s <= m).sum() for m in moments
    ]  # counted by what has come and gone
    rate_qps = 4000 / (arrival_s[4500] - arrival_s[500])
    mean_s = (run.departure_s - arrival_s)[500:4500].mean()

    assert np.mean(inside) == pytest.approx(rate_qps * mean_s, rel=0.02)  # Little 1961


def test_waiting_grows_with_the_load_on_the_same_queries() -> None:
    times = times_of(design(sub_batches=8))
    load = accel_load(times, Poisson(), num_queries=2000, num_replications=2)
    limit_qps = load.saturated().mean
    means = [load.at(share * limit_qps).mean_s.mean for share in (0.1, 0.5, 0.8, 0.9)]

    assert means == sorted(means)
    assert means[0] > query_latency_s(times)[0]
    over = load.at(1.05 * limit_qps)
    assert not over.steady
    assert math.isinf(over.p99_s.mean)
    assert over.throughput_qps.mean == pytest.approx(limit_qps, rel=0.05)


def test_a_load_is_steady_below_what_saturates_it_less_the_noise_of_its_gaps() -> None:
    times = times_of(design(sub_batches=8))
    load = accel_load(times, Poisson(), num_queries=2000, num_replications=3)
    rates = [1999 / (unit[-1] - unit[0]) for unit in load.unit_times]
    cv2 = [
        np.var(np.diff(unit)) * rate**2 for unit, rate in zip(load.unit_times, rates, strict=True)
    ]
    expected = load.saturated().mean / (np.array(rates) * (1 + 2 * np.sqrt(np.array(cv2) / 2000)))

    np.testing.assert_allclose(load.stable_rates_qps, expected, rtol=1e-6)
    run = load.run_one(0, 0.5 * float(expected[0]))
    assert run.steady
    assert run.latency_s.size == 1800  # the first tenth is left out
    one = AccelLoad(times, load.unit_times[:1], warmup=1999).run_one(0, 100.0)
    assert one.latency_s.size == 1


def test_capacity_is_where_the_tail_meets_its_deadline() -> None:
    times = times_of(design(sub_batches=8))
    load = accel_load(times, Poisson(), num_queries=2000, num_replications=2)
    level = ServiceLevel(deadline_s=3 * float(query_latency_s(times)[0]))

    capacity_qps = load.capacity(level).mean

    assert load.tail(0.97 * capacity_qps, 0.99).mean <= level.deadline_s
    assert load.tail(1.03 * capacity_qps, 0.99).mean > level.deadline_s
    assert load.capacity(ServiceLevel(deadline_s=1e-6)).mean == 0.0


def test_kinds_of_query_take_their_own_times() -> None:
    sizes = [replace(TWO_STAGES, num_in=n) for n in (1024, 4096)]
    parts = [times_of(design(sub_batches=4), work=work) for work in sizes]
    both = joined(parts)
    kind = np.array([0, 1, 1, 0])
    run = run_stream(both, np.arange(4) * 1.0, kind)

    alone = [query_latency_s(part)[0] for part in parts]
    np.testing.assert_allclose(run.departure_s - np.arange(4), [alone[k] for k in kind], rtol=1e-9)


def test_a_stage_takes_sub_batches_in_the_order_in_which_their_ids_became_known() -> None:
    sizes = [replace(TWO_STAGES, num_in=n) for n in (600, 4096)]
    made = design(use(copies=3), use(32), sub_batches=3)
    both = joined([times_of(made, work=work) for work in sizes])
    rng = rng_for(16, "order")
    kind = rng.integers(0, 2, 1000)
    arrival_s = np.cumsum(rng.exponential(size=1000)) / (0.9 * saturated_qps(both, kind))
    steps = run_stream(both, arrival_s, kind, with_steps=True).steps

    overtaken = 0
    for s in range(2):
        part = steps[:, s].reshape(-1, steps.shape[-1])
        part = part[np.lexsort((part[:, READY], part[:, ASKED]))]
        assert (np.diff(part[:, READY]) >= 0).all()
        last_ready = steps[:, s, :, READY].max(axis=1)
        overtaken += int((steps[1:, s, 0, READY] < last_ready[:-1]).sum())
    assert overtaken > 20  # a small query's first before a large one's last


def test_two_designs_see_the_same_queries() -> None:
    fast, slow = (
        accel_load(times_of(design(sub_batches=b)), Poisson(), num_queries=500, seed=3)
        for b in (8, 1)
    )

    np.testing.assert_array_equal(fast.unit_times, slow.unit_times)
    other = accel_load(fast.times, Poisson(), num_queries=500, seed=4)
    assert (other.unit_times != fast.unit_times).any()


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda t: joined([t, times_of(design(sub_batches=3))]), "(2 and 3|3 and 2) sub-batches"),
        (lambda t: joined([t, t._replace(dram_latency_s=1.0)]), "different latencies"),
        (lambda t: joined([t][:0]), "no times to join"),
        (lambda t: run_stream(t, np.array([1.0, 0.5]), np.zeros(2, np.int64)), "never fall"),
        (lambda t: run_stream(t, np.zeros(2), np.array([0, 1])), "a kind of 0 to 0 each"),
        (lambda t: AccelLoad(t, np.zeros(5)), r"shape \(5,\); give \(R, N\)"),
        (lambda t: AccelLoad(t, np.ones((1, 9)), np.zeros((1, 8), np.int64)), r"kinds of shape"),
        (lambda t: AccelLoad(t, np.ones((1, 9)), warmup=9), "a warm-up of 9 leaves"),
        (lambda t: accel_load(t, Poisson(), num_queries=50), "of 50 queries; give"),
        (lambda t: accel_load(t, Poisson(), weights=[1, 2]), "2 weights for 1 kinds"),
        (lambda t: accel_load(t, Poisson(), num_queries=100).at(-1.0), "load is -1.0"),
    ],
)
def test_loads_that_make_no_sense_are_refused(build, says) -> None:
    with pytest.raises(StudyError, match=says):
        build(times_of(design(sub_batches=2), chip=PROTOTYPE))
