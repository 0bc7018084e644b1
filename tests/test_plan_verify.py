"""Verification: prediction and measurement of the same load, and when not to believe it."""

import math
from dataclasses import replace
from pathlib import Path as Folder

import numpy as np
import pytest

from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Mapping, Path, Station, pipeline_of
from recfunnel.core.results import Estimate, LatencyProfile
from recfunnel.core.verified import VerifiedLoad, relative_error
from recfunnel.core.workload import ServiceLevel, Workload
from recfunnel.plan.calibrate import calibrate_path, predict_calibrated
from recfunnel.plan.prediction import predict_path
from recfunnel.plan.verify import Trial, Verification, median_of, verify_path
from recfunnel.profile.request import HAND_OVER, WAKE_UP
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.served import OpenLoad
from recfunnel.runtime.timing import TOP_K
from recfunnel.simulate.tandem import simulate
from recfunnel.workload.fixed import Fixed
from recfunnel.workload.poisson import Poisson
from serving_world import Recipe, make_world

ASLEEP_S = 0.005
PATH = Path(
    pipeline=pipeline_of(("asleep",), (100, 5)),
    mapping=Mapping(stations=(Station(platform="cpu", num_stages=1, num_servers=2),)),
)
WORKLOAD = Workload(
    arrivals=Poisson(),
    sizes=Fixed(),
    rate_qps=1.0,
    service_level=ServiceLevel(deadline_s=0.1),
    num_queries=4000,
    num_replications=3,
)


def constant(model: str, seconds: float) -> LatencyProfile:
    return LatencyProfile(model, "cpu", 1, np.array([1, 100]), np.full((2, 1), seconds), "measured")


PROFILES = [
    constant("asleep", ASLEEP_S),
    constant(TOP_K, 1e-5),
    constant(HAND_OVER, 1e-4),
    constant(WAKE_UP, 2e-4),
]


def test_a_prediction_is_the_simulated_path() -> None:
    prediction = predict_path(PATH, (("asleep",),), PROFILES, WORKLOAD, 0)

    assert prediction.load.num_servers == (2,)
    np.testing.assert_allclose(prediction.load.service_s, ASLEEP_S + 1.1e-4)
    # Two servers: stable up to 2 / service.
    np.testing.assert_allclose(prediction.stable_rates_qps, 2 / (ASLEEP_S + 1.1e-4), rtol=0.05)


def test_only_a_query_that_finds_its_server_at_rest_waits_for_it_to_wake_up() -> None:
    prediction = predict_path(PATH, (("asleep",),), PROFILES, WORKLOAD, 0)
    service_s = ASLEEP_S + 1.1e-4

    # Almost no load: everybody wakes a server up. 95 %: the slowest one in a hundred has waited.
    idle, loaded = (
        prediction.at(0.5),
        prediction.at(0.95 * float(prediction.stable_rates_qps.min())),
    )

    assert idle.p50_s.mean == pytest.approx(service_s + 2e-4)
    bare = prediction.load.at(loaded.rate_qps)
    assert loaded.p99_s.mean == pytest.approx(bare.p99_s.mean)
    assert bare.mean_s.mean < loaded.mean_s.mean < bare.mean_s.mean + 0.5 * 2e-4


def test_a_path_that_only_sleeps_is_served_as_predicted(tmp_path: Folder) -> None:
    """Sleeping needs no processor, so even a busy machine serves it on time or a little later."""
    prediction = predict_path(PATH, (("asleep",),), PROFILES, WORKLOAD, 0)
    trial = Trial(load_fractions=(0.5,), seconds=0.5, min_queries=100, repeats=2)
    setup = make_world(tmp_path, [Recipe(name="asleep", sleep_s=ASLEEP_S)], num_items=100)
    with Engine(setup) as engine:
        found = verify_path(engine, PATH, prediction, 390.0, 50, Poisson(), Fixed(), trial)

    (load,) = found.loads
    assert load.rate_qps == pytest.approx(195.0)
    assert load.num_queries >= 100
    assert load.predicted_throughput_qps.mean == pytest.approx(195, rel=0.05)
    assert load.measured_throughput_qps.mean == pytest.approx(195, rel=0.35)
    assert load.measured_p50_s.mean >= ASLEEP_S
    assert load.p50_error < 0.05


def test_calibration_keeps_service_times_and_what_resting_servers_add(tmp_path: Folder) -> None:
    setup = make_world(tmp_path, [Recipe(name="asleep", sleep_s=ASLEEP_S)], num_items=100)
    with Engine(setup) as engine:
        found = calibrate_path(engine, PATH, 390.0, 50, WORKLOAD, 0.5, seed=0)

    assert (np.diff(found.utilisation[:, 0]) > 0).all()
    for service_s, wake_up_s in zip(found.service_s, found.wake_up_s, strict=True):
        assert np.median(service_s) == pytest.approx(ASLEEP_S, rel=0.2)
        assert (wake_up_s >= 0).all()
        assert np.median(wake_up_s) < 0.2 * ASLEEP_S
    prediction = predict_calibrated(found, WORKLOAD, 0)
    least_s = np.median(found.service_s[0]) + np.median(found.wake_up_s[0])
    assert prediction.at(5.0).p50_s.mean == pytest.approx(least_s, rel=0.1)


