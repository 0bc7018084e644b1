"""A re-ranker: the scores of earlier models, corrected by what is known of user and item.

Letters: Q queries, N item rows, C candidates, S score inputs, d dimensions, H first hidden layer.
"""

import torch
from torch import Tensor, nn

from recfunnel.core.errors import ModelError, StudyError
from recfunnel.core.features import FeatureSchema
from recfunnel.core.graph import (
    Affine,
    CrossDots,
    Given,
    Linear,
    Lookup,
    Multiply,
    RankingGraph,
)
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
from recfunnel.models.refusals import required_history, required_item_id
from recfunnel.models.side_vector import SideVector, add_side_vector, side_vector_cost
from recfunnel.models.vectors import feature_bytes, weight_norm, weighted_sum


@models.register
class Reranker(Spec, ModelSpec, frozen=True, tag="reranker"):
    """A learned blend of given scores plus a network over user, item, their product and the scores.

    logit = blend · z + MLP[user; item; user x item; z], where z are the given scores standardised
    by stored means and deviations. The network's last layer starts at 0 and the blend at 1 each, so
    that an unfitted re-ranker already ranks by the sum of standardised scores.

    The user's and the item's vector are each the sum of a vector an id and a linear map of the
    dense features. Who asks is left out by default: an id learns its owner by heart.

    Args:
        embedding_dim: d, length of the user's and the item's vector.
        hidden: widths of the hidden layers, at least one.
        use_history: add a learned vector of the history to the user's, and its dot with the item's
            to the logit.
        use_context_id: read who asks.
        factor_dim: length of the frozen item factors that whoever fits it puts into
            `item_factors`; a learned map of them joins the item's vector. 0 for none.
        without: names of features it does not read.
        embedding: representation of ids.
    """

    embedding_dim: int = 64
    hidden: tuple[int, ...] = (128, 64)
    use_history: bool = False
    use_context_id: bool = False
    factor_dim: int = 0
    without: tuple[str, ...] = ()
    embedding: EmbeddingSpec = Table()

    def __post_init__(self) -> None:
        if not self.hidden or min(self.embedding_dim, *self.hidden) < 1 or self.factor_dim < 0:
            raise StudyError(
                "reranker needs at least one hidden layer, every width at least 1 and factor_dim "
                f"not below 0; got embedding_dim {self.embedding_dim}, hidden {self.hidden}, "
                f"factor_dim {self.factor_dim}"
            )

    def build(self, schema: FeatureSchema, num_score_inputs: int = 0) -> "RerankerNetwork":
        """A new network that reads `num_score_inputs` scores (none is allowed)."""
        return RerankerNetwork(self, schema, num_score_inputs)

    def graph(self, schema: FeatureSchema, num_score_inputs: int = 0) -> RankingGraph | None:
        """The blend, the tower on user, item, their product and the scores, and the affinity."""
        if not self.embedding.has_graph:
            return None
        return reranker_graph(self, schema, num_score_inputs)

    def cost(self, schema: FeatureSchema, num_score_inputs: int = 0) -> ModelCost:
        """Exact work; user and product share one matrix that is made once a query."""
        d, first, tower = self.embedding_dim, self.hidden[0], (*self.hidden, 1)
        ignored = self.ignored(schema)
        context = side_vector_cost(schema, "context", ignored, self.embedding, d)
        items = side_vector_cost(schema, "candidate", ignored, self.embedding, d)
        dense = num_parameters((3 * d + num_score_inputs, *tower)) + 3 * num_score_inputs
        query_flops = context.flops_per_lookup + 4.0 * d * first
        hashing = context.hash_operations_per_lookup
        item_macs = (d + num_score_inputs) * first + macs(tower) + num_score_inputs
        tables = context.parameter_bytes + items.parameter_bytes
        weights = context.weight_bytes + items.weight_bytes
        if self.use_history:
            history = self.embedding.cost(required_history("reranker", schema), d)
            query_flops += history.flops_per_lookup + 2.0 * d
            hashing += history.hash_operations_per_lookup
            item_macs += d
            dense += 1
            tables += history.parameter_bytes
            weights += history.weight_bytes
        if self.factor_dim:
            item_macs += d * self.factor_dim
            dense += d * self.factor_dim
            num_ids = required_item_id("reranker", schema).cardinality
            tables += FLOAT_BYTES * num_ids * self.factor_dim
        return ModelCost(
            flops_per_query=query_flops,
            flops_per_item=items.flops_per_lookup + 2.0 * item_macs,
            read_bytes_per_item=items.read_bytes_per_lookup
            + feature_bytes(schema, "candidate", ignored)
            + FLOAT_BYTES * (self.factor_dim + num_score_inputs),
            parameter_bytes=FLOAT_BYTES * dense + tables,
            read_bytes_per_query=FLOAT_BYTES * dense + weights,
            reads_per_item=items.rows_per_lookup + 1 + bool(self.factor_dim),
            hash_operations_per_query=hashing,
            hash_operations_per_item=items.hash_operations_per_lookup,
        )

    def ignored(self, schema: FeatureSchema) -> tuple[str, ...]:
        """Names of all features that do not go into the two vectors.

        The history never does: it has its own table and its own norm.
        """
        names = [*self.without]
        if schema.history:
            names.append(schema.history)
        if schema.context_id and not self.use_context_id:
            names.append(schema.context_id)
        return tuple(names)


