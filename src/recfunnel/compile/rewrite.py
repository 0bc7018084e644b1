"""What every pass works with: a graph seen whole, and a new one written beside it.

A pass is a rule. It looks at one node of the old graph and either lets it be copied or writes
something equal into the new one.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.widths import Parameters, node_widths
from recfunnel.core.computed import AnyComputed
from recfunnel.core.graph import (
    Affine,
    AnyOp,
    Linear,
    Lookup,
    NodeSide,
    Pool,
    RankingGraph,
    Slice,
    parameters_of,
    reads,
    with_reads,
)
from recfunnel.core.graph_builder import GraphBuilder

Model = tuple[RankingGraph, Parameters]
"""A graph and its parameters: what a pass takes and gives."""


class View:
    """A graph with what follows from it: sides, widths and readers of each node.

    A node that reads another twice is two of its readers.

    Args:
        graph: a whole model.
        parameters: by name.
    """

    def __init__(self, graph: RankingGraph, parameters: Parameters) -> None:
        self.graph, self.parameters = graph, parameters
        self.sides: tuple[NodeSide, ...] = graph.sides()
        self.widths = node_widths(graph, parameters)
        self.readers: list[list[int]] = [[] for _ in graph.nodes]
        for position, op in enumerate(graph.nodes):
            for read in reads(op):
                self.readers[read].append(position)

    def __getitem__(self, position: int) -> AnyOp:
        return self.graph.nodes[position]

    def is_read_once(self, position: int) -> bool:
        """Whether nothing else would need the node if its only reader did without."""
        return len(self.readers[position]) + (position == self.graph.score_of) == 1

    def weight(self, name: str) -> NDArray[Any]:
        """A layer's (N, K)."""
        return np.atleast_2d(self.parameters[name])

    def dead_bytes(self, position: int, still_read: Iterable[int]) -> int:
        """Bytes of parameters nobody would read if a node read only some others.

        Args:
            position: of the node.
            still_read: positions it would read.

        Returns:
            Bytes of whole parameters, and of columns of tables that nobody reads.
        """
        alive = _reachable(self.graph, {position: tuple(still_read)})
        return self._bytes(range(len(self.graph.nodes))) - self._bytes(alive, skip=position)

    def _bytes(self, nodes: Iterable[int], skip: int = -1) -> int:
        alive = set(nodes)
        columns: dict[str, set[int]] = {}
        for position in alive - {skip}:
            for name in self._read_by(position):
                columns.setdefault(name, set()).update(self._columns(position, name, alive))
        sizes = {name: self.parameters[name] for name in columns}
        return sum(
            array.nbytes if array.ndim < 2 else array.nbytes // array.shape[1] * len(columns[name])
            for name, array in sizes.items()
            if array.size
        )

    def is_stored(self, table: str) -> bool:
        """Whether a table that nodes look up is a parameter, not a computed table."""
        return table in self.parameters

    def _read_by(self, position: int) -> list[str]:
        """Parameters a node reads, those of computed tables among them."""
        computed = self.graph.computed_by_name
        found: list[str] = []
        for name in parameters_of(self[position]):
            found += computed[name].parameter_names if name in computed else (name,)
        return found

    def _columns(self, position: int, name: str, alive: set[int]) -> set[int]:
        """Columns of a parameter that a node reads, as far as its readers are alive."""
        every = set(range(self.parameters[name].shape[-1]))
        op = self[position]
        if not isinstance(op, Lookup | Pool) or op.table != name:
            return every
        if position == self.graph.score_of:
            return every
        found: set[int] = set()
        for reader in alive.intersection(self.readers[position]):
            by = self[reader]
            found |= set(range(by.start, by.stop)) if isinstance(by, Slice) else every
        return found


