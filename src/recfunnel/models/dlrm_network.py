"""The network of `DLRM`, with all work done once that need not be done for every pair.

Letters: Q queries, N item rows, C candidates, d dimensions, U and V vectors of context and item,
H width of the first top layer.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from recfunnel.core.errors import StudyError
from recfunnel.core.features import FeatureSchema, Side
from recfunnel.models.base import RankingModel, TensorFeatures
from recfunnel.models.embeddings.base import EmbeddingSpec
from recfunnel.models.layers import SplitLinear, after_first, num_parameters
from recfunnel.models.vectors import (
    FeatureVectors,
    dense_columns,
    features_with_ids,
    take_columns,
    used,
)

BottomSide = Literal["context", "items", "mixed", "none"]
Interaction = Literal["dot", "concat"]

SIDES: tuple[Side, Side] = ("context", "candidate")


@dataclass(frozen=True, slots=True)
class DLRMShape:
    """Widths of a DLRM on a schema, and on which side each piece of its work falls.

    Args:
        embedding_dim: d.
        bottom: outputs of each bottom layer, the last being d.
        top: outputs of each top layer, the last being 1.
        dense_context: dense features of the context.
        dense_items: dense features of the item.
        num_context: U, vectors of the context, the bottom vector included if it is one.
        num_items: V, likewise.
        interaction: what the top network reads: dots of pairs of vectors, or the vectors.
    """

    embedding_dim: int
    bottom: tuple[int, ...]
    top: tuple[int, ...]
    dense_context: int
    dense_items: int
    num_context: int
    num_items: int
    interaction: Interaction = "dot"

    @property
    def side(self) -> BottomSide:
        """Whose vector the bottom network makes: one side's if all dense features are its own."""
        return bottom_side(self.dense_context, self.dense_items)

    @property
    def context_pairs(self) -> int:
        """Dots that depend on the context alone."""
        return self.num_context * (self.num_context - 1) // 2

    @property
    def item_pairs(self) -> int:
        """Dots that depend on the item alone."""
        return self.num_items * (self.num_items - 1) // 2

    @property
    def mixed_pairs(self) -> int:
        """Dots that depend on both."""
        of_bottom = self.num_context + self.num_items if self.side == "mixed" else 0
        return self.num_context * self.num_items + of_bottom

    @property
    def top_context(self) -> int:
        """Inputs of the top network that depend on the context alone."""
        if self.interaction == "concat":
            return self.num_context * self.embedding_dim
        return self.context_pairs + self.embedding_dim * (self.side == "context")

    @property
    def top_items(self) -> int:
        """Inputs of the top network that depend on the item alone."""
        if self.interaction == "concat":
            return self.num_items * self.embedding_dim
        return self.item_pairs + self.embedding_dim * (self.side == "items")

    @property
    def top_mixed(self) -> int:
        """Inputs of the top network that depend on both."""
        dots = self.mixed_pairs if self.interaction == "dot" else 0
        return dots + self.embedding_dim * (self.side == "mixed")

    @property
    def num_dense_parameters(self) -> int:
        """Weights and biases of both networks."""
        width = self.top_context + self.top_items + self.top_mixed
        top = num_parameters((width, *self.top))
        if self.side == "none":
            return top
        return top + num_parameters((self.dense_context + self.dense_items, *self.bottom))


def bottom_side(dense_context: int, dense_items: int) -> BottomSide:
    """Where a bottom network over so many dense features belongs."""
    if dense_context and dense_items:
        return "mixed"
    if dense_context:
        return "context"
    return "items" if dense_items else "none"


def dlrm_shape(
    schema: FeatureSchema,
    without: tuple[str, ...],
    embedding: EmbeddingSpec,
    *,
    embedding_dim: int,
    bottom: tuple[int, ...],
    top: tuple[int, ...],
    interaction: Interaction,
) -> DLRMShape:
    """Lay a DLRM out on a schema.

    Args:
        schema: features.
        without: names of those it does not read.
        embedding: says how many vectors each feature has.
        embedding_dim: d.
        bottom: widths of the hidden bottom layers.
        top: widths of the hidden top layers.
        interaction: of the vectors.

    Raises:
        StudyError: no feature is left to read.
    """
    embedding.check(schema)
    num_vectors = {
        side: sum(embedding.num_vectors(f) for f in features_with_ids(schema, side, without))
        for side in SIDES
    }
    num_dense = {side: len(used(schema, side, "dense", without)) for side in SIDES}
    if not any(num_vectors.values()) and not any(num_dense.values()):
        raise StudyError("dlrm has no feature to read; the schema is empty or all are left out")
    side = bottom_side(num_dense["context"], num_dense["candidate"])
    return DLRMShape(
        embedding_dim=embedding_dim,
        bottom=(*bottom, embedding_dim),
        top=(*top, 1),
        dense_context=num_dense["context"],
        dense_items=num_dense["candidate"],
        num_context=num_vectors["context"] + (side == "context"),
        num_items=num_vectors["candidate"] + (side == "items"),
        interaction=interaction,
    )


