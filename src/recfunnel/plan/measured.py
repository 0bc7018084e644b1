"""The capacity a path really has: highest load at which its service level held when executed."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from recfunnel.core.pipeline import Path
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import Estimate
from recfunnel.core.seeds import rng_for
from recfunnel.core.spec import Value
from recfunnel.core.workload import ArrivalsSpec, QuerySizesSpec, ServiceLevel
from recfunnel.plan.verify import open_load
from recfunnel.runtime.engine import Engine

STEP = 1.15
"""Loads are tried this factor apart until one holds and the next does not."""

_HALVINGS = 2
_MOST_STEPS = 10


class MeasuredCapacity(Value, frozen=True):
    """What a path could carry.

    Args:
        path: that was executed.
        capacity_qps: over independent searches; 0 where no load held.
        resolution: relative distance of the last load that held and the first that did not.
    """

    path: Path
    capacity_qps: Estimate
    resolution: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityTrial:
    """How capacity is searched.

    Args:
        service_level: that must hold.
        arrivals: when queries come.
        sizes: how many candidates they bring.
        num_queries: rows of the engine's query set.
        seconds: length of a run.
        repeats: independent searches.
        seed: of arrivals, sizes and queries.
    """

    service_level: ServiceLevel
    arrivals: ArrivalsSpec
    sizes: QuerySizesSpec
    num_queries: int
    seconds: float = 3.0
    repeats: int = 3
    seed: int = 0


def measure_capacity(
    engine: Engine,
    path: Path,
    guess_qps: float,
    trial: CapacityTrial,
    progress: Progress = SILENT,
) -> MeasuredCapacity:
    """Search the highest load at which the service level holds, by executing the path.

    Args:
        engine: prepares the path anew.
        path: to execute.
        guess_qps: where to begin, such as the predicted capacity.
        trial: how to search.
        progress: told about searches.

    Returns:
        The measured capacity.

    Raises:
        WorkerError: a process died, failed or fell silent.
    """
    engine.prepare(path)
    found = [
        highest_load(partial(_holds, engine, trial, repeat), guess_qps)
        for repeat in progress.track(range(trial.repeats), "capacity, executed")
    ]
    return MeasuredCapacity(
        path=path,
        capacity_qps=Estimate.of(np.array(found)),
        resolution=STEP ** (0.5**_HALVINGS) - 1,
    )


def highest_load(holds: Callable[[float], bool], guess_qps: float) -> float:
    """The highest load that holds, to a quarter of a step on a logarithmic scale.

    Args:
        holds: whether a load, queries a second, holds.
        guess_qps: where to begin, above 0.

    Returns:
        A load that held; the last one tried where ten steps up all did, 0 where none down did.
    """
    inside, outside = _bracket(holds, guess_qps)
    if inside == 0 or outside == math.inf:
        return inside
    for _ in range(_HALVINGS):
        middle = math.sqrt(inside * outside)
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside


def _bracket(holds: Callable[[float], bool], guess_qps: float) -> tuple[float, float]:
    """Neighbouring loads of which one holds and the next does not; 0 or inf where there is none."""
    at_guess = holds(guess_qps)
    step, last = (STEP if at_guess else 1 / STEP), guess_qps
    for _ in range(_MOST_STEPS):
        tried = last * step
        if holds(tried) != at_guess:
            return (last, tried) if at_guess else (tried, last)
        last = tried
    return (last, math.inf) if at_guess else (0.0, last)


def _holds(engine: Engine, trial: CapacityTrial, repeat: int, rate_qps: float) -> bool:
    rng = rng_for(trial.seed, "measured capacity", repeat, f"{rate_qps:.3f}")
    num_kept = math.ceil(trial.seconds * rate_qps)
    load = open_load(rate_qps, num_kept, trial.num_queries, trial.arrivals, trial.sizes, rng)
    served = engine.run(load)
    return served.quantile_s(trial.service_level.quantile) <= trial.service_level.deadline_s
