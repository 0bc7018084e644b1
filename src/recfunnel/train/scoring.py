"""Calling a network on numpy features, for training and for validation.

Letters: Q queries, N item rows, C columns (candidates a query), S score inputs.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.features import Features
from recfunnel.core.model import check_scores
from recfunnel.models.base import RankingModel, TensorFeatures, to_tensors

MAX_PAIRS = 200_000
"""Pairs scored in one call outside training; bounds memory, changes no score."""


def forward(
    module: nn.Module,
    context: TensorFeatures,
    items: TensorFeatures,
    columns: Tensor | None,
    given: Tensor | None,
) -> Tensor:
    """Scores (Q, C), as `RankingModel.forward`, with a gradient that does not depend on threads.

    Indexing `state[columns]` adds its gradient in whatever order threads arrive; a lookup adds it
    in a fixed order.

    Args:
        module: a `RankingModel`, or any module with the call signature of its `forward`.
        context: Q rows.
        items: N rows.
        columns: int64 (Q, C), rows of `items`; None means all.
        given: (Q, C, S) or None.

    Returns:
        (Q, C).
    """
    if columns is None or not isinstance(module, RankingModel):
        scores: Tensor = module(context, items, columns, given)
        return scores
    states = tuple(_lookup(state, columns) for state in module.encode_items(items))
    return module.interact(module.encode_context(context), states, given)


def _lookup(state: Tensor, columns: Tensor) -> Tensor:
    shape = (*columns.shape, *state.shape[1:])
    if not state.dtype.is_floating_point:
        return state[columns]
    return functional.embedding(columns, state.flatten(1)).reshape(shape)


def score_features(
    name: str,
    module: nn.Module,
    context: Features,
    items: Features,
    candidates: IntArray | None = None,
    given: FloatArray | None = None,
    device: str = "cpu",
) -> FloatArray:
    """Score queries in pieces, without gradients.

    Args:
        name: the model's name, for errors.
        module: the network; put into evaluation mode and back.
        context: Q rows.
        items: N rows.
        candidates: int64 (Q, C), rows of `items`; None means all.
        given: float32 (Q, C, S) or None.
        device: where the module is.

    Returns:
        float32 (Q, C), finite.

    Raises:
        ModelError: the module returned another shape, or a value that is not finite.
    """
    num_queries = len(context)
    num_columns = len(items) if candidates is None else candidates.shape[1]
    scores = np.empty((num_queries, num_columns), np.float32)
    step = max(1, MAX_PAIRS // max(num_columns, 1))
    was_training = module.training
    module.eval()
    with torch.inference_mode():
        scorer = _Scorer(module, items, device, shared=_shared(items, candidates))
        for start in range(0, num_queries, step):
            rows = np.arange(start, min(start + step, num_queries))
            columns = None if candidates is None else candidates[rows]
            inputs = None if given is None else _tensor(given[rows], device)
            piece = scorer(to_tensors(context.take(rows), device), columns, inputs)
            check_scores(name, piece, (rows.size, num_columns))
            scores[rows] = piece
    module.train(was_training)
    return scores


def _shared(items: Features, candidates: IntArray | None) -> bool:
    """Whether queries have their items in common; in a click log every query has its own rows."""
    return candidates is None or candidates.size >= len(items)


class _Scorer:
    """A network with its items: encoded once where queries share them, else piece by piece.

    A click log has a row an item. Encoding all of them for the few that are ranked would take
    time and memory by the length of the log.
    """

    def __init__(self, module: nn.Module, items: Features, device: str, *, shared: bool) -> None:
        self._module, self._items, self._device = module, items, device
        self._whole = self._encoded(items) if shared else None

    def __call__(
        self, context: TensorFeatures, columns: IntArray | None, given: Tensor | None
    ) -> FloatArray:
        states, places = self._whole, columns
        if states is None:
            assert columns is not None, "all items are shared"
            ranked, positions = np.unique(columns, return_inverse=True)
            states = self._encoded(self._items.take(ranked))
            places = positions.reshape(columns.shape)
        chosen = None if places is None else _tensor(places, self._device)
        if isinstance(states, TensorFeatures):
            scores = self._module(context, states, chosen, given)
        else:
            assert isinstance(self._module, RankingModel)
            encoded = self._module.encode_context(context)
            scores = self._module.interact(encoded, _pick(states, chosen), given)
        found: FloatArray = scores.cpu().numpy()
        return found

    def _encoded(self, items: Features) -> TensorFeatures | tuple[Tensor, ...]:
        """What the network makes of items alone; the items themselves for a user's own network."""
        tensors = to_tensors(items, self._device)
        if isinstance(self._module, RankingModel):
            return self._module.encode_items(tensors)
        return tensors


def _pick(states: tuple[Tensor, ...], columns: Tensor | None) -> tuple[Tensor, ...]:
    if columns is None:
        return tuple(state.unsqueeze(0) for state in states)
    return tuple(state[columns] for state in states)


def _tensor(array: IntArray | FloatArray, device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
