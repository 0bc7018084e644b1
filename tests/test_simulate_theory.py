"""The simulator against what queueing theory knows exactly.

Every comparison is within 4 standard errors of 20 independent replications: a right simulator
fails one in 16,000, and the standard errors are held to be small enough for that to mean something.
"""

import numpy as np
import pytest

from recfunnel.core.errors import StudyError
from recfunnel.core.results import Estimate
from recfunnel.core.workload import ServiceLevel
from recfunnel.simulate import theory
from recfunnel.simulate.load import TandemLoad
from recfunnel.simulate.quantile import latency_quantile

R, N = 20, 100_000
SERVICE_S = 0.002


def draw(num_stations: int, shape: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    unit_times = np.cumsum(rng.standard_exponential((R, N)), axis=1)
    service_s = np.full((R, num_stations, N), SERVICE_S)
    if shape == "exponential":
        service_s *= rng.standard_exponential((R, num_stations, N))
    if shape == "erlang-4":
        service_s *= rng.standard_gamma(4.0, (R, num_stations, N)) / 4
    return unit_times, service_s


def mean_wait(load: TandemLoad, rate_qps: float) -> Estimate:
    served_s = load.service_s[:, :, load.warmup :].sum(axis=1)
    runs = load.run(rate_qps)
    assert all(run.steady for run in runs)
    return Estimate.of(
        np.array([(run.latency_s - own).mean() for run, own in zip(runs, served_s, strict=True)])
    )


def assert_agrees(estimate: Estimate, exact: float, precision: float = 0.012) -> None:
    assert estimate.stderr < precision * exact
    assert abs(estimate.mean - exact) <= 4 * estimate.stderr


@pytest.mark.parametrize(
    ("shape", "cv2"), [("exponential", 1.0), ("constant", 0.0), ("erlang-4", 0.25)]
)
def test_one_server_waits_as_pollaczek_and_khinchine_say(shape: str, cv2: float) -> None:
    rate_qps = 0.7 / SERVICE_S
    load = TandemLoad(*draw(1, shape, seed=1), (1,))
    assert_agrees(mean_wait(load, rate_qps), theory.mg1_wait_s(rate_qps, SERVICE_S, cv2))


@pytest.mark.parametrize("num_servers", [2, 3, 4, 5, 8, 9, 32])
def test_many_servers_wait_as_erlang_says(num_servers: int) -> None:
    rate_qps = (0.7 if num_servers < 9 else 0.8) * num_servers / SERVICE_S
    load = TandemLoad(*draw(1, "exponential", seed=num_servers), (num_servers,))
    exact = theory.mmc_wait_s(rate_qps, SERVICE_S, num_servers)
    # of many servers few queries wait, so the mean is known less well
    assert_agrees(mean_wait(load, rate_qps), exact, precision=0.012 if num_servers < 9 else 0.03)


@pytest.mark.parametrize("num_servers", [(1, 1), (1, 2), (3, 1), (2, 5), (2, 1, 4)])
def test_departures_of_a_markov_station_are_poisson_to_the_next(
    num_servers: tuple[int, ...],
) -> None:
    # Burke (1956): each station of the tandem then waits as if it stood alone.
    rate_qps = 0.7 * min(num_servers) / SERVICE_S
    load = TandemLoad(*draw(len(num_servers), "exponential", seed=2), num_servers)
    exact = sum(theory.mmc_wait_s(rate_qps, SERVICE_S, c) for c in num_servers)
    assert_agrees(mean_wait(load, rate_qps), exact)


def test_the_latency_of_one_markov_server_is_exponential() -> None:
    rate_qps = 0.6 / SERVICE_S
    load = TandemLoad(*draw(1, "exponential", seed=3), (1,))
    for quantile in (0.5, 0.95, 0.99):
        exact = theory.mm1_latency_quantile_s(rate_qps, SERVICE_S, quantile)
        assert_agrees(latency_quantile(load.run(rate_qps), quantile), exact)


def test_the_capacity_of_one_markov_server_is_found() -> None:
    # -ln(0.01) s / (1 - rate s) = deadline, solved for the rate
    load = TandemLoad(*draw(1, "exponential", seed=4), (1,))
    deadline_s = 0.03
    exact = 1 / SERVICE_S + np.log(0.01) / deadline_s
    capacity = load.capacity(ServiceLevel(deadline_s=deadline_s, quantile=0.99))
    assert capacity.stderr < 0.005 * exact
    # the search returns the lower end of a bracket of at most 0.1 %
    assert abs(capacity.mean + 0.0005 * exact - exact) <= 4 * capacity.stderr + 0.0005 * exact


@pytest.mark.parametrize("num_servers", [(1,), (4, 2), (8, 1, 3)])
def test_stations_work_as_much_as_they_are_offered(num_servers: tuple[int, ...]) -> None:
    # Little's law at the servers: rate x mean service = mean number busy
    rate_qps = 0.8 * min(num_servers) / SERVICE_S
    load = TandemLoad(*draw(len(num_servers), "exponential", seed=5), num_servers)
    point = load.at(rate_qps)
    assert abs(point.throughput_qps.mean - rate_qps) <= 4 * point.throughput_qps.stderr
    for share, servers in zip(point.utilisation, num_servers, strict=True):
        assert share.stderr < 0.005
        assert abs(share.mean - rate_qps * SERVICE_S / servers) <= 4 * share.stderr


def test_queries_inside_are_rate_times_latency() -> None:
    # Little's law for the whole tandem, the number inside counted from arrivals and departures
    load = TandemLoad(*draw(2, "exponential", seed=6), (2, 3), warmup=0)
    rate_qps = 0.8 * 2 / SERVICE_S
    run = load.run_one(0, rate_qps)
    arrival_s = load.unit_times[0] / rate_qps
    moments = np.linspace(arrival_s[N // 10], arrival_s[-1], 200_001)
    came = np.searchsorted(arrival_s, moments, "right")
    left = np.searchsorted(np.sort(arrival_s + run.latency_s), moments, "right")
    assert run.latency_s[N // 10 :].mean() * run.throughput_qps == pytest.approx(
        (came - left).mean(), rel=0.005
    )


def test_erlangs_formula_by_hand() -> None:
    # 2 servers, offered 1 erlang: C = a² / (2 (1 - ρ)) / (1 + a + a² / (2 (1 - ρ))) = 1 / 3
    assert theory.erlang_c(500.0, SERVICE_S, 2) == pytest.approx(1 / 3)
    assert theory.mmc_wait_s(500.0, SERVICE_S, 2) == pytest.approx(SERVICE_S / 3)
    assert theory.mmc_wait_s(350.0, SERVICE_S, 1) == pytest.approx(theory.mm1_wait_s(350.0, 0.002))
    assert theory.md1_wait_s(350.0, SERVICE_S) == pytest.approx(theory.mm1_wait_s(350.0, 0.002) / 2)


def test_theory_says_where_it_ends() -> None:
    with pytest.raises(StudyError, match=r"offered load is 1\.000 .* capacity is 500 queries/s"):
        theory.mm1_wait_s(500.0, SERVICE_S)
