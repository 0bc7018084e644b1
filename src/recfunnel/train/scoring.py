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
        item_tensors = to_tensors(items, device)
        states = module.encode_items(item_tensors) if isinstance(module, RankingModel) else None
        for start in range(0, num_queries, step):
            rows = np.arange(start, min(start + step, num_queries))
            columns = None if candidates is None else _tensor(candidates[rows], device)
            inputs = None if given is None else _tensor(given[rows], device)
            part = to_tensors(context.take(rows), device)
            if states is None:
                piece = module(part, item_tensors, columns, inputs)
            else:
                assert isinstance(module, RankingModel)
                piece = module.interact(module.encode_context(part), _pick(states, columns), inputs)
            piece = piece.cpu().numpy()
            check_scores(name, piece, (rows.size, num_columns))
            scores[rows] = piece
    module.train(was_training)
    return scores


def _pick(states: tuple[Tensor, ...], columns: Tensor | None) -> tuple[Tensor, ...]:
    if columns is None:
        return tuple(state.unsqueeze(0) for state in states)
    return tuple(state[columns] for state in states)


def _tensor(array: IntArray | FloatArray, device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