def test_a_path_that_will_mostly_rest_is_calibrated_at_rest(tmp_path: Folder) -> None:
    setup = make_world(tmp_path, [Recipe(name="asleep", sleep_s=ASLEEP_S)], num_items=100)
    with Engine(setup) as engine:
        found = calibrate_path(engine, PATH, 390.0, 50, WORKLOAD, 0.5, seed=0, least_load=0.04)

    assert len(found.service_s) == 4
    # four times half a second at 0.04 of 390 queries a second, and never fewer than 200 above
    assert found.service_s[0].shape[1] == 32
    assert min(own.shape[1] for own in found.service_s[1:]) >= 200
    slow = replace(found, service_s=(found.service_s[0] + 0.01, *found.service_s[1:]))
    at_rest_s, busy_s = (predict_calibrated(slow, WORKLOAD, 0).at(q).p50_s.mean for q in (10, 60))
    assert at_rest_s == pytest.approx(busy_s + 0.01, rel=0.3)  # of 32 queries on a busy machine


def verified(fraction: float, predicted: float, measured: float) -> VerifiedLoad:
    exact = Estimate.exact
    return VerifiedLoad(
        load_fraction=fraction,
        rate_qps=1.0,
        predicted_p50_s=exact(1.0),
        measured_p50_s=exact(1.0),
        predicted_p99_s=exact(predicted),
        measured_p99_s=exact(measured),
        predicted_throughput_qps=exact(1.0),
        measured_throughput_qps=exact(1.0),
        num_queries=1,
    )


def test_the_worst_error_is_taken_over_loads_up_to_seventy_percent() -> None:
    loads = (verified(0.3, 1.1, 1.0), verified(0.7, 0.8, 1.0), verified(0.9, 3.0, 1.0))
    verification = Verification(path=PATH, capacity_qps=1.0, loads=loads)

    assert verification.worst_p99_error() == pytest.approx(0.2)
    assert verification.worst_p99_error(0.9) == pytest.approx(2.0)
    assert math.isnan(verification.worst_p99_error(0.1))


def test_errors_of_what_never_ended_are_not_numbers() -> None:
    assert relative_error(1.1, 1.0) == pytest.approx(0.1)
    assert math.isnan(relative_error(math.inf, 1.0))
    assert math.isnan(relative_error(1.0, math.inf))


def test_repeated_runs_are_summed_up_by_their_median() -> None:
    assert median_of([1.0, 9.0, 2.0]).mean == 2.0
    assert median_of([1.0, math.inf, 2.0]).mean == 2.0
    assert median_of([1.0, math.inf, 2.0]).stderr == math.inf


def test_a_trial_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(StudyError, match="load fractions"):
        Trial(load_fractions=())
    with pytest.raises(StudyError, match="at least 1 repeat"):
        Trial(repeats=0)


@pytest.mark.parametrize("servers", [(1,), (2,), (1, 1)])
def test_the_simulator_given_the_measured_service_times_gives_the_measured_latencies(
    tmp_path: Folder, servers: tuple[int, ...]
) -> None:
    """Both are the same queue; waking up late can only add to what was measured.

    First come first served with the same service times is monotone: a delay anywhere makes no
    query leave earlier (Kiefer and Wolfowitz 1955).
    """
    names = ("asleep", "again")[: len(servers)]
    pipeline = pipeline_of(names, (100, 5, 5)[: len(servers) + 1])
    stations = [Station(platform="cpu", num_stages=1, num_servers=n) for n in servers]
    path = Path(pipeline=pipeline, mapping=Mapping(stations=tuple(stations)))
    recipes = [Recipe(name=name, sleep_s=ASLEEP_S) for name in names]
    arrival_s = Poisson().unit_times(120, np.random.default_rng(0)) * ASLEEP_S / (0.5 * servers[0])
    load = OpenLoad(arrival_s, np.zeros(arrival_s.size, np.int64))
    with Engine(make_world(tmp_path, recipes, num_items=100)) as engine:
        engine.prepare(path)
        run = engine.run(load)

    simulated = simulate(arrival_s, run.service_s, servers, 0)

    assert (run.latency_s >= simulated.latency_s - 1e-6).all()
    # A stall on a busy machine delays all that follow in its busy period, but not every period.
    assert np.quantile(run.latency_s - simulated.latency_s, 0.1) < 0.4 * ASLEEP_S
