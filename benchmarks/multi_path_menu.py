"""The menu of `multi_path_serving.py`: how good each path is, and how long it takes here.

Letters: Q queries, C candidates, G profiled sizes.
"""

from collections.abc import Mapping
from pathlib import Path as Folder

import numpy as np

from multi_path_models import KEPT, NUM_OUT, RUNTIMES, SERVED, Served
from recfunnel.core.arrays import DoubleArray, FloatArray, IntArray
from recfunnel.core.dataset import QuerySet, load_dataset
from recfunnel.core.progress import Progress
from recfunnel.core.seeds import rng_for
from recfunnel.core.servable import PathMenu, PathStation, ServablePath, ServiceTimes
from recfunnel.core.spec import Value
from recfunnel.quality.probability import is_right
from recfunnel.quality.score import score_queries
from recfunnel.runtime.paths_engine import PathsEngine
from recfunnel.runtime.paths_run import PathsRun, SizedLoad
from recfunnel.runtime.server import unmapped
from recfunnel.schedule.base import Conditions
from recfunnel.schedule.fixed import FixedPath
from recfunnel.simulate.paths_trial import PathsTrial, draw_sizes

GRID = (4, 16, 32, 64, 128, 256, 512, 1024)
"""Sizes that are profiled."""

MOST_SAMPLES, MOST_SECONDS = 200, 12.0
"""Of each size, and of the profile of one path; the smaller of the two decides."""

ATTEMPTS = 3
"""Runs of a profile that other programs took part of are repeated."""

BUSY = 0.85
"""Share of the servers' time that is asked for while they are profiled, so that they disturb each
other as they will."""


class Quality(Value, frozen=True):
    """Of one path on one split.

    Args:
        accuracy: share of candidates whose click is on the predicted side of one half; a candidate
            that an early stage dropped is predicted by that stage.
        ndcg: mean NDCG@16 over queries with a click.
        trivial: accuracy of always saying no.
    """

    accuracy: float
    ndcg: float
    trivial: float


def qualities(
    models_folder: Folder, data_folder: Folder, split: str, trial: PathsTrial
) -> dict[str, Quality]:
    """Cut a split's blocks into queries of the trial's sizes and judge every path on them."""
    dataset = load_dataset(data_folder)
    queries = unmapped(dataset.test if split == "test" else dataset.validation)
    names = sorted({name for served in SERVED for name in served.models})
    logits = {name: _logits(models_folder, name, queries) for name in names}
    clicked = np.zeros(logits[names[0]].shape, np.bool_)
    clicked[queries.relevance.row_ids(), queries.relevance.values] = True
    runs = query_runs(clicked.shape, trial)
    return {served.name: judged_path(served, logits, clicked, runs) for served in SERVED}


def _logits(models_folder: Folder, name: str, queries: QuerySet) -> FloatArray:
    """(Q, C); all forms of a model that are served give the same ones."""
    model = RUNTIMES["stored"].load(models_folder / name, queries.items, num_threads=1)
    return score_queries(model, queries, []).scores


def query_runs(shape: tuple[int, int], trial: PathsTrial) -> list[tuple[int, slice]]:
    """(block, columns) of queries that use every candidate once, but for the ends of blocks."""
    rng = rng_for(trial.seed, "queries that are judged")
    found = []
    for block in range(shape[0]):
        first = 0
        for size in _sizes(trial, shape[1], rng).tolist():
            if first + size > shape[1]:
                break
            found.append((block, slice(first, first + size)))
            first += size
    return found


