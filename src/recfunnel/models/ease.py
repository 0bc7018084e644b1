"""EASE (Steck, 2019): a linear model from the items a user has seen to all items.

Letters: Q queries, N item rows, C candidates, H items in a history, I item ids (unknown included).
"""

import torch
from torch import Tensor
from torch.nn import functional

from recfunnel.core.errors import StudyError
from recfunnel.core.features import FeatureSchema
from recfunnel.core.graph import RankingGraph, RowSum
from recfunnel.core.model import ModelCost
from recfunnel.core.spec import Spec
from recfunnel.models.base import (
    ModelSpec,
    RankingModel,
    TensorFeatures,
    TensorRagged,
    models,
)
from recfunnel.models.refusals import refuse_score_inputs, required_history, required_item_id

FLOAT_BYTES = 4

GATHER_COST = 32
"""Reading one scattered weight takes about as long as adding up this many that lie in a row."""


@models.register
class EASE(Spec, ModelSpec, frozen=True, tag="ease"):
    """Score of item j: the sum over the history's items h of w(rating of h) x weights[h, j].

    Args:
        rating_weights: w(1), w(2), ...; between whole ratings on the line through them, outside
            the nearest. Empty takes the history's own weights as they are: right for data without
            ratings, whose weights are 1.
        assumed_history: items in a history that `cost` reckons with, since no schema tells.
    """

    rating_weights: tuple[float, ...] = (0.2, 0.3, 0.6, 1.0, 1.2)
    assumed_history: int = 128

    def __post_init__(self) -> None:
        if len(self.rating_weights) == 1:
            raise StudyError(
                "rating_weights has 1 entry; give one for each star, at least 2, or none at all"
            )

    def build(self, schema: FeatureSchema, num_score_inputs: int = 0) -> "ItemToItem":
        """Weights of 0 until they are fitted."""
        refuse_score_inputs("ease", num_score_inputs)
        return ItemToItem(self, schema)

    def graph(self, schema: FeatureSchema, num_score_inputs: int = 0) -> RankingGraph:
        """One sum over the weights' rows of the history."""
        refuse_score_inputs("ease", num_score_inputs)
        sums = RowSum(
            list_column=schema.column(required_history("ease", schema).name),
            id_column=schema.column(required_item_id("ease", schema).name),
            table="weights",
            weighting="rating_weights" if self.rating_weights else "",
        )
        return RankingGraph(nodes=(sums,), score_of=0)

    def cost(self, schema: FeatureSchema, num_score_inputs: int = 0) -> ModelCost:
        """A multiply-add a candidate for each of `assumed_history` items."""
        refuse_score_inputs("ease", num_score_inputs)
        num_ids = required_history("ease", schema).cardinality
        return ModelCost(
            flops_per_query=0.0,
            flops_per_item=2.0 * self.assumed_history,
            read_bytes_per_item=8.0 + FLOAT_BYTES * self.assumed_history,
            parameter_bytes=FLOAT_BYTES * (num_ids**2 + len(self.rating_weights)),
        )


class ItemToItem(RankingModel):
    """The buffer of `EASE`: `weights` (I, I), from the row's item to the column's.

    One query keeps its history and reads only the weights it needs; several queries are summed over
    all items at once, which is faster for each.

    Args:
        spec: rating weights.
        schema: names history and item id.
    """

    weights: Tensor
    rating_weights: Tensor

    def __init__(self, spec: EASE, schema: FeatureSchema) -> None:
        super().__init__()
        history = required_history("ease", schema)
        self.history = schema.column(history.name)
        self.item_column = schema.column(required_item_id("ease", schema).name)
        self.register_buffer("weights", torch.zeros(history.cardinality, history.cardinality))
        self.register_buffer(
            "rating_weights", torch.tensor(spec.rating_weights, dtype=torch.float32)
        )

    def weigh(self, ratings: Tensor) -> Tensor:
        """w of each rating, any shape."""
        if not self.rating_weights.shape[0]:
            return ratings
        last = self.rating_weights.shape[0] - 1
        place = (ratings - 1).clamp(0, last)
        low = place.long().clamp(max=last - 1)
        left, right = self.rating_weights[low], self.rating_weights[low + 1]
        return torch.lerp(left, right, place - low)

    def encode_context(self, context: TensorFeatures) -> tuple[Tensor, ...]:
        """For one query its history, ids (1, H) and weights (1, H); else all scores (Q, I)."""
        history = context.multi_valued[self.history]
        weights = self.weigh(history.weights)
        if len(context) == 1:
            return history.values.unsqueeze(0), weights.unsqueeze(0)
        return (self._sums(TensorRagged(history.values, history.offsets, weights)),)

    def encode_items(self, items: TensorFeatures) -> tuple[Tensor, ...]:
        """Item ids (N,)."""
        return (items.categorical[:, self.item_column].contiguous(),)

    def interact(
        self, context: tuple[Tensor, ...], items: tuple[Tensor, ...], given: Tensor | None
    ) -> Tensor:
        """Scores (Q, C)."""
        del given
        if len(context) == 1:
            return self._choose(context[0], items[0])
        ids, weights = context[0][0], context[1][0]
        candidates = items[0][0]
        num_ids = self.weights.shape[0]
        if candidates.shape[0] * GATHER_COST < num_ids:
            cells = (ids * num_ids).unsqueeze(1) + candidates
            return torch.mv(self.weights.view(-1)[cells].T, weights).unsqueeze(0)
        offsets = ids.new_zeros(2)
        offsets[1] = ids.shape[0]
        return self._choose(self._sums(TensorRagged(ids, offsets, weights)), items[0])

    def _sums(self, history: TensorRagged) -> Tensor:
        """(Q, I), scores of all item ids."""
        return functional.embedding_bag(
            history.values,
            self.weights,
            history.offsets[:-1],
            mode="sum",
            per_sample_weights=history.weights,
        )

    @staticmethod
    def _choose(scores: Tensor, candidates: Tensor) -> Tensor:
        if candidates.shape[0] == 1:
            return scores.index_select(1, candidates[0])
        return scores.gather(1, candidates)
