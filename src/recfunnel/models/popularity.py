"""Popularity: every user gets the same ranking. The floor that any model must beat."""

import torch
from torch import Tensor

from recfunnel.core.features import FeatureSchema
from recfunnel.core.graph import Lookup, RankingGraph
from recfunnel.core.model import ModelCost
from recfunnel.core.spec import Spec
from recfunnel.models.base import ModelSpec, RankingModel, TensorFeatures, models
from recfunnel.models.refusals import refuse_score_inputs, required_item_id

FLOAT_BYTES = 4


@models.register
class Popularity(Spec, ModelSpec, frozen=True, tag="popularity"):
    """One stored score an item, the same for every context."""

    def build(self, schema: FeatureSchema, num_score_inputs: int = 0) -> "StoredScores":
        """Scores of 0 until they are fitted."""
        refuse_score_inputs("popularity", num_score_inputs)
        return StoredScores(schema)

    def graph(self, schema: FeatureSchema, num_score_inputs: int = 0) -> RankingGraph:
        """One lookup."""
        refuse_score_inputs("popularity", num_score_inputs)
        column = schema.column(required_item_id("popularity", schema).name)
        scores = Lookup(side="candidate", column=column, table="scores")
        return RankingGraph(nodes=(scores,), score_of=0)

    def cost(self, schema: FeatureSchema, num_score_inputs: int = 0) -> ModelCost:
        """One number read a candidate."""
        refuse_score_inputs("popularity", num_score_inputs)
        return ModelCost(
            flops_per_query=0.0,
            flops_per_item=0.0,
            read_bytes_per_item=8.0 + FLOAT_BYTES,
            parameter_bytes=FLOAT_BYTES * required_item_id("popularity", schema).cardinality,
        )


class StoredScores(RankingModel):
    """The buffer of `Popularity`: `scores` (items,), indexed by item id.

    Args:
        schema: names the item id.
    """

    scores: Tensor

    def __init__(self, schema: FeatureSchema) -> None:
        super().__init__()
        item = required_item_id("popularity", schema)
        self.item_column = schema.column(item.name)
        self.register_buffer("scores", torch.zeros(item.cardinality))

    def encode_context(self, context: TensorFeatures) -> tuple[Tensor, ...]:
        """Nothing but the number of queries: (Q, 1) zeros."""
        return (self.scores.new_zeros((len(context), 1)),)

    def encode_items(self, items: TensorFeatures) -> tuple[Tensor, ...]:
        """Scores (N,)."""
        return (self.scores.index_select(0, items.categorical[:, self.item_column]),)

    def interact(
        self, context: tuple[Tensor, ...], items: tuple[Tensor, ...], given: Tensor | None
    ) -> Tensor:
        """Scores (Q, C)."""
        del given
        return context[0] + items[0]
