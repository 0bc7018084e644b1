"""What stays on the device between calls: item states, tables of the context, layers.

Letters: N items, Q queries, B candidates, w width of a state, T table rows, d dimensions, L values
of a list, J columns of a table that is summed over rows.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recfunnel.compile.rewrite import View
from recfunnel.compile.widths import Parameters
from recfunnel.core.features import Features
from recfunnel.core.graph import Lookup, Pool, RowSum, parameters_of, reads
from recfunnel.runtime.gpu.head import FusedHead, find_head
from recfunnel.runtime.gpu.leaves import checked, item_leaves
from recfunnel.runtime.gpu.message import CANDIDATES, GIVEN, CallShape, Message, Reads, reads_of
from recfunnel.runtime.gpu.network import Network, Values

FLOAT_BYTES = 4

ITEMS_AT_ONCE = 1 << 16

CELL_COST = 4
"""Reading a cell of a table by itself costs about as much as so many of a row in order."""


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Bytes on the device.

    Args:
        table_bytes: tables that contexts and lists read.
        layer_bytes: weights.
        item_bytes: states of all items.
    """

    table_bytes: int
    layer_bytes: int
    item_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of them."""
        return self.table_bytes + self.layer_bytes + self.item_bytes


class Resident:
    """A model on the device, ready for messages.

    Args:
        view: its graph, hoisted.
        items: N rows.
        device: torch's name of it.
        low: whether states, layers and dots of pairs are bfloat16.
    """

    def __init__(self, view: View, items: Features, device: str, *, low: bool) -> None:
        graph, parameters = view.graph, view.parameters
        self.reads: Reads = reads_of(graph, parameters)
        self.num_items, self._device = len(items), device
        self._score_of = graph.score_of
        mine = [p for p, side in enumerate(view.sides) if side != "candidate"]
        self._network = Network(view, mine, device, low=low)
        self._states = _item_states(view, items, device, low=low)
        plan = find_head(view)
        self.head = None if plan is None else FusedHead(plan, view, self._network, self._states)
        """The end of the graph as one kernel; None where there is no such end."""
        self._ids = {
            position: _ids(op, items, parameters).to(device)
            for position, op in self.reads.lists.items()
            if isinstance(op, RowSum)
        }
        self._joined = [torch.from_numpy(tables.rows).to(device) for tables in self.reads.joined]
        self._tables = {
            op.table: torch.from_numpy(np.array(parameters[op.table], np.float32)).to(device)
            for op in self.reads.lists.values()
        }

    @property
    def memory(self) -> DeviceMemory:
        """What it takes of the device."""
        tables = [*self._joined, *self._tables.values()]
        states = [*self._states.values(), *self._ids.values()]
        return DeviceMemory(
            table_bytes=sum(tensor.nbytes for tensor in tables),
            layer_bytes=self._network.parameter_bytes,
            item_bytes=sum(tensor.nbytes for tensor in states),
        )

    def scores(self, message: Message, shape: CallShape, *, fused: bool = False) -> Tensor:
        """Start the work on a message that has been sent.

        Args:
            message: sent before, in the current stream.
            shape: its own.
            fused: whether the end of the graph is one kernel; of single queries only.

        Returns:
            float32 (Q, B), on the device.
        """
        head = self.head if fused else None
        values = self._item_values(message, shape, head.ungathered if head else frozenset())
        for number, positions in enumerate(self.reads.lookups):
            rows = message.sent_ints(f"rows{number}")
            found = self._joined[number].index_select(0, rows.view(-1)).view(*rows.shape, -1)
            values |= {p: found[:, i : i + 1] for i, p in enumerate(positions)}
        for position in self.reads.dense:
            values[position] = message.sent_floats(f"dense{position}").unsqueeze(1)
        for position in self.reads.lists:
            values[position] = self._list_value(position, message, shape)
        if self.reads.given is not None:
            values[self.reads.given[0]] = message.sent_floats(GIVEN)
        if head is None:
            self._network.run(values)
        else:
            named = shape.first_item is None
            candidates = message.sent_ints(CANDIDATES)[0] if named else None
            instead = head.in_place(candidates, shape.first_item or 0, shape.num_columns)
            self._network.run(values, instead, head.inside)
        score = values[self._score_of].float()
        if self._score_of in self._states:
            score = score.clone()  # a CUDA graph without any work would be refused
        return score.expand(shape.num_queries, shape.num_columns, 1).squeeze(2)

    def _item_values(self, message: Message, shape: CallShape, without: frozenset[int]) -> Values:
        """States of the candidates, (Q, B, w), or of a run of items, (1, B, w)."""
        return {
            p: self._of_candidates(state, message, shape)
            for p, state in self._states.items()
            if p not in without
        }

    def _of_candidates(self, state: Tensor, message: Message, shape: CallShape) -> Tensor:
        if shape.first_item is not None:
            return state[shape.first_item : shape.first_item + shape.num_columns].unsqueeze(0)
        rows = message.sent_ints(CANDIDATES)
        return state.index_select(0, rows.view(-1)).view(*rows.shape, *state.shape[1:])

    def _list_value(self, position: int, message: Message, shape: CallShape) -> Tensor:
        op = self.reads.lists[position]
        ids = message.sent_ints(f"ids{position}")
        weights = message.sent_floats(f"weights{position}")
        table = self._tables[op.table]
        if not isinstance(op, RowSum):
            return _weighted_rows(table, ids, weights).unsqueeze(1)
        wanted = self._of_candidates(self._ids[position], message, shape)
        if len(ids) == 1 and wanted.shape[1] * CELL_COST < table.shape[1]:
            cells = table[ids[0].long().unsqueeze(1), wanted[0].long()]
            return torch.matmul(weights, cells).unsqueeze(2)
        sums = _weighted_rows(table, ids, weights)
        if len(wanted) == 1:
            return sums.index_select(1, wanted[0]).unsqueeze(2)
        return sums.gather(1, wanted.long()).unsqueeze(2)


def needed_bytes(view: View, num_items: int, *, low: bool) -> DeviceMemory:
    """What a model will take of a device, before any of it is taken.

    Args:
        view: its graph, hoisted.
        num_items: N.
        low: as for `Resident`.
    """
    tables: set[str] = set()
    layers, per_item = 0, 0
    for position, op in enumerate(view.graph.nodes):
        side, names = view.sides[position], parameters_of(op)
        if isinstance(op, RowSum):
            tables.add(op.table)
            per_item += FLOAT_BYTES
        elif side == "context" and isinstance(op, Lookup | Pool):
            tables.add(op.table)
        elif side != "candidate":
            layers += FLOAT_BYTES * sum(view.parameters[name].size for name in names)
    for position in _frontier(view):
        width = view.widths[position]
        per_item += width * (FLOAT_BYTES // 2 if low and width > 1 else FLOAT_BYTES)
    table_bytes = FLOAT_BYTES * sum(view.parameters[name].size for name in tables)
    return DeviceMemory(table_bytes, layers, per_item * num_items)


def _weighted_rows(table: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    """(Q, d), sums of weight times row. One query's rows are read side by side, not in a loop."""
    if len(ids) == 1:
        return torch.matmul(weights, table.index_select(0, ids[0]))
    return functional.embedding_bag(ids, table, mode="sum", per_sample_weights=weights)


