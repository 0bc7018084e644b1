"""How long each path takes on this machine, now: what the scheduler goes by.

Letters: G sizes, R samples.
"""

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from recfunnel.core.pipeline import Pipeline
from recfunnel.core.results import DesignPoint
from recfunnel.core.servable import PathMenu, PathStation, ServablePath, ServiceTimes
from recfunnel.runtime.cascade import Question, StageRunner, Survivors
from recfunnel.runtime.paths_server import sized
from recfunnel.serve.loading import LoadedPath

NUM_SIZES = 5
MOST_SAMPLES = 200
WARM_UP_CALLS = 3


def measured_menu(
    points: Sequence[DesignPoint],
    loaded: Sequence[LoadedPath],
    questions: Sequence[Question],
    num_candidates: int,
    *,
    seconds: float,
) -> PathMenu:
    """Run every path on real questions, which warms it up, and time it.

    Args:
        points: the paths with their quality, the plan's own first.
        loaded: the same paths.
        questions: R of them, of the full number of candidates.
        num_candidates: the most that a question may bring.
        seconds: for each path, about.

    Returns:
        A menu of all of them, sizes in candidates of the plan's first stage.
    """
    grid = sizes_to_time(num_candidates)
    return PathMenu(
        paths=tuple(
            ServablePath(
                name=point.path.pipeline.name,
                quality=float(np.clip(point.objectives.ndcg.mean, 0.0, 1.0)),
                stations=_stations(one, questions, grid, num_candidates, seconds),
                path=point.path,
            )
            for point, one in zip(points, loaded, strict=True)
        )
    )


def sizes_to_time(num_candidates: int) -> tuple[int, ...]:
    """G sizes from 1 to all, rising, spaced evenly."""
    return tuple(np.unique(np.linspace(1, num_candidates, NUM_SIZES).astype(int)).tolist())


def brought(question: Question, pipeline: Pipeline, size: int, num_candidates: int) -> Question:
    """A question as one pipeline ranks it.

    Args:
        question: of columns enough for any pipeline.
        pipeline: may read fewer than the plan's first stage does.
        size: candidates it brings, of the plan's first stage.
        num_candidates: what that stage reads.

    Returns:
        The question with the same share of what this pipeline's first stage reads.
    """
    nominal = pipeline.stages[0].num_in
    own = size if nominal == num_candidates else max(1, -(-size * nominal // num_candidates))
    return sized(question, pipeline, own)


def _stations(
    one: LoadedPath,
    questions: Sequence[Question],
    grid: tuple[int, ...],
    num_candidates: int,
    seconds: float,
) -> tuple[PathStation, ...]:
    runners, pipeline = [station[0] for station in one.stations], one.path.pipeline
    for server in range(max(len(station) for station in one.stations)):
        chain = [station[server % len(station)] for station in one.stations]
        for number in range(WARM_UP_CALLS):  # every runner's first calls are slow
            _times(chain, questions[number % len(questions)])
    per_size = seconds / len(grid)
    times = [_sampled(runners, questions, pipeline, n, num_candidates, per_size) for n in grid]
    return tuple(
        PathStation(
            platform=f"{station.platform} {number}",
            service=ServiceTimes.of_samples(
                np.array(grid, np.int64),
                _same_length([sample[:, number] for sample in times]),
                "measured",
            ),
            num_servers=station.num_servers,
        )
        for number, station in enumerate(one.path.mapping.stations)
    )


def _sampled(
    runners: Sequence[StageRunner],
    questions: Sequence[Question],
    pipeline: Pipeline,
    size: int,
    num_candidates: int,
    seconds: float,
) -> np.ndarray:
    """(R, stations), seconds of calls on different questions, at least 3."""
    began = perf_counter()
    found = []
    for number in range(MOST_SAMPLES):
        asked = questions[number % len(questions)]
        found.append(_times(runners, brought(asked, pipeline, size, num_candidates)))
        if number >= 2 and perf_counter() - began > seconds:
            break
    return np.array(found)


def _times(runners: Sequence[StageRunner], question: Question) -> list[float]:
    survivors: Survivors | None = None
    seconds = []
    for runner in runners:
        began = perf_counter()
        survivors = runner.run(question, survivors)
        seconds.append(perf_counter() - began)
    return seconds


def _same_length(samples: list[np.ndarray]) -> np.ndarray:
    """(G, R), quantiles of each size's samples, so that all have as many."""
    share = (np.arange(MOST_SAMPLES) + 0.5) / MOST_SAMPLES
    return np.stack([np.quantile(one, share, method="inverted_cdf") for one in samples])
