"""The measured models as ranking graphs, written as their papers do: nothing split, nothing folded.

What a runtime makes of a graph is its own work, and part of what is measured.
"""

from recfunnel.bench.shapes import ITEM_FEATURES, NUM_DENSE, DLRMShape, NeuMFShape, Setting
from recfunnel.core.features import Side
from recfunnel.core.graph import Dense, Linear, Lookup, Multiply, PairDots, RankingGraph, Relu
from recfunnel.core.graph_builder import GraphBuilder


def feature_side(feature: int, setting: Setting) -> Side:
    """Whose a categorical feature is."""
    return "candidate" if setting == "plain" or feature in ITEM_FEATURES else "context"


def feature_columns(num_features: int, setting: Setting) -> tuple[tuple[Side, int], ...]:
    """Side and column, among those of its side, of each categorical feature."""
    counts: dict[Side, int] = {"context": 0, "candidate": 0}
    columns: list[tuple[Side, int]] = []
    for feature in range(num_features):
        side = feature_side(feature, setting)
        columns.append((side, counts[side]))
        counts[side] += 1
    return tuple(columns)


def dlrm_graph(shape: DLRMShape, num_features: int, setting: Setting) -> RankingGraph:
    """One list of all vectors, one set of dots over them, one top network.

    Args:
        shape: widths.
        num_features: categorical ones.
        setting: whose the features are.
    """
    graph = GraphBuilder()
    dense: Side = "candidate" if setting == "plain" else "context"
    x = graph.add(Dense(side=dense, columns=tuple(range(NUM_DENSE))))
    for layer in range(len(shape.bottom)):
        x = graph.add(Relu(x_of=_linear(graph, x, f"bottom.{layer}")))
    vectors = [
        graph.add(Lookup(side=side, column=column, table=f"tables.{feature}"))
        for feature, (side, column) in enumerate(feature_columns(num_features, setting))
    ]
    dots = graph.add(PairDots(x_of=graph.concat([x, *vectors]), dim=shape.dim))
    y = _linear(graph, graph.concat([x, dots]), "top.0")
    for layer in range(1, len(shape.top)):
        y = _linear(graph, graph.add(Relu(x_of=y)), f"top.{layer}")
    return graph.finish(y)


def neumf_graph(shape: NeuMFShape) -> RankingGraph:
    """A product of two short vectors and a network on two long ones, read by one layer.

    Args:
        shape: widths.
    """
    graph = GraphBuilder()
    sides: tuple[Side, Side] = ("context", "candidate")
    short, long = (
        [
            graph.add(Lookup(side=side, column=0, table=f"{who}.{part}"))
            for side, who in zip(sides, ("user", "item"), strict=True)
        ]
        for part in ("short", "long")
    )
    x = graph.concat(long)
    for layer in range(len(shape.tower) - 1):
        x = graph.add(Relu(x_of=_linear(graph, x, f"tower.{layer}")))
    product = graph.add(Multiply(x_of=short[1], y_of=short[0]))
    return graph.finish(_linear(graph, graph.concat([product, x]), "head.0"))


def _linear(graph: GraphBuilder, x: int, name: str) -> int:
    return graph.add(Linear(x_of=x, weight=f"{name}.weight", bias=f"{name}.bias"))
