"""The graph of `DLRM`, split as its network is.

Letters: U and V vectors of context and item.
"""

from recfunnel.core.features import FeatureSchema, Side
from recfunnel.core.graph import CrossDots, PairDots, RankingGraph
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.models.dlrm_network import DLRMShape
from recfunnel.models.embeddings.base import EmbeddingSpec
from recfunnel.models.layers import add_after_first, add_split_linear
from recfunnel.models.vectors import add_dense, add_vectors


def dlrm_graph(
    shape: DLRMShape, schema: FeatureSchema, without: tuple[str, ...], embedding: EmbeddingSpec
) -> RankingGraph | None:
    """What `DLRMNetwork` computes.

    Args:
        shape: widths.
        schema: features.
        without: names of features it does not read.
        embedding: representation of ids, one that a graph can say.

    Returns:
        The graph; None when there is a single vector and so nothing for the top network to read.
    """
    graph, d = GraphBuilder(), shape.embedding_dim
    bottom = _bottom(graph, shape, schema, without)

    def vectors(side: Side, name: str) -> list[int]:
        own = add_vectors(graph, schema, side, without, embedding, name, d)
        return [bottom, *own] if bottom is not None and shape.side == BOTTOM_OF[side] else own

    context = vectors("context", "context_vectors")
    items = vectors("candidate", "item_vectors")
    interacted = _vectors if shape.interaction == "concat" else _dots
    first = add_split_linear(graph, "top_first", **interacted(graph, shape, context, items, bottom))
    if first is None:
        return None
    return graph.finish(add_after_first(graph, first, "top_rest", len(shape.top) - 1))


def _vectors(
    _graph: GraphBuilder,
    shape: DLRMShape,
    context: list[int],
    items: list[int],
    bottom: int | None,
) -> dict[str, list[int]]:
    """What the top network reads of each side and of the pair: all vectors."""
    mixed = [bottom] if bottom is not None and shape.side == "mixed" else []
    return {"context": context, "items": items, "mixed": mixed}


def _dots(
    graph: GraphBuilder,
    shape: DLRMShape,
    context: list[int],
    items: list[int],
    bottom: int | None,
) -> dict[str, list[int]]:
    """What the top network reads of each side and of the pair: the bottom vector and all dots."""
    d = shape.embedding_dim
    inputs: dict[str, list[int]] = {"context": [], "items": [], "mixed": []}
    if bottom is not None:
        inputs[shape.side].append(bottom)
    if len(context) > 1:
        inputs["context"].append(graph.add(PairDots(x_of=graph.concat(context), dim=d)))
    if len(items) > 1:
        inputs["items"].append(graph.add(PairDots(x_of=graph.concat(items), dim=d)))

    def cross(x: list[int], y: list[int]) -> None:
        if x and y:
            dots = CrossDots(x_of=graph.concat(x), y_of=graph.concat(y), dim=d)
            inputs["mixed"].append(graph.add(dots))

    if bottom is not None and shape.side == "mixed":
        cross([bottom], context)
        cross(items, [bottom])
    cross(items, context)
    return inputs


BOTTOM_OF = {"context": "context", "candidate": "items"}
"""A side, as `DLRMShape.side` calls it."""


def _bottom(
    graph: GraphBuilder, shape: DLRMShape, schema: FeatureSchema, without: tuple[str, ...]
) -> int | None:
    """The bottom network's vector; None without dense features."""
    context = add_dense(graph, schema, "context", without)
    items = add_dense(graph, schema, "candidate", without)
    first = add_split_linear(
        graph,
        "bottom_first",
        context=[] if context is None else [context],
        items=[] if items is None else [items],
    )
    if first is None:
        return None
    num_layers = len(shape.bottom) - 1
    return add_after_first(graph, first, "bottom_rest", num_layers, end_with_relu=True)
