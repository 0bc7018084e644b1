"""Paths side by side: what they state must hold together, and profiles are not extrapolated."""

import numpy as np
import pytest

from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.results import LatencyProfile
from recfunnel.core.servable import PathMenu, PathStation, ServablePath, ServiceTimes
from recfunnel.core.spec import convert, to_builtins

TIMES = ServiceTimes(num_candidates=(1, 101), median_s=(0.001, 0.003), tail_s=(0.002, 0.008))


def path(name: str, *platforms: str, quality: float = 0.5, num_servers: int = 1) -> ServablePath:
    stations = tuple(
        PathStation(platform=p, service=TIMES, num_servers=num_servers) for p in platforms
    )
    return ServablePath(name=name, quality=quality, stations=stations)


def test_service_times_are_linear_between_the_profiled_sizes() -> None:
    sizes = np.array([1, 51, 101])
    assert TIMES.medians_s(sizes) == pytest.approx([0.001, 0.002, 0.003])
    assert TIMES.tails_s(sizes) == pytest.approx([0.002, 0.005, 0.008])


@pytest.mark.parametrize("size", [0, 102])
def test_nothing_is_extrapolated(size: int) -> None:
    with pytest.raises(InvalidInput, match="known for 1 to 101 candidates"):
        TIMES.medians_s(np.array([size]))


def test_samples_become_their_median_and_their_tail() -> None:
    seconds = np.arange(1.0, 101.0)[np.newaxis] / np.array([[1.0], [2.0]])
    profile = LatencyProfile("m", "cpu", 1, np.array([8, 16]), seconds, "modelled")
    times = ServiceTimes.of_profile(profile, tail_quantile=0.9)
    assert times.median_s == (51.0, 25.5)
    assert times.tail_s == (91.0, 45.5)
    assert times.source == "modelled"


def test_a_path_adds_up_its_stations() -> None:
    both = path("both", "cpu", "cuda")
    assert both.medians_s(np.array([51]))[0] == pytest.approx(0.004)
    assert both.tails_s(np.array([51]))[0] == pytest.approx(0.010)
    assert both.platforms == ("cpu", "cuda")


def test_one_modelled_station_makes_a_modelled_path() -> None:
    modelled = ServiceTimes(**{**to_builtins(TIMES), "source": "modelled"})
    stations = (
        PathStation(platform="cpu", service=TIMES),
        PathStation(platform="cuda", service=modelled),
    )
    assert ServablePath(name="p", quality=0.5, stations=stations).source == "modelled"
    assert path("q", "cpu").source == "measured"


def test_a_menu_survives_being_written_and_read() -> None:
    menu = PathMenu(paths=(path("a", "cpu"), path("b", "cuda")))
    assert convert(to_builtins(menu), PathMenu, name="menu") == menu
    assert menu.index("b") == 1
    assert menu.num_servers == {"cpu": 1, "cuda": 1}
    assert menu.sizes == (1, 101)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_candidates": (5, 5)}, "must rise"),
        ({"num_candidates": (0, 5)}, "must rise from 1"),
        ({"median_s": (0.1,)}, "2 sizes, 1 medians"),
        ({"median_s": (0.0, 0.003)}, "median above 0"),
        ({"tail_s": (0.002, 0.001)}, "not below it"),
        ({"tail_quantile": 0.5}, "above 0.5"),
    ],
)
def test_times_that_cannot_be_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        convert({**to_builtins(TIMES), **changes}, ServiceTimes, name="times")


def test_paths_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(StudyError, match="different names"):
        PathMenu(paths=(path("a", "cpu"), path("a", "cpu")))
    with pytest.raises(StudyError, match="2 servers, another path 1"):
        PathMenu(paths=(path("a", "cpu"), path("b", "cpu", num_servers=2)))
    with pytest.raises(StudyError, match="0 to 1"):
        path("a", "cpu", quality=78.8)
    with pytest.raises(StudyError, match="no station"):
        path("a")
    with pytest.raises(StudyError, match="known: a"):
        PathMenu(paths=(path("a", "cpu"),)).index("b")