def _sizes(trial: PathsTrial, num_columns: int, rng: np.random.Generator) -> IntArray:
    return draw_sizes(_PROFILED, trial, num_columns // GRID[0], rng)


def judged_path(
    served: Served,
    logits: Mapping[str, FloatArray],
    clicked: np.ndarray,
    runs: list[tuple[int, slice]],
) -> Quality:
    """How good one path is.

    Args:
        served: the path.
        logits: of each fitted model, (Q, C).
        clicked: bool (Q, C).
        runs: (block, columns) of each query.
    """
    right, gains = [], []
    for block, columns in runs:
        first, last = (logits[name][block, columns] for name in (served.models * 2)[:2])
        kept = np.argsort(-first, kind="stable")[: KEPT if len(served.models) > 1 else None]
        said = first.copy()
        said[kept] = last[kept]
        label = clicked[block, columns]
        right.append(is_right(said.astype(np.float64), label))
        if label.any():
            answer = kept[np.argsort(-last[kept], kind="stable")][:NUM_OUT]
            gains.append(_ndcg(label[answer], int(label.sum())))
    label = np.concatenate([clicked[block, columns] for block, columns in runs])
    return Quality(
        accuracy=float(np.concatenate(right).mean()),
        ndcg=float(np.mean(gains)),
        trivial=float(1.0 - label.mean()),
    )


def _ndcg(hits: np.ndarray, num_relevant: int) -> float:
    worth = 1.0 / np.log2(np.arange(2, NUM_OUT + 2))
    return float(worth[: hits.size][hits].sum() / worth[:num_relevant].sum())


def _flat(num_servers: int) -> PathMenu:
    """All paths, with times that say nothing."""
    service = ServiceTimes(
        num_candidates=(GRID[0], GRID[-1]), median_s=(1.0, 1.0), tail_s=(1.0, 1.0)
    )
    station = PathStation(platform="cpu", service=service, num_servers=num_servers)
    return PathMenu(
        paths=tuple(
            ServablePath(
                name=served.name, quality=0.5, stations=(station,), path=served.path(num_servers)
            )
            for served in SERVED
        )
    )


_PROFILED = _flat(1)


def profiled(
    engine: PathsEngine, num_servers: int, num_rows: int, seed: int, progress: Progress
) -> dict[str, ServiceTimes]:
    """Execute each path alone and note how long its servers were taken by queries of each size.

    A time runs from telling a server to hearing that it is done, as the scheduler will see it.
    """
    menu = _flat(num_servers)
    engine.prepare(menu)
    found = {}
    for number, path in enumerate(menu.paths):
        rng = rng_for(seed, "profile", path.name)
        first_s = _executed(engine, number, np.repeat(GRID, 5), 1e9, num_rows, rng, progress)
        mean_s = float(first_s.mean())
        samples = int(min(MOST_SAMPLES, BUSY * num_servers * MOST_SECONDS / mean_s / len(GRID)))
        sizes = rng.permutation(np.repeat(GRID, max(samples, 10)))
        rate_qps = BUSY * num_servers / mean_s
        seconds = _executed(engine, number, sizes, rate_qps, num_rows, rng, progress)
        each = np.stack([seconds[sizes == size] for size in GRID])
        found[path.name] = ServiceTimes.of_samples(np.array(GRID), each, "measured")
        times = " ".join(f"{1e3 * s:.2f}" for s in found[path.name].median_s)
        progress.log(f"{path.name}: {samples} of each size, medians {times} ms")
    return found


def _executed(
    engine: PathsEngine,
    number: int,
    sizes: IntArray,
    rate_qps: float,
    num_rows: int,
    rng: np.random.Generator,
    progress: Progress,
) -> DoubleArray:
    """Service times of one run on one path, the least disturbed of a few; all are answered."""
    arrival_s = np.cumsum(rng.standard_exponential(sizes.size)) / rate_qps
    load = SizedLoad(arrival_s, rng.integers(0, num_rows, sizes.size), sizes)
    runs: list[PathsRun] = []
    while len(runs) < ATTEMPTS and not (runs and not runs[-1].polluted):
        runs.append(engine.run(load, FixedPath(index=number), Conditions(1.0, sizes), drain_s=60.0))
    best = min(runs, key=lambda run: run.disturbance.foreign_share + run.disturbance.steal_share)
    if best.polluted:
        progress.log(f"  disturbed, so measure again: {best.disturbance.words}")
    return best.events.service_s[:, 0]


def menu_of(
    times: Mapping[str, ServiceTimes], worth: Mapping[str, float], num_servers: int
) -> PathMenu:
    """The paths with their times and a quality each."""
    return PathMenu(
        paths=tuple(
            ServablePath(
                name=served.name,
                quality=worth[served.name],
                stations=(
                    PathStation(
                        platform="cpu", service=times[served.name], num_servers=num_servers
                    ),
                ),
                path=served.path(num_servers),
            )
            for served in SERVED
            if served.name in times
        )
    )
