"""What every ranking network is: (context, candidates) in, one score a candidate out.

Letters: Q queries, N item rows, C columns (candidates a query), S score inputs.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recfunnel.core.arrays import IntArray, Ragged
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.graph import RankingGraph
from recfunnel.core.model import ModelCost
from recfunnel.core.registry import Registry


@dataclass(frozen=True, eq=False, slots=True)
class TensorRagged:
    """`Ragged` as tensors: values int64 (V,), offsets int64 (N + 1,), weights float32 (V,)."""

    values: Tensor
    offsets: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class TensorFeatures:
    """`Features` as tensors: categorical int64 (N, F), dense float32 (N, D)."""

    categorical: Tensor
    dense: Tensor
    multi_valued: tuple[TensorRagged, ...] = ()

    def __len__(self) -> int:
        return int(self.categorical.shape[0])


def to_tensors(features: Features, device: torch.device | str = "cpu") -> TensorFeatures:
    """Features as tensors on a device; memory-mapped arrays are copied, others shared."""
    return TensorFeatures(
        as_tensor(features.categorical, device),
        as_tensor(features.dense, device),
        tuple(_ragged(ragged, device) for ragged in features.multi_valued),
    )


def _ragged(ragged: Ragged, device: torch.device | str) -> TensorRagged:
    values = as_tensor(ragged.values, device)
    weights = (
        torch.ones(values.shape, dtype=torch.float32, device=device)
        if ragged.weights is None
        else as_tensor(ragged.weights, device)
    )
    return TensorRagged(values, as_tensor(ragged.offsets, device), weights)


def as_tensor(array: Any, device: torch.device | str = "cpu") -> Tensor:
    """An array as a tensor on a device: memory shared where it may be written to, else copied."""
    owned = array if array.flags.writeable else array.copy()
    return torch.from_numpy(owned).to(device)


class RankingModel(nn.Module):
    """A network whose work splits into a context part, an item part and their interaction.

    The context part is computed once a query and the item part once an item row; only `interact`
    is paid for every pair. Serving keeps the item part of the whole catalogue.

    States are tuples of tensors whose first dimension is Q (context) or N (items).
    """

    @abstractmethod
    def encode_context(self, context: TensorFeatures) -> tuple[Tensor, ...]:
        """Everything that depends on the context alone; each tensor (Q, ...)."""

    @abstractmethod
    def encode_items(self, items: TensorFeatures) -> tuple[Tensor, ...]:
        """Everything that depends on the item alone; each tensor (N, ...)."""

    @abstractmethod
    def interact(
        self, context: tuple[Tensor, ...], items: tuple[Tensor, ...], given: Tensor | None
    ) -> Tensor:
        """Scores (Q, C).

        Args:
            context: as `encode_context` returned, each (Q, ...).
            items: item states picked for each query, each (Q, C, ...), or (1, C, ...) where all
                queries share their candidates.
            given: (Q, C, S) scores of the models this one reads; None when it reads none.

        Returns:
            (Q, C), any real numbers, higher ranks first (a logit for models trained with BCE).
        """

    def forward(
        self,
        context: TensorFeatures,
        items: TensorFeatures,
        columns: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Tensor:
        """Scores (Q, C).

        Args:
            context: Q rows.
            items: N rows.
            columns: int64 (Q, C), rows of `items` that each query ranks; None means every query
                ranks all N rows (C = N).
            given: (Q, C, S) scores of the models this one reads, or None.

        Returns:
            (Q, C).
        """
        return self.interact(
            self.encode_context(context), pick(self.encode_items(items), columns), given
        )


def pick(states: tuple[Tensor, ...], columns: Tensor | None) -> tuple[Tensor, ...]:
    """Item states for each query: (N, ...) to (Q, C, ...), or to (1, N, ...) for all rows."""
    if columns is None:
        return tuple(state.unsqueeze(0) for state in states)
    rows = columns.reshape(-1)  # index_select is faster than indexing, forward and backward
    return tuple(
        state.index_select(0, rows).view(*columns.shape, *state.shape[1:]) for state in states
    )


class ModelSpec:
    """Role of a spec that builds a ranking network.

    A built-in kind builds a `RankingModel`. A user's own module needs only the call signature of
    `RankingModel.forward`.
    """

    __slots__ = ()

    @abstractmethod
    def build(self, schema: FeatureSchema, num_score_inputs: int = 0) -> nn.Module:
        """A new network with freshly drawn parameters (from torch's global generator).

        Args:
            schema: features it will be called with.
            num_score_inputs: S, how many other models' scores it reads.

        Returns:
            The network.

        Raises:
            StudyError: the spec cannot work with this schema (no history for EASE, say).
        """

    @abstractmethod
    def cost(self, schema: FeatureSchema, num_score_inputs: int = 0) -> ModelCost:
        """Exact work of one query, without building or allocating anything.

        The item part counts for each candidate, as where features come with the request; a runtime
        that keeps it for the whole catalogue does less. Biases, activations and the sums that join
        the parts of a split layer are not counted, as is usual. A multi-valued feature counts as
        one lookup, since the schema does not say how long its lists are.
        """

    def graph(self, schema: FeatureSchema, num_score_inputs: int = 0) -> RankingGraph | None:
        """What the network computes, in the form that runtimes without torch read.

        Its parameters are named as in the network's `state_dict`.

        Args:
            schema: features it will be called with.
            num_score_inputs: S, how many other models' scores it reads.

        Returns:
            The graph; None where no graph can say it: a user's own network, an embedding that is
            no table, or a network that is left nothing to read of a side it needs. torch runs such
            a model all the same.

        Raises:
            StudyError: the spec cannot work with this schema.
        """
        del schema, num_score_inputs
        return None

    def fingerprint(self) -> str:
        """What a fitted model depends on that the spec does not say: a file's content; empty."""
        return ""


models: Registry[ModelSpec] = Registry(ModelSpec, "recfunnel.models")
"""Kinds of ranking network, one file each in `recfunnel.models`."""


def columns_tensor(candidates: IntArray | None, device: torch.device | str) -> Tensor | None:
    """Candidates (Q, C) as a tensor; None stays None."""
    return None if candidates is None else as_tensor(candidates, device)
