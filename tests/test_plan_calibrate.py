"""A path's own service times: exact at the loads they were taken at, mixed between, joint."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.core.pipeline import Mapping, Path, Station, pipeline_of
from recfunnel.core.seeds import rng_for
from recfunnel.plan.calibrate import PathProfile

PATH = Path(
    pipeline=pipeline_of(("a", "b"), (100, 20, 10)),
    mapping=Mapping(
        stations=(Station(platform="cpu", num_stages=1), Station(platform="cpu", num_stages=1))
    ),
)


def profile(num_queries: int = 500) -> PathProfile:
    rng = rng_for(0, "calibrated")
    slow = rng.gamma(4.0, 1e-3, num_queries)  # a query slow in one station is slow in the next
    busy = np.stack([slow, 2 * slow])
    calm = 1.5 * np.stack([rng.permutation(slow), rng.permutation(2 * slow)])
    rested = 3 * np.stack([slow, 2 * slow])
    delays = rng.gamma(2.0, 1e-4, 300)
    return PathProfile(
        path=PATH,
        utilisation=np.array([[0.1, 0.2], [0.3, 0.4], [0.8, 0.9]]),
        service_s=(rested, calm, busy),
        wake_up_s=(2 * delays, delays, 0.5 * delays),
        queued_s=(delays, delays, 3 * delays),
    )


def test_at_a_calibrated_load_its_own_distribution_is_drawn() -> None:
    found = profile()
    luck = (np.arange(500) + 0.5) / 500
    for load in range(3):
        drawn = found.draw(tuple(found.utilisation[load]), luck)
        np.testing.assert_allclose(
            np.sort(drawn, axis=1), np.sort(found.service_s[load], axis=1), rtol=1e-12
        )


def test_a_query_that_is_slow_in_one_station_is_slow_in_the_next() -> None:
    found = profile()
    drawn = found.draw((0.5, 0.6), rng_for(1, "luck").random(4000))
    assert np.corrcoef(drawn)[0, 1] > 0.999


@given(share=st.floats(0, 1), lower=st.integers(0, 1))
def test_between_two_loads_the_mean_moves_in_a_straight_line(share: float, lower: int) -> None:
    found = profile()
    luck = (np.arange(500) + 0.5) / 500
    left, right = found.utilisation[lower : lower + 2]
    means = [service_s.mean(axis=1) for service_s in found.service_s]
    expected = (1 - share) * means[lower] + share * means[lower + 1]
    drawn = found.draw(tuple((1 - share) * left + share * right), luck).mean(axis=1)
    np.testing.assert_allclose(drawn, expected, rtol=1e-9)


def test_outside_the_loads_nothing_is_extrapolated() -> None:
    found = profile()
    luck = (np.arange(500) + 0.5) / 500
    means = [service_s.mean(axis=1) for service_s in found.service_s]
    np.testing.assert_allclose(found.draw((0.0, 0.0), luck).mean(axis=1), means[0], rtol=1e-9)
    np.testing.assert_allclose(found.draw((1.0, 1.0), luck).mean(axis=1), means[-1], rtol=1e-9)


@pytest.mark.parametrize("shape", [(7,), (3, 7)])
def test_draws_have_the_shape_of_their_luck(shape: tuple[int, ...]) -> None:
    assert profile().draw((), np.full(shape, 0.5)).shape == (2, *shape)


def test_waking_up_takes_what_it_took_at_that_load() -> None:
    found = profile()
    luck = (np.arange(300) + 0.5) / 300
    at_calm = found.draw_wake_up((0.3, 0.4), luck)
    np.testing.assert_allclose(at_calm, np.sort(found.wake_up_s[1]), rtol=1e-12)
    between = found.draw_wake_up((0.55, 0.0), luck)
    np.testing.assert_allclose(between, 0.75 * at_calm, rtol=1e-9)
    waited = found.draw_queued((0.55, 0.0), luck)
    np.testing.assert_allclose(waited, 2 * at_calm, rtol=1e-9)


def test_loads_with_fewer_queries_keep_the_quantiles_of_all() -> None:
    whole = profile()
    fewer = PathProfile(
        whole.path,
        whole.utilisation,
        (np.sort(whole.service_s[0], axis=1)[:, 2::5], *whole.service_s[1:]),
        whole.wake_up_s,
        whole.queued_s,
    )
    luck = rng_for(2, "luck").random(5000)
    for share in (0.5, 0.9):
        drawn = [np.quantile(p.draw((0.1, 0.2), luck), share, axis=1) for p in (whole, fewer)]
        np.testing.assert_allclose(drawn[1], drawn[0], rtol=0.03)
