"""NeuMF (He et al., 2017): a factorisation and a network side by side.

Letters: Q queries, N item rows, C candidates, M factorisation width, T tower input width.
"""

import torch
from torch import Tensor, nn

from recfunnel.core.errors import StudyError
from recfunnel.core.features import FeatureSchema, Side
from recfunnel.core.graph import Linear, Multiply, RankingGraph, Slice
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.model import ModelCost
from recfunnel.core.spec import Spec
from recfunnel.models.base import ModelSpec, RankingModel, TensorFeatures, models
from recfunnel.models.embeddings.base import FLOAT_BYTES, EmbeddingSpec
from recfunnel.models.embeddings.table import Table
from recfunnel.models.layers import (
    SplitLinear,
    add_after_first,
    add_split_linear,
    after_first,
    dots,
    macs,
    num_parameters,
)
from recfunnel.models.refusals import refuse_score_inputs
from recfunnel.models.side_vector import SideVector, add_side_vector, side_vector_cost
from recfunnel.models.vectors import feature_bytes

SIDE_VECTORS: dict[Side, str] = {"context": "context_vector", "candidate": "item_vector"}
"""What the network calls each side's vector."""


@models.register
class NeuMF(Spec, ModelSpec, frozen=True, tag="neumf"):
    """Weighted product of two short vectors, plus a network on two long ones.

    Each side's short and long vector lie in one row of length `mf_dim + mlp_dim`: the sum of a
    vector an id and a linear map of the dense features. A representation with several vectors an id
    adds them up.

    Args:
        mf_dim: length of the vectors that are multiplied.
        mlp_dim: length of the vectors that the network reads, one of each side.
        hidden: widths of the network's hidden layers, at least one.
        use_features: read all features; false reads the two ids alone, as in the paper.
        without: names of features it does not read.
        embedding: representation of ids.
    """

    mf_dim: int = 16
    mlp_dim: int = 64
    hidden: tuple[int, ...] = (64, 32)
    use_features: bool = True
    without: tuple[str, ...] = ()
    embedding: EmbeddingSpec = Table()

    def __post_init__(self) -> None:
        if not self.hidden or min(self.mf_dim, self.mlp_dim, *self.hidden) < 1:
            raise StudyError(
                "neumf needs at least one hidden layer, and every width at least 1; "
                f"got mf_dim {self.mf_dim}, mlp_dim {self.mlp_dim}, hidden {self.hidden}"
            )

    def build(self, schema: FeatureSchema, num_score_inputs: int = 0) -> "NeuMFNetwork":
        """A new network; it reads no other model's scores."""
        refuse_score_inputs("neumf", num_score_inputs)
        return NeuMFNetwork(self, schema)

    def graph(self, schema: FeatureSchema, num_score_inputs: int = 0) -> RankingGraph | None:
        """Both sides' vectors, the weighted product of their short parts, the tower on the long."""
        refuse_score_inputs("neumf", num_score_inputs)
        if not self.embedding.has_graph:
            return None
        graph, ignored = GraphBuilder(), self.ignored(schema)
        width = self.mf_dim + self.mlp_dim
        short: list[int] = []
        long: dict[Side, list[int]] = {"context": [], "candidate": []}
        for side, name in SIDE_VECTORS.items():
            terms = add_side_vector(graph, schema, side, ignored, self.embedding, name, width)
            if terms:
                x, split = graph.sum(terms), self.mf_dim
                short.append(graph.add(Slice(x_of=x, start=0, stop=split)))
                long[side].append(graph.add(Slice(x_of=x, start=split, stop=width)))
        first = add_split_linear(graph, "first", context=long["context"], items=long["candidate"])
        if first is None:
            return None
        scores = [add_after_first(graph, first, "rest", len(self.hidden))]
        if len(short) == len(SIDE_VECTORS):
            product = graph.add(Multiply(x_of=short[1], y_of=short[0]))
            scores.append(graph.add(Linear(x_of=product, weight="product")))
        return graph.finish(graph.sum(scores))

    def cost(self, schema: FeatureSchema, num_score_inputs: int = 0) -> ModelCost:
        """Exact work: the user's half of the first layer once a query, the rest each candidate."""
        refuse_score_inputs("neumf", num_score_inputs)
        dim, first = self.mf_dim + self.mlp_dim, self.hidden[0]
        ignored = self.ignored(schema)
        context = side_vector_cost(schema, "context", ignored, self.embedding, dim)
        items = side_vector_cost(schema, "candidate", ignored, self.embedding, dim)
        half = self.mlp_dim * first
        tower = (*self.hidden, 1)
        dense = num_parameters((2 * self.mlp_dim, *tower)) + self.mf_dim
        return ModelCost(
            flops_per_query=context.flops_per_lookup + 2.0 * half + self.mf_dim,
            flops_per_item=items.flops_per_lookup + 2.0 * (half + macs(tower) + self.mf_dim),
            read_bytes_per_item=items.read_bytes_per_lookup
            + feature_bytes(schema, "candidate", ignored),
            parameter_bytes=FLOAT_BYTES * dense + context.parameter_bytes + items.parameter_bytes,
            read_bytes_per_query=FLOAT_BYTES * dense + context.weight_bytes + items.weight_bytes,
            reads_per_item=items.rows_per_lookup + 1,
            hash_operations_per_query=context.hash_operations_per_lookup,
            hash_operations_per_item=items.hash_operations_per_lookup,
        )

    def ignored(self, schema: FeatureSchema) -> tuple[str, ...]:
        """Names of all features it does not read."""
        if self.use_features:
            return self.without
        ids = {schema.context_id, schema.item_id}
        return self.without + tuple(f.name for f in schema.features if f.name not in ids)


