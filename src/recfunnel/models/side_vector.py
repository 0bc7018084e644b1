"""One vector that sums up a whole side: its ids, its lists and its numbers.

Apart from `vectors`, which it is made of: DLRM interacts the single vectors and never sums them.

Letters: N rows, d dimensions.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from recfunnel.core.features import FeatureSchema, Side
from recfunnel.core.graph import Linear
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.models.base import TensorFeatures
from recfunnel.models.embeddings.base import FLOAT_BYTES, EmbeddingCost, EmbeddingSpec
from recfunnel.models.vectors import (
    FeatureVectors,
    add_dense,
    add_vectors,
    dense_columns,
    take_columns,
    used,
    vectors_cost,
)


class SideVector(nn.Module):
    """Sum of the vectors of all features with ids and of a map of the dense ones.

    Where a representation gives an id several vectors, all of them are added. A side without any
    feature has the vector 0.

    Args:
        schema: names the features.
        side: whose features.
        without: names of features to leave out.
        embedding: representation of every feature's ids.
        dim: d.
    """

    def __init__(
        self,
        schema: FeatureSchema,
        side: Side,
        without: Sequence[str],
        embedding: EmbeddingSpec,
        dim: int,
    ) -> None:
        super().__init__()
        self.vectors = FeatureVectors(schema, side, without, embedding, dim)
        self.columns = dense_columns(schema, side, without)
        num_dense = len(used(schema, side, "dense", without))
        self.dense = nn.Linear(num_dense, dim) if num_dense else None

    def forward(self, features: TensorFeatures) -> Tensor:
        """(N, d)."""
        total: Tensor = self.vectors(features).sum(dim=1)
        if self.dense is None:
            return total
        mapped: Tensor = self.dense(take_columns(features.dense, self.columns))
        return total + mapped


def add_side_vector(
    graph: GraphBuilder,
    schema: FeatureSchema,
    side: Side,
    without: Sequence[str],
    embedding: EmbeddingSpec,
    name: str,
    dim: int,
) -> list[int]:
    """Write the terms of `SideVector` into a graph.

    Args:
        graph: being written.
        schema: names the features.
        side: whose features.
        without: names of features to leave out.
        embedding: representation of every feature's ids.
        name: of the `SideVector` in its network.
        dim: d.

    Returns:
        Positions of what adds up to the vector; none for a side without any feature.
    """
    terms = add_vectors(graph, schema, side, without, embedding, f"{name}.vectors", dim)
    dense = add_dense(graph, schema, side, without)
    if dense is not None:
        weight, bias = f"{name}.dense.weight", f"{name}.dense.bias"
        terms.append(graph.add(Linear(x_of=dense, weight=weight, bias=bias)))
    return terms


def side_vector_cost(
    schema: FeatureSchema, side: Side, without: Sequence[str], embedding: EmbeddingSpec, dim: int
) -> EmbeddingCost:
    """Work of one row of `SideVector`, and its parameters."""
    lookups = vectors_cost(schema, side, without, embedding, dim)
    num_dense = len(used(schema, side, "dense", without))
    weights = dim * num_dense
    weight_bytes = FLOAT_BYTES * (weights + dim * bool(num_dense))
    return lookups + EmbeddingCost(
        flops_per_lookup=2.0 * weights,
        read_bytes_per_lookup=0.0,
        parameter_bytes=weight_bytes,
        weight_bytes=weight_bytes,
    )
