"""All that a call sends to the device, in one block of memory and so in one transfer.

The block is made of 4-byte words: rows of candidates and of joined tables, weights of lists, dense
features and given scores, each part a rectangle.

Letters: Q queries, B candidates (a bucket), L values of a list, S given scores.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import InvalidInput
from recfunnel.core.features import Features
from recfunnel.core.graph import Dense, Given, Lookup, Pool, RankingGraph, RowSum
from recfunnel.runtime.gpu.buckets import bucket_of
from recfunnel.runtime.gpu.leaves import (
    JoinedTables,
    ListReader,
    checked,
    fill_rectangles,
    join_tables,
    list_weights,
)

CANDIDATES, GIVEN = "candidates", "given"

ALIGNED_WORDS = 8
"""Parts begin at multiples of 32 bytes, what a GPU reads at once."""


@dataclass(frozen=True, slots=True)
class CallShape:
    """What makes two calls the same work.

    Args:
        num_queries: Q.
        num_columns: B, or how many items are scored where no candidates are named.
        first_item: first of a run of items; None where candidates are named.
        list_lengths: L of each reader of a list, in order.
    """

    num_queries: int
    num_columns: int
    first_item: int | None
    list_lengths: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Reads:
    """What a graph reads of a context and of the call.

    Args:
        joined: tables of the context's categorical features.
        lookups: for each of `joined`, positions of the lookups in it.
        lists: readers of the context's multi-valued features, by position.
        dense: likewise of its dense ones.
        given: position and width of the given scores; None without any.
        parameters: by name.
        graph: all of it.
    """

    joined: tuple[JoinedTables, ...]
    lookups: tuple[tuple[int, ...], ...]
    lists: dict[int, ListReader]
    dense: dict[int, Dense]
    given: tuple[int, int] | None
    parameters: Parameters
    graph: RankingGraph
    _columns: list[IntArray] = field(default_factory=list)
    _firsts: list[IntArray] = field(default_factory=list)
    _sizes: list[NDArray[np.uint64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for tables, positions in zip(self.joined, self.lookups, strict=True):
            ops = [self._lookup(position) for position in positions]
            self._columns.append(np.array([op.column for op in ops]))
            self._firsts.append(np.array([tables.first_rows[op.table] for op in ops]))
            self._sizes.append(np.array([len(self.parameters[op.table]) for op in ops], np.uint64))

    def list_lengths(self, context: Features) -> tuple[int, ...]:
        """L of each reader of a list, as a bucket."""
        lengths = (_column_of(op) for op in self.lists.values())
        return tuple(
            bucket_of(int(context.multi_valued[column].lengths.max(initial=0)))
            for column in lengths
        )

    def parts(self, shape: CallShape) -> dict[str, tuple[int, ...]]:
        """The rectangles of a message, by name, in order."""
        Q = shape.num_queries
        found: dict[str, tuple[int, ...]] = {}
        if shape.first_item is None:
            found[CANDIDATES] = Q, shape.num_columns
        for number, positions in enumerate(self.lookups):
            found[f"rows{number}"] = Q, len(positions)
        for position, length in zip(self.lists, shape.list_lengths, strict=True):
            found[f"ids{position}"] = found[f"weights{position}"] = Q, length
        for position, op in self.dense.items():
            found[f"dense{position}"] = Q, len(op.columns)
        if self.given is not None:
            found[GIVEN] = Q, shape.num_columns, self.given[1]
        return found

    def fill(self, message: "Message", context: Features) -> None:
        """Write a context's features.

        Raises:
            InvalidInput: an id outside its table.
        """
        for number in range(len(self.joined)):
            ids = np.asarray(context.categorical[:, self._columns[number]], np.int64)
            # Seen as unsigned, negative ids are the largest.
            if (ids.view(np.uint64) >= self._sizes[number]).any():
                self._refuse(context, number)
            message.ints(f"rows{number}")[:] = ids + self._firsts[number]
        for position, op in self.lists.items():
            lists = context.multi_valued[_column_of(op)]
            checked(lists.values, op.table, len(self.parameters[op.table]))
            weights = list_weights(lists, op, self.parameters)
            ids_into = message.ints(f"ids{position}")
            fill_rectangles(lists, weights, ids_into, message.floats(f"weights{position}"))
        for position, dense in self.dense.items():
            message.floats(f"dense{position}")[:] = context.dense[:, list(dense.columns)]

    def _refuse(self, context: Features, number: int) -> None:
        for position in self.lookups[number]:
            op = self._lookup(position)
            ids = context.categorical[:, op.column]
            checked(ids, op.table, len(self.parameters[op.table]))

    def _lookup(self, position: int) -> Lookup:
        op = self.graph.nodes[position]
        assert isinstance(op, Lookup)
        return op


def reads_of(graph: RankingGraph, parameters: Parameters) -> Reads:
    """What a graph reads of a context and of the call."""
    nodes = dict(enumerate(graph.nodes))
    lookups = {p: op for p, op in nodes.items() if isinstance(op, Lookup) and op.side == "context"}
    joined = join_tables([op.table for op in lookups.values()], parameters)
    given = [(p, op.width) for p, op in nodes.items() if isinstance(op, Given)]
    return Reads(
        joined=tuple(joined),
        lookups=tuple(
            tuple(p for p, op in lookups.items() if op.table in tables.names) for tables in joined
        ),
        lists={
            p: op
            for p, op in nodes.items()
            if isinstance(op, RowSum) or (isinstance(op, Pool) and op.side == "context")
        },
        dense={p: op for p, op in nodes.items() if isinstance(op, Dense) and op.side == "context"},
        given=given[0] if given else None,
        parameters=parameters,
        graph=graph,
    )


def _column_of(op: ListReader) -> int:
    return op.list_column if isinstance(op, RowSum) else op.column


class Message:
    """The block of one shape of call, here and on the device.

    Args:
        parts: rectangles by name, in order.
        device: where it goes; on `cpu` both are the same memory.
    """

    def __init__(self, parts: dict[str, tuple[int, ...]], device: str) -> None:
        self._places: dict[str, tuple[slice, tuple[int, ...]]] = {}
        size = 0
        for name, shape in parts.items():
            self._places[name] = slice(size, size + prod(shape)), shape
            size += -(-prod(shape) // ALIGNED_WORDS) * ALIGNED_WORDS
        stays = device == "cpu"
        # Pinned memory is what the device can copy from while the caller goes on.
        self._host = torch.zeros(size, dtype=torch.int32, pin_memory=not stays)
        self._device = self._host if stays else torch.empty_like(self._host, device=device)
        self._ints: NDArray[np.int32] = self._host.numpy()
        self._floats: FloatArray = self._ints.view(np.float32)
        self._device_floats = self._device.view(torch.float32)

    @property
    def size_bytes(self) -> int:
        """Memory on the device."""
        return self._device.nbytes

    def ints(self, name: str) -> NDArray[np.int32]:
        """A part, to be written."""
        span, shape = self._places[name]
        return self._ints[span].reshape(shape)

    def floats(self, name: str) -> FloatArray:
        """A part, to be written."""
        span, shape = self._places[name]
        return self._floats[span].reshape(shape)

    def rehearse(self, num_items: int) -> None:
        """Write something valid: different candidates, id 0 of everything else.

        Args:
            num_items: of the catalogue.
        """
        self._ints[:] = 0
        if CANDIDATES in self._places:
            into = self.ints(CANDIDATES)
            into[:] = np.arange(into.shape[1]) % num_items

    def send(self) -> None:
        """Start the transfer, in the order of the current stream."""
        if self._device is not self._host:
            self._device.copy_(self._host, non_blocking=True)

    def sent_ints(self, name: str) -> Tensor:
        """A part on the device."""
        span, shape = self._places[name]
        return self._device[span].view(shape)

    def sent_floats(self, name: str) -> Tensor:
        """A part on the device."""
        span, shape = self._places[name]
        return self._device_floats[span].view(shape)


def fill_columns(
    message: Message, candidates: IntArray | None, given: FloatArray | None, num_items: int
) -> None:
    """Write candidates and given scores, the last of each repeated up to the bucket.

    Raises:
        InvalidInput: a candidate that is no item.
    """
    if candidates is not None:
        candidates = np.asarray(candidates, np.int64)
        if candidates.view(np.uint64).max() >= num_items:
            raise InvalidInput(
                f"candidates must be rows 0 to {num_items - 1} of the items, "
                f"got {candidates.min()} to {candidates.max()}"
            )
        _pad(message.ints(CANDIDATES), candidates)
    if given is not None:
        _pad(message.floats(GIVEN), given)


def _pad(into: NDArray[Any], values: NDArray[Any]) -> None:
    size = values.shape[1]
    into[:, :size] = values
    into[:, size:] = values[:, -1:]