class Draft(GraphBuilder):
    """The new graph, and its parameters.

    Args:
        parameters: of the old graph; new ones join them under names of their own.
        computed: computed tables of the old graph.
    """

    def __init__(self, parameters: Parameters, computed: Iterable[AnyComputed]) -> None:
        super().__init__(computed)
        self.parameters = dict(parameters)
        self._moved: dict[int, int] = {}

    def at(self, old: int) -> int:
        """Where a node of the old graph has gone."""
        return self._moved[old]

    def all_at(self, old: Sequence[int]) -> list[int]:
        """Where nodes of the old graph have gone."""
        return [self._moved[position] for position in old]

    def move(self, old: int, new: int) -> None:
        """Say where a node of the old graph has gone."""
        self._moved[old] = new

    def copy(self, op: AnyOp) -> int:
        """An operation of the old graph as it was."""
        return self.add(with_reads(op, self._moved))

    def make(self, name: str, array: NDArray[Any], *sources: str) -> str:
        """Store a new parameter in the type its sources have.

        Args:
            name: to begin its name with.
            array: computed in float64.
            sources: names of the parameters it was computed from.

        Returns:
            Its name.
        """
        dtype = np.result_type(np.float32, *(self.parameters[s].dtype for s in sources))
        number = 1
        while f"{name}.{number}" in self.parameters:
            number += 1
        self.parameters[f"{name}.{number}"] = np.ascontiguousarray(array, dtype)
        return f"{name}.{number}"

    def linear(self, x: int, weight: str, bias: str = "") -> int:
        """A linear layer."""
        return self.add(Linear(x_of=x, weight=weight, bias=bias))

    def add_bias(self, x: int, bias: str) -> int:
        """x + bias, as a linear layer's own bias where x is one without; empty adds nothing."""
        if not bias:
            return x
        op = self[x]
        if isinstance(op, Linear) and not op.bias:
            return self.linear(op.x_of, op.weight, bias)
        negative = self.make(f"{bias}.negative", -doubles(self.parameters[bias]), bias)
        return self.add(Affine(x_of=x, subtract=negative))


Rule = Callable[[View, Draft, int], int | None]
"""Writes something equal to an old node and returns its position; None has the node copied."""


def doubles(array: NDArray[Any]) -> NDArray[np.float64]:
    """An array in float64, to compute with."""
    return np.asarray(array, np.float64)


def sweep(graph: RankingGraph, parameters: Parameters, rule: Rule) -> Model:
    """Apply a rule to every node once, and drop what is not read any more."""
    view, draft = View(graph, parameters), Draft(parameters, graph.computed)
    for position, op in enumerate(graph.nodes):
        new = rule(view, draft, position)
        draft.move(position, draft.copy(op) if new is None else new)
    return tidy(draft.finish(draft.at(graph.score_of)), draft.parameters)


def sweep_until_settled(graph: RankingGraph, parameters: Parameters, rule: Rule) -> Model:
    """Apply a rule until it changes nothing."""
    while True:
        changed, new_parameters = sweep(graph, parameters, rule)
        if changed == graph:
            return graph, parameters
        graph, parameters = changed, new_parameters


def tidy(graph: RankingGraph, parameters: Parameters) -> Model:
    """The graph without nodes that the score does not need, and without parameters nobody reads."""
    alive = _reachable(graph, {})
    builder = GraphBuilder(graph.computed)
    moved: dict[int, int] = {}
    for position in sorted(alive):
        moved[position] = builder.add(with_reads(graph.nodes[position], moved))
    tidied = builder.finish(moved[graph.score_of])
    kept = tidied.parameter_names
    return tidied, {name: array for name, array in parameters.items() if name in kept}


def _reachable(graph: RankingGraph, changed: dict[int, tuple[int, ...]]) -> set[int]:
    """Positions the score needs, with other reads for some nodes."""
    found, waiting = set(), [graph.score_of]
    while waiting:
        position = waiting.pop()
        if position not in found:
            found.add(position)
            waiting += changed.get(position, reads(graph.nodes[position]))
    return found
