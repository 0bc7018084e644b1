"""Service times of stations: sums over calls that belong to one query."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.pipeline import Mapping, Path, Station, pipeline_of, stage_scorers
from recfunnel.core.results import LatencyProfile
from recfunnel.plan.service import StationCurves
from recfunnel.profile.request import BUSY, HAND_OVER, RESTED
from recfunnel.profile.service import draw_service
from recfunnel.runtime.timing import FUSED_CALL, TOP_K

INPUTS: dict[str, tuple[str, ...]] = {"a": (), "side": (), "b": ("side",)}
PIPELINE = pipeline_of(("a", "b"), (100, 40, 5))
SCORERS = stage_scorers(PIPELINE, INPUTS)
TOGETHER = Path(
    pipeline=PIPELINE, mapping=Mapping(stations=(Station(platform="cpu", num_stages=2),))
)
APART = Path(
    pipeline=PIPELINE,
    mapping=Mapping(
        stations=(
            Station(platform="cpu", num_stages=1),
            Station(platform="cpu", num_stages=1, num_threads=2),
        )
    ),
)


def profile(
    model: str, samples: DoubleArray | list[float], threads: int = 1, slope: float = 0.0
) -> LatencyProfile:
    """The same samples at 1 and 101 items, the second `slope` times 100 longer."""
    base = np.array(samples, np.float64)
    return LatencyProfile(
        model, "cpu", threads, np.array([1, 101]), np.stack([base, base + 100 * slope]), "measured"
    )


def fixed(threads: int) -> list[LatencyProfile]:
    return [
        profile("a", [1.0], threads, slope=0.01),
        profile("side", [10.0], threads),
        profile("b", [100.0], threads),
        profile(TOP_K, [1000.0], threads),
        profile(HAND_OVER, [10_000.0], threads),
    ]


def test_a_station_adds_up_its_scorers_a_selection_each_stage_and_one_hand_over() -> None:
    profiles = fixed(1) + fixed(2)
    rng = np.random.default_rng(0)

    together = draw_service(TOGETHER, SCORERS, profiles, np.ones(3), rng)
    apart = draw_service(APART, SCORERS, profiles, np.ones(3), rng)

    assert together.shape == (1, 3)
    np.testing.assert_allclose(together, 10_000 + (1.99 + 1000) + (10 + 100 + 1000))
    np.testing.assert_allclose(apart[0], 10_000 + 1.99 + 1000)
    np.testing.assert_allclose(apart[1], 10_000 + 10 + 100 + 1000)


def test_a_small_query_is_priced_at_its_size_and_keeps_no_more_than_it_has() -> None:
    profiles = [
        profile("a", [1.0], slope=1.0),
        profile("side", [1.0], slope=1.0),
        profile("b", [1.0], slope=1.0),
        profile(TOP_K, [1e-9]),
        profile(HAND_OVER, [1e-9]),
    ]
    fractions = np.array([1.0, 0.5, 0.1])

    (drawn,) = draw_service(TOGETHER, SCORERS, profiles, fractions, np.random.default_rng(0))

    # Calls cost as many seconds as they have items: a at 100 f, side and b at min(40, 100 f).
    np.testing.assert_allclose(drawn, [100 + 40 + 40, 50 + 40 + 40, 10 + 10 + 10], atol=1e-6)


def test_calls_of_one_query_are_slow_together() -> None:
    """Two calls with the same profiled queries: the sum's spread is twice one's, not sqrt 2."""
    samples = np.random.default_rng(1).lognormal(size=500)
    profiles = [
        profile("a", samples),
        profile("side", [1e-9]),
        profile("b", samples),
        profile(TOP_K, [1e-9]),
        profile(HAND_OVER, [1e-9]),
    ]

    (drawn,) = draw_service(TOGETHER, SCORERS, profiles, np.ones(4000), np.random.default_rng(2))

    pairs = np.sort(2 * samples)
    np.testing.assert_allclose(drawn, pairs[np.searchsorted(pairs, drawn - 1e-6)], atol=1e-6)
    # Every profiled query is drawn about equally often: within 5 standard errors of the mean.
    assert abs(drawn.mean() - 2 * samples.mean()) < 5 * 2 * samples.std() / np.sqrt(4000)


def test_selection_does_not_follow_the_query() -> None:
    samples = np.arange(1.0, 101.0)
    profiles = [
        profile("a", samples),
        profile("side", [1e-9]),
        profile("b", [1e-9]),
        profile(TOP_K, samples),
        profile(HAND_OVER, [1e-9]),
    ]

    (drawn,) = draw_service(TOGETHER, SCORERS, profiles, np.ones(6000), np.random.default_rng(3))

    # Three independent parts of variance v (one call, two selections), not one of (3 sigma)².
    assert drawn.var() == pytest.approx(3 * samples.var(), rel=0.1)


def test_what_was_not_profiled_is_an_error() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(StudyError, match="'a' has no profile on 'cpu' with 1 threads"):
        draw_service(TOGETHER, SCORERS, fixed(1)[1:], np.ones(3), rng)
    wide = Path(
        pipeline=pipeline_of(("a",), (200, 5)),
        mapping=Mapping(stations=(Station(platform="cpu", num_stages=1),)),
    )
    with pytest.raises(InvalidInput, match="profiled for 1 to 101 items, asked for 200"):
        draw_service(wide, (("a",),), fixed(1), np.ones(3), rng)


def test_between_busy_and_rested_the_times_are_mixed_by_utilisation() -> None:
    profiles = [*fixed(1), profile(RESTED.name("a"), [3.0], slope=0.01)]
    middle = (BUSY.utilisation + RESTED.utilisation) / 2

    def total_s(utilisation: float) -> float:
        rng = np.random.default_rng(0)
        drawn = draw_service(TOGETHER, SCORERS, profiles, np.ones(1), rng, (utilisation,))
        return float(drawn[0, 0]) - 12_110

    # Busy, `a` takes 1.99 s at 100 items; rested 3.99 s.
    assert total_s(BUSY.utilisation) == pytest.approx(1.99)
    assert total_s(middle) == pytest.approx(2.99)
    assert total_s(RESTED.utilisation) == pytest.approx(3.99)
    assert total_s(1.0) == pytest.approx(1.99)
    assert total_s(0.0) == pytest.approx(1.99 + 1.2 * 2.0)


def inside(model: str, samples: list[float], fused_sizes: tuple[int, ...] = (1, 101)) -> Any:
    return dataclasses.replace(profile(model, samples), fused_sizes=fused_sizes)


def test_a_station_whose_models_run_in_one_call_pays_that_call_once_and_no_selection() -> None:
    profiles = [*fixed(1), inside("a", [2.0]), inside("side", [20.0]), inside("b", [200.0])]
    profiles.append(profile(FUSED_CALL, [5000.0]))
    service_s = draw_service(TOGETHER, SCORERS, profiles, np.ones(3), np.random.default_rng(0))

    np.testing.assert_allclose(service_s, 10_000 + 5000 + 2 + 20 + 200)


def test_one_model_that_runs_elsewhere_makes_the_station_run_stage_by_stage() -> None:
    profiles = [*fixed(1), inside("a", [2.0]), profile(FUSED_CALL, [5000.0])]
    service_s = draw_service(TOGETHER, SCORERS, profiles, np.ones(3), np.random.default_rng(0))

    np.testing.assert_allclose(service_s, 10_000 + (2 + 5000 + 1000) + (10 + 100 + 1000))


def test_the_search_prices_a_station_as_the_simulator_does() -> None:
    """Both ways, and where only the larger sizes were timed inside the call of all stages."""
    for sizes in ((), (1, 101), (101,)):
        rng = np.random.default_rng(1)
        names = ("a", "side", "b", TOP_K, FUSED_CALL, HAND_OVER)
        draws = {name: rng.uniform(1, 2, 64).tolist() for name in names}
        profiles = [inside(name, draws[name], sizes) for name in ("a", "side", "b")]
        profiles += [profile(name, draws[name]) for name in names[3:]]
        curves = StationCurves(profiles, INPUTS, np.ones(1))
        curve = curves.station(PIPELINE, range(2), 0, "cpu", 1)
        drawn = draw_service(TOGETHER, SCORERS, profiles, np.ones(200_000), rng)

        assert curve.mean() == pytest.approx(drawn.mean(), rel=1e-3)