class RerankerNetwork(RankingModel):
    """The network of `Reranker`.

    Buffers for whoever fits it: `score_mean` (S,), `score_deviation` (S,) and, where `factor_dim`
    is above 0, `item_factors` (item ids, factor_dim).

    The first layer on [user; item; user x item; scores] is folded into one (H, d + S) matrix a
    query, applied to the item's vector and the scores: the product is never formed, and an item
    keeps d numbers instead of H.

    Args:
        spec: widths.
        schema: features.
        num_score_inputs: S.
    """

    score_mean: Tensor
    score_deviation: Tensor
    item_factors: Tensor

    def __init__(self, spec: Reranker, schema: FeatureSchema, num_score_inputs: int) -> None:
        super().__init__()
        d, ignored = spec.embedding_dim, spec.ignored(schema)
        self.num_score_inputs = num_score_inputs
        self.context_vector = SideVector(schema, "context", ignored, spec.embedding, d)
        self.item_vector = SideVector(schema, "candidate", ignored, spec.embedding, d)
        self.first = SplitLinear(d, d, d + num_score_inputs, spec.hidden[0])
        self.rest = after_first((*spec.hidden, 1))
        last = self.rest[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]  # a Linear, after_first says
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.blend = nn.Parameter(torch.ones(num_score_inputs))
        self.register_buffer("score_mean", torch.zeros(num_score_inputs))
        self.register_buffer("score_deviation", torch.ones(num_score_inputs))
        self._add_history(spec, schema)
        self._add_factors(spec, schema)

    def _add_history(self, spec: Reranker, schema: FeatureSchema) -> None:
        self.history_vectors: nn.Module | None = None
        if spec.use_history:
            history = required_history("reranker", schema)
            self.history = schema.column(history.name)
            self.history_vectors = spec.embedding.build(history, spec.embedding_dim)
            self.affinity = nn.Parameter(torch.ones(1))

    def _add_factors(self, spec: Reranker, schema: FeatureSchema) -> None:
        self.factor_map: nn.Linear | None = None
        if spec.factor_dim:
            item = required_item_id("reranker", schema)
            self.item_column = schema.column(item.name)
            self.register_buffer("item_factors", torch.zeros(item.cardinality, spec.factor_dim))
            self.factor_map = nn.Linear(spec.factor_dim, spec.embedding_dim, bias=False)

    def encode_context(self, context: TensorFeatures) -> tuple[Tensor, ...]:
        """Matrix (Q, H, d + S) and offset (Q, H) of the first layer; affinity (Q, d) if any."""
        user = self.context_vector(context)
        if self.history_vectors is None:
            return self._first_layer(user)
        ragged = context.multi_valued[self.history]
        norm = weight_norm(ragged, power=2).sqrt().clamp_min(1e-12).unsqueeze(1)
        vectors = weighted_sum(self.history_vectors, ragged) / norm
        seen = vectors.view(user.shape[0], -1, user.shape[1]).sum(dim=1)
        return *self._first_layer(user + seen), self.affinity * seen

    def _first_layer(self, user: Tensor) -> tuple[Tensor, Tensor]:
        d = user.shape[1]
        product, scores = self.first.weight_mixed[:, :d], self.first.weight_mixed[:, d:]
        of_item = torch.addcmul(self.first.weight_items, product, user.unsqueeze(1))
        matrix = torch.cat([of_item, scores.expand(user.shape[0], -1, -1)], dim=2)
        return matrix, self.first.context(user)

    def encode_items(self, items: TensorFeatures) -> tuple[Tensor, ...]:
        """The item's vector (N, d)."""
        vector: Tensor = self.item_vector(items)
        if self.factor_map is None:
            return (vector,)
        ids = items.categorical[:, self.item_column]
        mapped: Tensor = self.factor_map(self.item_factors.index_select(0, ids))
        return (vector + mapped,)

    def interact(
        self, context: tuple[Tensor, ...], items: tuple[Tensor, ...], given: Tensor | None
    ) -> Tensor:
        """Scores (Q, C)."""
        item = items[0].expand(context[0].shape[0], -1, -1)
        inputs, blend = item, None
        if self.num_score_inputs:
            standard = self.standardise(given)
            inputs = torch.cat([item, standard], dim=2)
            blend = torch.matmul(standard, self.blend)
        hidden = torch.baddbmm(context[1].unsqueeze(1), inputs, context[0].transpose(1, 2))
        scores: Tensor = self.rest(hidden).squeeze(2)
        if blend is not None:
            scores = scores + blend
        if self.history_vectors is not None:
            scores = scores + dots(context[2], items[0])
        return scores

    def standardise(self, given: Tensor | None) -> Tensor:
        """(Q, C, S) scores less their stored mean, over their stored deviation."""
        if given is None:
            raise ModelError(
                f"this re-ranker reads {self.num_score_inputs} scores a candidate, was given none"
            )
        return (given - self.score_mean) / self.score_deviation


