"""Writing a ranking graph node by node."""

from collections.abc import Iterable, Sequence

from recfunnel.core.computed import AnyComputed
from recfunnel.core.errors import ModelError
from recfunnel.core.graph import (
    AnyOp,
    Concat,
    Linear,
    RankingGraph,
    Relu,
    Sum,
    parameters_of,
)


class GraphBuilder:
    """A graph being written: nodes are added in order and named by their position.

    Adding the same operation twice gives the same node, so nothing is computed twice.

    Args:
        computed: computed tables that nodes may name from the start.
    """

    def __init__(self, computed: Iterable[AnyComputed] = ()) -> None:
        self._computed = {table.name: table for table in computed}
        self._nodes: list[AnyOp] = []
        self._positions: dict[AnyOp, int] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, position: int) -> AnyOp:
        return self._nodes[position]

    def add(self, op: AnyOp) -> int:
        """The position of an operation, new or there before."""
        if op not in self._positions:
            self._positions[op] = len(self._nodes)
            self._nodes.append(op)
        return self._positions[op]

    def compute(self, table: AnyComputed) -> str:
        """The name of a computed table, for nodes to look up.

        Raises:
            ModelError: another computed table has that name.
        """
        if self._computed.setdefault(table.name, table) != table:
            raise ModelError(f"two different computed tables are named {table.name!r}")
        return table.name

    def concat(self, parts: Sequence[int]) -> int:
        """Values side by side; one alone is itself."""
        return parts[0] if len(parts) == 1 else self.add(Concat(parts_of=tuple(parts)))

    def sum(self, terms: Sequence[int]) -> int:
        """Sum of values; one alone is itself."""
        return terms[0] if len(terms) == 1 else self.add(Sum(terms_of=tuple(terms)))

    def layers(self, x: int, names: Sequence[str], *, end_with_relu: bool = False) -> int:
        """ReLU and a linear layer for each name, one after the other.

        Args:
            x: what the first ReLU reads.
            names: each layer's parameters are NAME.weight and NAME.bias.
            end_with_relu: whether the last layer is rectified as well.

        Returns:
            The position of the last.
        """
        for name in names:
            relu = self.add(Relu(x_of=x))
            x = self.add(Linear(x_of=relu, weight=f"{name}.weight", bias=f"{name}.bias"))
        return self.add(Relu(x_of=x)) if end_with_relu else x

    def finish(self, score_of: int) -> RankingGraph:
        """The graph with all nodes added so far, and the computed tables they read."""
        named = {name for op in self._nodes for name in parameters_of(op)}
        computed = tuple(table for name, table in self._computed.items() if name in named)
        return RankingGraph(nodes=tuple(self._nodes), score_of=score_of, computed=computed)