def _item_states(view: View, items: Features, device: str, *, low: bool) -> dict[int, Tensor]:
    """Nodes of items that pairs read, (N, w): computed here in steps, kept on the device."""
    wanted = _frontier(view)
    mine = [p for p, side in enumerate(view.sides) if side == "candidate"]
    network = Network(view, mine, "cpu")
    states = {}
    for p in wanted:
        dtype = torch.bfloat16 if low and view.widths[p] > 1 else torch.float32
        states[p] = torch.empty((len(items), view.widths[p]), dtype=dtype, device=device)
    for start in range(0, len(items), ITEMS_AT_ONCE):
        rows = np.arange(start, min(start + ITEMS_AT_ONCE, len(items)))
        leaves = item_leaves(view.graph, view.parameters, items.take(rows))
        values = {p: torch.from_numpy(leaf).unsqueeze(0) for p, leaf in leaves.items()}
        network.run(values)
        for p in wanted:
            states[p][start : start + len(rows)].copy_(values[p][0])
    return states


def _frontier(view: View) -> list[int]:
    """Nodes of items that something of another side reads, or that are the score."""
    found = {view.graph.score_of} | {
        read
        for position, op in enumerate(view.graph.nodes)
        if view.sides[position] == "pair"
        for read in reads(op)
    }
    return sorted(p for p in found if view.sides[p] == "candidate")


def _ids(op: RowSum, items: Features, parameters: Parameters) -> Tensor:
    """(N,), the column of the table that is each item's."""
    ids = items.categorical[:, op.id_column]
    checked(ids, op.table, parameters[op.table].shape[1])
    return torch.from_numpy(ids.astype(np.int32))