SIZES = {
    "small": NeuMF(mf_dim=8, mlp_dim=16, hidden=(16, 8)),
    "medium": NeuMF(mf_dim=16, mlp_dim=64, hidden=(64, 32)),
    "large": NeuMF(mf_dim=64, mlp_dim=256, hidden=(256, 128)),
}
"""Three sizes, by name: towers of 32-16-8, 128-64-32 and 512-256-128.

Not RecPipe's: their published shapes contradict themselves (a tower 800 wide is fed by two vectors
of 128, and final layers are narrower than what they read), so no network can have them.
"""


class NeuMFNetwork(RankingModel):
    """The network of `NeuMF`, its first tower layer folded into one share a side.

    Args:
        spec: widths.
        schema: features.
    """

    def __init__(self, spec: NeuMF, schema: FeatureSchema) -> None:
        super().__init__()
        self.widths = [spec.mf_dim, spec.mlp_dim]
        dim, ignored = sum(self.widths), spec.ignored(schema)

        def vector(side: Side) -> SideVector:
            return SideVector(schema, side, ignored, spec.embedding, dim)

        self.context_vector, self.item_vector = vector("context"), vector("candidate")
        self.product = nn.Parameter(torch.ones(spec.mf_dim))
        self.first = SplitLinear(spec.mlp_dim, spec.mlp_dim, 0, spec.hidden[0])
        self.rest = after_first((*spec.hidden, 1))

    def encode_context(self, context: TensorFeatures) -> tuple[Tensor, ...]:
        """Weighted short vector (Q, M), share of the first layer (Q, hidden)."""
        short, long = torch.split(self.context_vector(context), self.widths, dim=1)
        return short * self.product, self.first.context(long)

    def encode_items(self, items: TensorFeatures) -> tuple[Tensor, ...]:
        """Short vector (N, M), share of the first layer (N, hidden)."""
        short, long = torch.split(self.item_vector(items), self.widths, dim=1)
        return short.contiguous(), self.first.items(long)

    def interact(
        self, context: tuple[Tensor, ...], items: tuple[Tensor, ...], given: Tensor | None
    ) -> Tensor:
        """Scores (Q, C)."""
        del given
        tower: Tensor = self.rest(items[1] + context[1].unsqueeze(1))
        return dots(context[0], items[0]) + tower.squeeze(2)
