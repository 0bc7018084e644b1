"""Embedding vectors of one side of a schema.

Letters: N rows, F vectors a row, k vectors an id, d dimensions, V values of a ragged feature.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, FeatureKind, FeatureSchema, Side
from recfunnel.core.graph import Dense
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.models.base import TensorFeatures, TensorRagged
from recfunnel.models.embeddings.base import NO_COST, EmbeddingCost, EmbeddingSpec

PARTS: tuple[tuple[FeatureKind, str], ...] = (
    ("categorical", "single"),
    ("multi_valued", "multiple"),
)
"""Where `FeatureVectors` keeps the embeddings of each kind of feature, in order."""


class FeatureVectors(nn.Module):
    """The vectors of each categorical and each multi-valued feature of a side, in that order.

    One an id with most representations. A multi-valued feature's vector is the weighted mean of its
    values'; an empty list gives zeros.

    Args:
        schema: names the features and their columns.
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
        embedding.check(schema)
        self.dim = dim
        categorical = used(schema, side, "categorical", without)
        multi_valued = used(schema, side, "multi_valued", without)
        self.columns = tuple(schema.column(feature.name) for feature in categorical)
        self.lists = tuple(schema.column(feature.name) for feature in multi_valued)
        self.single = nn.ModuleList(embedding.build(feature, dim) for feature in categorical)
        self.multiple = nn.ModuleList(embedding.build(feature, dim) for feature in multi_valued)

    def forward(self, features: TensorFeatures) -> Tensor:
        """(N, F, d)."""
        ids = features.categorical
        found = [e(ids[:, c]) for e, c in zip(self.single, self.columns, strict=True)]
        for embedding, number in zip(self.multiple, self.lists, strict=True):
            found.append(weighted_mean(embedding, features.multi_valued[number]))
        if not found:
            return features.dense.new_zeros((len(features), 0, self.dim))
        return torch.cat(found, dim=1).view(len(features), -1, self.dim)


def used(
    schema: FeatureSchema, side: Side, kind: FeatureKind, without: Sequence[str]
) -> tuple[Feature, ...]:
    """Features of a side and kind, less those left out.

    Raises:
        StudyError: a name to leave out is no feature.
    """
    known = {feature.name for feature in schema.features}
    for name in without:
        if name not in known:
            raise StudyError(f"no feature {name!r} to leave out; known: {', '.join(sorted(known))}")
    return tuple(f for f in schema.select(side, kind) if f.name not in without)


def features_with_ids(
    schema: FeatureSchema, side: Side, without: Sequence[str]
) -> tuple[Feature, ...]:
    """Categorical and then multi-valued features of a side, less those left out."""
    single = used(schema, side, "categorical", without)
    return single + used(schema, side, "multi_valued", without)


def dense_columns(
    schema: FeatureSchema, side: Side, without: Sequence[str]
) -> tuple[int, ...] | None:
    """Columns of the dense features that are read; None means all of them."""
    features = used(schema, side, "dense", without)
    if len(features) == len(schema.select(side, "dense")):
        return None
    return tuple(schema.column(feature.name) for feature in features)


def take_columns(dense: Tensor, columns: tuple[int, ...] | None) -> Tensor:
    """Some columns of (N, D); None takes all without a copy."""
    return dense if columns is None else dense[:, list(columns)]


def weighted_sum(embedding: nn.Module, ragged: TensorRagged) -> Tensor:
    """(N, k·d), the sum over each row of weight times vectors; zeros for an empty row."""
    num_rows = ragged.offsets.shape[0] - 1
    if isinstance(embedding, nn.Embedding):
        return functional.embedding_bag(
            ragged.values,
            embedding.weight,
            ragged.offsets[:-1],
            mode="sum",
            sparse=embedding.sparse,
            per_sample_weights=ragged.weights,
        )
    vectors: Tensor = embedding(ragged.values) * ragged.weights.unsqueeze(1)
    return vectors.new_zeros((num_rows, vectors.shape[1])).index_add(0, row_ids(ragged), vectors)


def weighted_mean(embedding: nn.Module, ragged: TensorRagged) -> Tensor:
    """(N, k·d), `weighted_sum` divided by the sum of the weights' magnitudes."""
    total = weight_norm(ragged, power=1)
    return weighted_sum(embedding, ragged) / total.clamp_min(1e-12).unsqueeze(1)


def weight_norm(ragged: TensorRagged, *, power: int) -> Tensor:
    """(N,), sum of |weight| (power 1) or of weight² (power 2) over each row; 0 when empty."""
    sizes = ragged.weights.abs() if power == 1 else ragged.weights.square()
    num_rows = ragged.offsets.shape[0] - 1
    if num_rows == 1:
        return sizes.sum(dim=0, keepdim=True)
    return sizes.new_zeros(num_rows).index_add(0, row_ids(ragged), sizes)


def row_ids(ragged: TensorRagged) -> Tensor:
    """(V,), the row each value belongs to."""
    lengths = ragged.offsets.diff()
    rows = torch.arange(lengths.shape[0], device=lengths.device)
    return torch.repeat_interleave(rows, lengths)


def add_vectors(
    graph: GraphBuilder,
    schema: FeatureSchema,
    side: Side,
    without: Sequence[str],
    embedding: EmbeddingSpec,
    name: str,
    dim: int,
) -> list[int]:
    """Write the vectors of `FeatureVectors` into a graph.

    Args:
        graph: being written.
        schema: names the features and their columns.
        side: whose features.
        without: names of features to leave out.
        embedding: representation of every feature's ids.
        name: of the `FeatureVectors` in its network.
        dim: d.

    Returns:
        Their positions, in order.
    """
    embedding.check(schema)
    found: list[int] = []
    for kind, part in PARTS:
        for number, feature in enumerate(used(schema, side, kind, without)):
            own = f"{name}.{part}.{number}"
            found += embedding.add_to(graph, feature, schema.column(feature.name), own, dim=dim)
    return found


def add_dense(
    graph: GraphBuilder, schema: FeatureSchema, side: Side, without: Sequence[str]
) -> int | None:
    """Write the dense features of a side that are read into a graph; None when there are none."""
    columns = tuple(schema.column(f.name) for f in used(schema, side, "dense", without))
    return graph.add(Dense(side=side, columns=columns)) if columns else None


def vectors_cost(
    schema: FeatureSchema, side: Side, without: Sequence[str], embedding: EmbeddingSpec, dim: int
) -> EmbeddingCost:
    """Work of one row of `FeatureVectors`, and its parameters.

    A multi-valued feature counts as one lookup: the schema does not know how long its lists are.
    """
    embedding.check(schema)
    costs = (embedding.cost(f, dim) for f in features_with_ids(schema, side, without))
    return sum(costs, start=NO_COST)


def feature_bytes(schema: FeatureSchema, side: Side, without: Sequence[str]) -> int:
    """Bytes of one row of features as stored: 8 an id, 4 a number."""
    num_ids = len(used(schema, side, "categorical", without))
    num_lists = len(used(schema, side, "multi_valued", without))
    return 8 * (num_ids + num_lists) + 4 * len(used(schema, side, "dense", without))
