"""What the engine and its processes say to each other over their control pipes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recfunnel.core.arrays import BoolArray, DoubleArray
from recfunnel.core.pipeline import Pipeline
from recfunnel.runtime.arena import Layout
from recfunnel.runtime.base import RuntimeSpec

MAX_STATIONS = 6
"""Stations a path may have; each has its pipe from the start."""

MAX_SERVERS = 32
"""Servers of several paths at once; each has its own pipe behind those of the stations."""


@dataclass(frozen=True, slots=True)
class ServingSetup:
    """Where a worker finds what it serves.

    Args:
        runtimes: how models are run, by name; the first runs models for which none is named.
        models_folder: `models` of a run folder, one finished model a folder.
        dataset_folder: a stored data set.
        score_inputs: for each model, the models whose scores it reads.
        split: whose queries are asked.
    """

    runtimes: Mapping[str, RuntimeSpec]
    models_folder: Path
    dataset_folder: Path
    score_inputs: Mapping[str, tuple[str, ...]]
    split: Literal["validation", "test"] = "test"

    @property
    def first_runtime(self) -> str:
        """Name of the runtime of models for which none is named."""
        return next(iter(self.runtimes))


@dataclass(frozen=True, slots=True)
class Load:
    """Have exactly these models at hand, warmed up; what is loaded already is not loaded again.

    Args:
        models: names with the runtime of each, inputs before those that read them.
        cores: to run on.
        num_threads: a call may use.
    """

    models: tuple[tuple[str, str], ...]
    cores: tuple[int, ...]
    num_threads: int


@dataclass(frozen=True, slots=True)
class Take:
    """Become a server of a station.

    Args:
        pipeline: all stages; None serves empty queries, which measures the hand-over itself.
        station: its position.
        stages: first stage and the one after the last that run here.
        num_stations: all there are.
    """

    pipeline: Pipeline | None
    station: int
    stages: tuple[int, int]
    num_stations: int


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer queries from the station's pipe until told to stop there; a descriptor follows."""

    layout: Layout


@dataclass(frozen=True, slots=True)
class Generate:
    """Send each query of a run at its time; a descriptor follows."""

    layout: Layout


@dataclass(frozen=True, slots=True)
class Call:
    """One timed call.

    Args:
        model: its name; `top_k` for a stage without its model, `fused_call` for a call that runs
            all stages without those.
        num_items: candidates.
        query: row of the query set.
    """

    model: str
    num_items: int
    query: int


@dataclass(frozen=True, slots=True)
class TimeCalls:
    """Make calls in order and time each.

    Args:
        calls: what to call.
        idle_ratio: mean pause after a group of calls, in times the group took; exponential.
        seed: of pauses and candidates.
        until_s: stop at this reading of the monotonic clock.
        group: calls without a pause between them, as those of one query are.
    """

    calls: tuple[Call, ...]
    idle_ratio: float
    seed: int
    until_s: float
    group: int = 1


@dataclass(frozen=True, eq=False, slots=True)
class Timed:
    """Answer to `TimeCalls`, one entry a call made.

    Args:
        seconds: float64 (N,).
        disturbed: bool (N,), the scheduler took the core away meanwhile.
    """

    seconds: DoubleArray
    disturbed: BoolArray


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process."""


@dataclass(frozen=True, slots=True)
class Done:
    """The command is carried out; notes say what could not be had."""

    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """The command failed.

    Args:
        kind: class name of the exception.
        message: its text.
        traceback: the whole of it.
    """

    kind: str
    message: str
    traceback: str
