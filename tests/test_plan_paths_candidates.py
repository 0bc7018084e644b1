"""Pipelines placed stage by stage on platforms, as candidates for the set of paths."""

import numpy as np
import pytest

from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.pipeline import pipeline_of
from recfunnel.core.servable import ServiceTimes
from recfunnel.core.workload import ServiceLevel
from recfunnel.plan.paths.candidates import RankedPipeline, ServedModel, enumerate_paths
from recfunnel.plan.paths.plan import plan_paths
from recfunnel.plan.paths.problem import LoadLevel, PathProblem, PathTarget, size_classes

SERVERS = {"cpu": 2, "gpu": 1}
FUNNEL = RankedPipeline(pipeline=pipeline_of(("table", "hybrid"), (512, 64, 8)), quality=0.8)
ALONE = RankedPipeline(pipeline=pipeline_of(("table",), (512, 8)), quality=0.7)


def served(model: str, platform: str, slope_s: float, num_bytes: int = 100) -> ServedModel:
    grid = (1, 512)
    median_s = tuple(1e-4 + slope_s * n for n in grid)
    return ServedModel(
        model=model,
        platform=platform,
        service=ServiceTimes(
            num_candidates=grid, median_s=median_s, tail_s=tuple(1.5 * s for s in median_s)
        ),
        num_bytes=num_bytes,
    )


MODELS = (
    served("table", "cpu", 1e-6),
    served("table", "gpu", 1e-7, 300),
    served("hybrid", "cpu", 5e-5, 50),
    served("hybrid", "gpu", 1e-6, 400),
)


def test_every_stage_on_every_platform_that_serves_it() -> None:
    found = enumerate_paths((FUNNEL, ALONE), MODELS, SERVERS)
    assert [c.path.platforms for c in found] == [
        ("cpu",),
        ("cpu", "gpu"),
        ("gpu", "cpu"),
        ("gpu",),
        ("cpu",),
        ("gpu",),
    ]
    assert len({c.path.name for c in found}) == 6
    assert [c.path.quality for c in found] == [0.8] * 4 + [0.7] * 2


def test_a_later_stage_reads_what_is_kept_and_never_more_than_the_query_brings() -> None:
    both = enumerate_paths((FUNNEL,), MODELS, SERVERS)[0].path
    for n, kept in ((10, 10), (64, 64), (300, 64)):
        expected = (1e-4 + 1e-6 * n) + (1e-4 + 5e-5 * kept)
        assert both.medians_s(np.array([n]))[0] == pytest.approx(expected)
        assert both.tails_s(np.array([n]))[0] == pytest.approx(1.5 * expected)


def test_stages_side_by_side_are_one_station_and_what_is_executed_agrees() -> None:
    found = enumerate_paths((FUNNEL,), MODELS, SERVERS)
    assert [len(c.path.stations) for c in found] == [1, 2, 2, 1]
    for candidate in found:
        path = candidate.path.path
        assert path is not None
        stations = path.mapping.stations
        assert tuple(s.platform for s in stations) == candidate.path.platforms
        assert tuple(s.num_servers for s in stations) == tuple(
            s.num_servers for s in candidate.path.stations
        )


def test_a_model_that_two_paths_call_is_held_once() -> None:
    found = enumerate_paths((FUNNEL, ALONE), MODELS, SERVERS)
    target = PathTarget(
        loads=(LoadLevel(rate_qps=100.0),), service_level=ServiceLevel(deadline_s=0.01)
    )
    classes = size_classes(np.array([100, 200, 400]))
    problem = PathProblem(found, {"cpu": 150, "gpu": 500}, classes, target)
    assert problem.bytes_of([0]) == {"cpu": 150, "gpu": 0}
    assert problem.bytes_of([0, 4]) == {"cpu": 150, "gpu": 0}  # the table alone comes with it
    plan = plan_paths(problem)
    assert plan.menu is not None
    assert plan.quality == pytest.approx(0.8)
    # the table of the cpu feeds the hybrid of the gpu, which alone would not fit with its own
    assert ("cpu", "gpu") in [path.platforms for path in plan.menu.paths]


def test_a_path_is_known_where_its_first_stage_is() -> None:
    narrow = RankedPipeline(pipeline=pipeline_of(("table",), (200, 8)), quality=0.7)
    path = enumerate_paths((narrow,), MODELS, SERVERS)[0].path
    assert path.stations[0].service.num_candidates[-1] == 200
    with pytest.raises(InvalidInput, match="known for 1 to 200 candidates"):
        path.medians_s(np.array([201]))


@pytest.mark.parametrize(
    ("models", "servers", "message"),
    [
        (MODELS[:2], SERVERS, "no platform has a profile of 'hybrid'; profiled: table"),
        ((*MODELS, MODELS[0]), SERVERS, "'table' is given twice on 'cpu'"),
        (MODELS, {"cpu": 2}, "'table' is served on 'gpu', whose servers are not stated"),
    ],
)
def test_what_cannot_be_placed_is_refused(
    models: tuple[ServedModel, ...], servers: dict[str, int], message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        enumerate_paths((FUNNEL,), models, servers)


def test_a_stage_without_the_profile_it_needs_is_refused() -> None:
    service = ServiceTimes(num_candidates=(1, 32), median_s=(1e-3,) * 2, tail_s=(1e-3,) * 2)
    short = ServedModel(model="hybrid", platform="gpu", service=service, num_bytes=1)
    with pytest.raises(InvalidInput, match="known for 1 to 32 candidates, asked for"):
        enumerate_paths((FUNNEL,), (MODELS[0], short), SERVERS)