class DLRMNetwork(RankingModel):
    """The network of `DLRM`.

    Bottom and first top layer are split by columns into what the context, the item and the pair
    contribute. The bottom network belongs to one side when all dense features do; otherwise only
    its first layer splits and the rest is paid for every pair.

    Args:
        shape: widths.
        schema: features.
        without: names of features it does not read.
        embedding: representation of ids.
    """

    def __init__(
        self,
        shape: DLRMShape,
        schema: FeatureSchema,
        without: tuple[str, ...],
        embedding: EmbeddingSpec,
    ) -> None:
        super().__init__()
        d = shape.embedding_dim
        self.side, self.interaction = shape.side, shape.interaction
        self.context_dense = dense_columns(schema, "context", without)
        self.item_dense = dense_columns(schema, "candidate", without)
        self.context_vectors = FeatureVectors(schema, "context", without, embedding, d)
        self.item_vectors = FeatureVectors(schema, "candidate", without, embedding, d)
        if self.side != "none":
            self.bottom_first = SplitLinear(
                shape.dense_context, shape.dense_items, 0, shape.bottom[0]
            )
            self.bottom_rest = after_first(shape.bottom, end_with_relu=True)
        self.top_first = SplitLinear(
            shape.top_context, shape.top_items, shape.top_mixed, shape.top[0]
        )
        self.top_rest = after_first(shape.top)

    def encode_context(self, context: TensorFeatures) -> tuple[Tensor, ...]:
        """Vectors (Q, U, d), share of the first top layer (Q, H), of the first bottom layer."""
        vectors = self.context_vectors(context)
        if self.side == "context":
            dense = take_columns(context.dense, self.context_dense)
            vectors, inputs = self._with_bottom(vectors, self.bottom_first.context(dense))
            return vectors, self.top_first.context(inputs)
        share = self.top_first.context(self._interacted(vectors))
        if self.side != "mixed":
            return vectors, share
        dense = take_columns(context.dense, self.context_dense)
        return vectors, share, self.bottom_first.context(dense)

    def encode_items(self, items: TensorFeatures) -> tuple[Tensor, ...]:
        """Vectors (N, V, d), share of the first top layer (N, H), of the first bottom layer."""
        vectors = self.item_vectors(items)
        if self.side == "items":
            dense = take_columns(items.dense, self.item_dense)
            first = self.bottom_first.items(dense) + self.bottom_first.bias
            vectors, inputs = self._with_bottom(vectors, first)
            return vectors, self.top_first.items(inputs)
        share = self.top_first.items(self._interacted(vectors))
        if self.side != "mixed":
            return vectors, share
        dense = take_columns(items.dense, self.item_dense)
        return vectors, share, self.bottom_first.items(dense)

    def interact(
        self, context: tuple[Tensor, ...], items: tuple[Tensor, ...], given: Tensor | None
    ) -> Tensor:
        """Scores (Q, C): what differs for every pair, and the rest of the top network."""
        del given
        bottom = None
        if self.side == "mixed":
            bottom = self.bottom_rest(context[2].unsqueeze(1) + items[2])
        inputs = bottom if self.interaction == "concat" else _mixed(context[0], items[0], bottom)
        if inputs is None:
            hidden = items[1] + context[1].unsqueeze(1)
        else:
            hidden = self.top_first.add_mixed(items[1], inputs)
            hidden += context[1].unsqueeze(1)
        scores: Tensor = self.top_rest(hidden)
        return scores.squeeze(2)

    def _interacted(self, vectors: Tensor) -> Tensor:
        """What the top network reads of vectors (N, F, d), the bottom one not among them."""
        return vectors.flatten(1) if self.interaction == "concat" else _pair_dots(vectors)

    def _with_bottom(self, vectors: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """The bottom vector put before the others, and the inputs of the first top layer."""
        bottom = self.bottom_rest(first)
        vectors = torch.cat([bottom.unsqueeze(1), vectors], dim=1)
        if self.interaction == "concat":
            return vectors, vectors.flatten(1)
        return vectors, torch.cat([bottom, _pair_dots(vectors)], dim=1)


@cache
def _pair_index(num_vectors: int, device: torch.device) -> Tensor:
    """Positions of the strict lower triangle in a flattened square, row by row."""
    with torch.inference_mode(mode=False):  # autograd may have to keep it
        low, high = torch.tril_indices(num_vectors, num_vectors, -1, device=device)
        index: Tensor = low * num_vectors + high
        return index


def _pair_dots(vectors: Tensor) -> Tensor:
    """(N, F, d) to (N, F(F-1)/2), dots of all pairs of different vectors."""
    dots = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)
    return dots.index_select(1, _pair_index(vectors.shape[1], vectors.device))


def _mixed(context: Tensor, items: Tensor, bottom: Tensor | None) -> Tensor:
    """The bottom vector (Q, C, d) if it is of the pair, its dots, and those across sides."""
    across = _mixed_dots(context, items)
    if bottom is None:
        return across
    with_context = torch.matmul(bottom, context.transpose(1, 2))
    with_items = torch.linalg.vecdot(items, bottom.unsqueeze(2))
    return torch.cat([bottom, with_context, with_items, across], dim=2)


def _mixed_dots(context: Tensor, items: Tensor) -> Tensor:
    """(Q, U, d) and (Q or 1, C, V, d) to (Q, C, V·U), item vectors outermost."""
    num_queries, num_context, _ = context.shape
    _, num_candidates, num_items, dim = items.shape
    rows = items.reshape(items.shape[0], num_candidates * num_items, dim)
    dots = torch.matmul(rows, context.transpose(1, 2))
    return dots.view(num_queries, num_candidates, num_items * num_context)
