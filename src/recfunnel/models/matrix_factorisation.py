"""Matrix factorisation: the score is the dot of a user's and an item's factors.

Letters: Q queries, N item rows, C candidates, f factors.
"""

import torch
from torch import Tensor, nn

from recfunnel.core.errors import StudyError
from recfunnel.core.features import FeatureSchema
from recfunnel.core.graph import CrossDots, Lookup, RankingGraph
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.model import ModelCost
from recfunnel.core.spec import Spec
from recfunnel.models.base import ModelSpec, RankingModel, TensorFeatures, models
from recfunnel.models.layers import dots
from recfunnel.models.refusals import (
    refuse_score_inputs,
    required_context_id,
    required_item_id,
)

FLOAT_BYTES = 4


@models.register
class MatrixFactorisation(Spec, ModelSpec, frozen=True, tag="matrix_factorisation"):
    """User factors times item factors, one row an id.

    Row 0 stands for everybody unknown: whoever fits the tables puts the mean factors there.

    Args:
        num_factors: f.
        item_bias: add a learned number an item.
    """

    num_factors: int = 64
    item_bias: bool = False

    def __post_init__(self) -> None:
        if self.num_factors < 1:
            raise StudyError(f"num_factors is {self.num_factors}, must be at least 1")

    def build(self, schema: FeatureSchema, num_score_inputs: int = 0) -> "Factors":
        """New factors, drawn small."""
        refuse_score_inputs("matrix_factorisation", num_score_inputs)
        return Factors(self, schema)

    def graph(self, schema: FeatureSchema, num_score_inputs: int = 0) -> RankingGraph:
        """Two lookups and their dot."""
        refuse_score_inputs("matrix_factorisation", num_score_inputs)
        kind, graph = "matrix_factorisation", GraphBuilder()
        of_item = schema.column(required_item_id(kind, schema).name)
        of_context = schema.column(required_context_id(kind, schema).name)
        item = graph.add(Lookup(side="candidate", column=of_item, table="item_factors"))
        user = graph.add(Lookup(side="context", column=of_context, table="context_factors"))
        terms = [graph.add(CrossDots(x_of=item, y_of=user, dim=self.num_factors))]
        if self.item_bias:
            terms.append(graph.add(Lookup(side="candidate", column=of_item, table="item_bias")))
        return graph.finish(graph.sum(terms))

    def cost(self, schema: FeatureSchema, num_score_inputs: int = 0) -> ModelCost:
        """One dot a candidate."""
        refuse_score_inputs("matrix_factorisation", num_score_inputs)
        num_items = required_item_id("matrix_factorisation", schema).cardinality
        num_contexts = required_context_id("matrix_factorisation", schema).cardinality
        width = self.num_factors + self.item_bias
        return ModelCost(
            flops_per_query=0.0,
            flops_per_item=2.0 * self.num_factors + self.item_bias,
            read_bytes_per_item=8.0 + FLOAT_BYTES * width,
            parameter_bytes=FLOAT_BYTES * (num_items * width + num_contexts * self.num_factors),
        )


class Factors(RankingModel):
    """The tables of `MatrixFactorisation`.

    `context_factors` is (contexts, f), `item_factors` (items, f) and `item_bias` (items,) or None,
    each indexed by id.

    Args:
        spec: number of factors.
        schema: names the two ids.
    """

    def __init__(self, spec: MatrixFactorisation, schema: FeatureSchema) -> None:
        super().__init__()
        item = required_item_id("matrix_factorisation", schema)
        context = required_context_id("matrix_factorisation", schema)
        self.item_column = schema.column(item.name)
        self.context_column = schema.column(context.name)
        scale = spec.num_factors**-0.5
        self.context_factors = nn.Parameter(
            scale * torch.randn(context.cardinality, spec.num_factors)
        )
        self.item_factors = nn.Parameter(scale * torch.randn(item.cardinality, spec.num_factors))
        self.item_bias = nn.Parameter(torch.zeros(item.cardinality)) if spec.item_bias else None

    def encode_context(self, context: TensorFeatures) -> tuple[Tensor, ...]:
        """Factors (Q, f)."""
        return (self.context_factors.index_select(0, context.categorical[:, self.context_column]),)

    def encode_items(self, items: TensorFeatures) -> tuple[Tensor, ...]:
        """Factors (N, f), and biases (N,) where there are any."""
        ids = items.categorical[:, self.item_column]
        factors = self.item_factors.index_select(0, ids)
        if self.item_bias is None:
            return (factors,)
        return factors, self.item_bias.index_select(0, ids)

    def interact(
        self, context: tuple[Tensor, ...], items: tuple[Tensor, ...], given: Tensor | None
    ) -> Tensor:
        """Scores (Q, C)."""
        del given
        scores = dots(context[0], items[0])
        return scores if self.item_bias is None else scores + items[1]
