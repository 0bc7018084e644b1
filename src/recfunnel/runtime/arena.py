"""Memory that the processes of one run share: named arrays in one anonymous file.

The file has no name (it is unlinked or never had one), so nothing is left behind whatever dies.
"""

import mmap
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.pipeline import Path as ServingPath
from recfunnel.runtime.cascade import Survivors

_ALIGNMENT = 64

MAX_SLOTS = 2048
"""Queries that may lie between two stations; more wait at the earlier one."""


@dataclass(frozen=True, slots=True)
class Field:
    """One array: its name, dtype and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Arrays in order; the same layout gives the same places in every process."""

    fields: tuple[Field, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes all arrays take."""
        return max(_ALIGNMENT, sum(_padded(field) for field in self.fields))


class Arena:
    """The arrays of a layout, laid over a shared file.

    Args:
        layout: what lies where.
        descriptor: of the file; it may be closed once the arena is built.
    """

    def __init__(self, layout: Layout, descriptor: int) -> None:
        self.layout = layout
        memory = mmap.mmap(descriptor, layout.size_bytes)
        self._arrays: dict[str, NDArray[Any]] = {}
        offset = 0
        for field in layout.fields:
            count = int(np.prod(field.shape))
            flat = np.frombuffer(memory, field.dtype, count, offset)
            self._arrays[field.name] = flat.reshape(field.shape)
            offset += _padded(field)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]


def new_file(layout: Layout) -> int:
    """Descriptor of a new nameless file of zeros, in memory where the system offers that."""
    folder = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(layout.size_bytes)
        return os.dup(file.fileno())


def run_layout(path: ServingPath, carried: tuple[tuple[str, ...], ...], num_queries: int) -> Layout:
    """What one run shares.

    Args:
        path: what is executed.
        carried: for each stage, the models whose scores it hands on.
        num_queries: N.

    Returns:
        Control, schedule, clock readings, hand-over slots of each station but the last, answers.
    """
    num_stations = len(path.mapping.stations)
    fields = [
        Field("give_up_s", "float64", (1,)),
        Field("start_s", "float64", (1,)),
        Field("arrival_s", "float64", (num_queries,)),
        Field("query_rows", "int64", (num_queries,)),
        Field("fraction", "float64", (num_queries,)),
        Field("lag_s", "float64", (num_queries,)),
        Field("begin_s", "float64", (num_stations, num_queries)),
        Field("finish_s", "float64", (num_stations, num_queries)),
        Field("answer_size", "int64", (num_queries,)),
        Field("answer", "int32", (num_queries, path.pipeline.num_out)),
    ]
    slots = min(num_queries, MAX_SLOTS)
    last_stage = -1
    for number, station in enumerate(path.mapping.stations[:-1]):
        last_stage += station.num_stages
        keep = path.pipeline.most_left(last_stage)
        names = carried[last_stage]
        fields += slot_fields(number, slots, keep, len(names))
    return Layout(tuple(fields))


def slot_fields(station: int, num_slots: int, most_kept: int, num_scores: int) -> tuple[Field, ...]:
    """Arrays for what a station hands on.

    Args:
        station: its number.
        num_slots: queries that lie between it and the next one.
        most_kept: candidates of a query.
        num_scores: models whose scores go with them.
    """
    return (
        Field(f"slot{station}.size", "int64", (num_slots,)),
        Field(f"slot{station}.columns", "int64", (num_slots, most_kept)),
        Field(f"slot{station}.scores", "float32", (num_slots, num_scores, most_kept)),
    )


class Slots:
    """Hand-over from one station to the next.

    Args:
        arena: of a run.
        station: the earlier station.
        names: models whose scores are handed on.
    """

    def __init__(self, arena: Arena, station: int, names: tuple[str, ...]) -> None:
        self._size = arena[f"slot{station}.size"]
        self._columns = arena[f"slot{station}.columns"]
        self._scores = arena[f"slot{station}.scores"]
        self._names = names

    @property
    def num_slots(self) -> int:
        """Queries that fit at once."""
        return self._size.size

    def put(self, query: int, survivors: Survivors) -> None:
        """Copy a query's survivors into its slot."""
        slot, size = query % self.num_slots, survivors.columns.size
        self._size[slot] = size
        self._columns[slot, :size] = survivors.columns
        for position, name in enumerate(self._names):
            self._scores[slot, position, :size] = survivors.scores[name]

    def get(self, query: int) -> Survivors:
        """A query's survivors, copied out."""
        slot = query % self.num_slots
        size = int(self._size[slot])
        scores = {n: self._scores[slot, i, :size].copy() for i, n in enumerate(self._names)}
        return Survivors(self._columns[slot, :size].copy(), scores)


def _padded(field: Field) -> int:
    size = int(np.prod(field.shape)) * np.dtype(field.dtype).itemsize
    return -(-size // _ALIGNMENT) * _ALIGNMENT