def reranker_graph(
    spec: Reranker, schema: FeatureSchema, num_score_inputs: int
) -> RankingGraph | None:
    """What `RerankerNetwork` computes; None when it reads nothing of user or item."""
    graph = GraphBuilder()
    user, seen = _user_nodes(graph, spec, schema)
    item = _item_nodes(graph, spec, schema)
    if not user or not item:
        return None
    mixed, scores = [graph.add(Multiply(x_of=item[0], y_of=user[0]))], []
    if num_score_inputs:
        given = graph.add(Given(width=num_score_inputs))
        standard = Affine(x_of=given, subtract="score_mean", divide="score_deviation")
        mixed.append(graph.add(standard))
        scores.append(graph.add(Linear(x_of=mixed[-1], weight="blend")))
    first = add_split_linear(graph, "first", context=user, items=item, mixed=mixed)
    assert first is not None
    scores.append(add_after_first(graph, first, "rest", len(spec.hidden)))
    if seen:
        dots = graph.add(CrossDots(x_of=item[0], y_of=seen[0], dim=spec.embedding_dim))
        scores.append(graph.add(Linear(x_of=dots, weight="affinity")))
    return graph.finish(graph.sum(scores))


def _user_nodes(
    graph: GraphBuilder, spec: Reranker, schema: FeatureSchema
) -> tuple[list[int], list[int]]:
    """The user's vector and the history's, each one position or none."""
    d, ignored = spec.embedding_dim, spec.ignored(schema)
    terms = add_side_vector(graph, schema, "context", ignored, spec.embedding, "context_vector", d)
    seen: list[int] = []
    if spec.use_history:
        history = required_history("reranker", schema)
        column = schema.column(history.name)
        vectors = spec.embedding.add_to(graph, history, column, "history_vectors", dim=d, norm="l2")
        seen.append(graph.sum(vectors))
    return [graph.sum(terms + seen)] if terms + seen else [], seen


def _item_nodes(graph: GraphBuilder, spec: Reranker, schema: FeatureSchema) -> list[int]:
    """The item's vector, one position or none."""
    d, ignored = spec.embedding_dim, spec.ignored(schema)
    terms = add_side_vector(graph, schema, "candidate", ignored, spec.embedding, "item_vector", d)
    if spec.factor_dim:
        column = schema.column(required_item_id("reranker", schema).name)
        factors = graph.add(Lookup(side="candidate", column=column, table="item_factors"))
        terms.append(graph.add(Linear(x_of=factors, weight="factor_map.weight")))
    return [graph.sum(terms)] if terms else []
