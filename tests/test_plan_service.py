"""Curves of whole stations have the distribution that drawing call by call gives."""

import numpy as np
import pytest

from plan_world import make_profiles
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.pipeline import Mapping, Path, Station, pipeline_of, stage_scorers
from recfunnel.core.workload import ServiceLevel, Workload
from recfunnel.plan.draws import MAX_LEVELS, CommonDraws, size_levels
from recfunnel.plan.service import StationCurves
from recfunnel.profile.service import draw_service
from recfunnel.workload.fixed import Fixed
from recfunnel.workload.lognormal import Lognormal
from recfunnel.workload.poisson import Poisson

PROFILES = make_profiles(3, [1, 10, 20, 40, 120], np.random.default_rng(0))
INPUTS: dict[str, tuple[str, ...]] = {"m0": (), "m1": (), "m2": ("m0",)}
PIPELINE = pipeline_of(("m1", "m2"), (120, 20, 10))


def path_of(*sizes: int) -> Path:
    stations = tuple(Station(platform="cpu", num_stages=size) for size in sizes)
    return Path(pipeline=PIPELINE, mapping=Mapping(stations=stations))


def draws_of(sizes: Fixed | Lognormal) -> CommonDraws:
    workload = Workload(
        arrivals=Poisson(),
        sizes=sizes,
        rate_qps=1.0,
        service_level=ServiceLevel(deadline_s=1.0),
        num_queries=20_000,
        num_replications=2,
    )
    return CommonDraws(workload, seed=1)


@pytest.mark.parametrize("sizes", [Fixed(), Lognormal()])
@pytest.mark.parametrize("grouping", [(2,), (1, 1)])
def test_sums_are_distributed_as_drawn_call_by_call(
    sizes: Fixed | Lognormal, grouping: tuple[int, ...]
) -> None:
    draws = draws_of(sizes)
    curves = StationCurves(PROFILES, INPUTS, draws.fractions)
    stages = [range(2)] if grouping == (2,) else [range(1), range(1, 2)]
    ours = draws.service_s(
        [curves.station(PIPELINE, own, i, "cpu", 1) for i, own in enumerate(stages)]
    )
    rng = np.random.default_rng(5)
    fractions = sizes.fractions(40_000, np.random.default_rng(6))
    scorers = stage_scorers(PIPELINE, INPUTS)
    theirs = draw_service(path_of(*grouping), scorers, PROFILES, fractions, rng)

    ours = ours.transpose(1, 0, 2).reshape(len(grouping), -1)
    # 40,000 draws of spread 20 %: means within 4 standard errors of 0.14 %, and quantiles, of a
    # curve of 1024 points and at most 16 sizes, within 1.5 % (2 % more service would fail)
    np.testing.assert_allclose(ours.mean(axis=1), theirs.mean(axis=1), rtol=6e-3)
    for quantile in (0.5, 0.9, 0.99):
        np.testing.assert_allclose(
            np.quantile(ours.sum(axis=0), quantile),
            np.quantile(theirs.sum(axis=0), quantile),
            rtol=0.015,
        )
    if len(grouping) == 2 and isinstance(sizes, Fixed):
        both = [np.corrcoef(drawn)[0, 1] for drawn in (ours, theirs)]
        assert both[0] == pytest.approx(both[1], abs=0.03), "a slow query is slow at both stations"


def test_the_bare_tail_and_saturation_are_those_of_the_drawn_queries() -> None:
    draws = draws_of(Lognormal())
    curves_of = StationCurves(PROFILES, INPUTS, draws.fractions)
    curves = [curves_of.station(PIPELINE, range(i, i + 1), i, "cpu", 1) for i in range(2)]
    service_s = draws.service_s(curves)
    bare_s = np.sort(service_s.sum(axis=1)[:, draws.warmup :], axis=1)
    wanted = bare_s[:, int(0.99 * bare_s.shape[1]) - 1].mean()
    assert draws.bare_tail_s(curves, 0.99) == pytest.approx(wanted, rel=1e-6)
    rates = (draws.unit_times.shape[1] - 1) / np.ptp(draws.unit_times, axis=1)
    limits = np.min(np.array([[3], [1]]) / service_s.mean(axis=2).T, axis=0) / rates
    np.testing.assert_allclose(draws.saturation_qps(curves, [3, 1]), limits, rtol=1e-6)


def test_few_sizes_are_kept_exactly_and_many_keep_their_mean() -> None:
    few = np.array([[0.5, 1.0, 0.5]])
    levels, level = size_levels(few)
    np.testing.assert_array_equal(levels[level], few)
    many = np.random.default_rng(0).uniform(0.1, 1.0, (2, 5000))
    levels, level = size_levels(many)
    assert levels.size == MAX_LEVELS
    assert levels[level].mean() == pytest.approx(many.mean(), rel=1e-9)


def test_what_was_not_profiled_is_not_guessed() -> None:
    curves = StationCurves(PROFILES, INPUTS, np.ones(1))
    with pytest.raises(StudyError, match="no profile on 'cpu' with 2 threads"):
        curves.station(PIPELINE, range(1), 0, "cpu", 2)
    with pytest.raises(InvalidInput, match="profiled for 1 to 120 items, asked for 500"):
        curves.station(pipeline_of(("m1",), (500, 10)), range(1), 0, "cpu", 1)
