"""torch as it comes: the reference that every other runtime is held against.

Letters: Q queries, C columns, S score inputs.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import InvalidInput, ModelError
from recfunnel.core.features import Features
from recfunnel.core.model import check_scores
from recfunnel.core.spec import Spec
from recfunnel.runtime.base import RuntimeSpec, check_given, runtimes
from recfunnel.runtime.torch_device import check_torch

if TYPE_CHECKING:  # torch is optional: nothing here is imported until a model is loaded
    from torch import Tensor

    from recfunnel.models.base import RankingModel
    from recfunnel.models.checkpoint import Checkpoint

PAIRS_AT_ONCE = 1 << 14
"""(query, candidate) pairs scored at once; bounds memory when many queries come together."""

ITEMS_AT_ONCE = 1 << 16


@runtimes.register
class TorchEager(Spec, RuntimeSpec, frozen=True, tag="torch"):
    """Eager torch, on a CPU or a GPU.

    Args:
        device: torch device, such as `cpu` or `cuda`.
        cache_items: compute the item part of the whole catalogue once, when loading; false computes
            it for the candidates of every query, as for features that come with the request.
    """

    device: str = "cpu"
    cache_items: bool = True

    def load(self, folder: Path, items: Features, *, num_threads: int = 1) -> "TorchModel":
        """Read a finished model from its folder and make it ready.

        Raises:
            StorageError: the folder is missing, damaged or of another version.
            MissingExtraError: torch is not installed.
            StudyError: there is no such device.
            DataError: an item's id is outside its feature.
        """
        check_torch(self.device)
        from recfunnel.models.checkpoint import load_checkpoint

        return TorchModel(load_checkpoint(folder), items, self, num_threads)


class TorchModel:
    """A model in torch's hands, with the items it ranks.

    Args:
        checkpoint: the fitted model.
        items: features of all items.
        spec: device and caching.
        num_threads: cores a call may use.
    """

    def __init__(
        self, checkpoint: "Checkpoint", items: Features, spec: TorchEager, num_threads: int
    ) -> None:
        import torch

        from recfunnel.models.base import RankingModel, to_tensors

        self._torch = torch
        self._name, self._score_inputs = checkpoint.name, checkpoint.score_inputs
        self._device, self._num_threads = spec.device, num_threads
        self._items, self._num_items = items, len(items)
        module = checkpoint.module.to(spec.device).requires_grad_(requires_grad=False)
        self._module = module
        self._use_threads()
        self._item_tensors = to_tensors(items, spec.device)
        self._states: tuple[Tensor, ...] | None = None
        self._schema = checkpoint.schema
        if isinstance(module, RankingModel) and spec.cache_items:
            with self._naming_ids():
                self._states = self._encode_all(module)

    @property
    def name(self) -> str:
        """The model's name in the study."""
        return self._name

    @property
    def score_inputs(self) -> tuple[str, ...]:
        """Names of the models whose scores it reads, in the order of `given`."""
        return self._score_inputs

    def score(
        self, context: Features, candidates: IntArray | None, given: FloatArray | None = None
    ) -> FloatArray:
        """Score candidates.

        Args:
            context: Q rows.
            candidates: int64 (Q, C), rows of the item features; None means all of them in order.
            given: float32 (Q, C, S), scores of `score_inputs`; None when it reads none.

        Returns:
            float32 (Q, C), higher ranks first.

        Raises:
            ModelError: the model returned another shape or a value that is not finite.
            InvalidInput: `given` does not hold the scores it reads.
            DataError: an id is outside its feature.
        """
        shape = (len(context), self._num_items if candidates is None else candidates.shape[1])
        check_given(self, given, shape)
        self._use_threads()
        step = max(1, PAIRS_AT_ONCE // max(1, shape[1]))
        with self._torch.inference_mode(), self._naming_ids(context):
            if shape[0] <= step:
                scores = self._score(context, candidates, given)
            else:
                scores = self._score_in_steps(context, candidates, given, step)
        check_scores(self._name, scores, shape)
        return scores

    def _score_in_steps(
        self, context: Features, candidates: IntArray | None, given: FloatArray | None, step: int
    ) -> FloatArray:
        parts = []
        for start in range(0, len(context), step):
            span = slice(start, min(start + step, len(context)))
            parts.append(
                self._score(
                    context.take(np.arange(span.start, span.stop)),
                    None if candidates is None else candidates[span],
                    None if given is None else given[span],
                )
            )
        return np.concatenate(parts)

    def _score(
        self, context: Features, candidates: IntArray | None, given: FloatArray | None
    ) -> FloatArray:
        from recfunnel.models.base import RankingModel, as_tensor, columns_tensor, pick, to_tensors

        module = self._module
        features = to_tensors(context, self._device)
        columns = columns_tensor(candidates, self._device)
        extra = None if given is None else as_tensor(given, self._device)
        if not isinstance(module, RankingModel):
            scores = module(features, self._item_tensors, columns, extra)
        elif self._states is not None:
            states = pick(self._states, columns)
            scores = module.interact(module.encode_context(features), states, extra)
        else:
            states = self._encode(module, candidates)
            scores = module.interact(module.encode_context(features), states, extra)
        if not isinstance(scores, self._torch.Tensor):
            raise ModelError(
                f"{self._name!r} returned a {type(scores).__name__}, expected a tensor of scores"
            )
        array: FloatArray = scores.float().cpu().numpy()
        return array

    def _encode(self, module: "RankingModel", candidates: IntArray | None) -> "tuple[Tensor, ...]":
        """Item states of the candidates, (Q, C, ...), computed anew; (1, N, ...) for all."""
        if candidates is None:
            return tuple(state.unsqueeze(0) for state in module.encode_items(self._item_tensors))
        from recfunnel.models.base import to_tensors

        items = to_tensors(self._items.take(candidates.reshape(-1)), self._device)
        states = module.encode_items(items)
        return tuple(state.view(*candidates.shape, *state.shape[1:]) for state in states)

    def _encode_all(self, module: "RankingModel") -> "tuple[Tensor, ...]":
        """Item states of the whole catalogue, (N, ...), made in steps that bound memory."""
        from recfunnel.models.base import to_tensors

        parts = []
        with self._torch.inference_mode():
            for start in range(0, max(1, self._num_items), ITEMS_AT_ONCE):
                rows = np.arange(start, min(start + ITEMS_AT_ONCE, self._num_items))
                parts.append(module.encode_items(to_tensors(self._items.take(rows), self._device)))
            return tuple(self._torch.cat(states) for states in zip(*parts, strict=True))

    @contextlib.contextmanager
    def _naming_ids(self, context: Features | None = None) -> Iterator[None]:
        """Say which feature an id is outside of; torch says only that one is."""
        try:
            yield
        except (IndexError, RuntimeError, InvalidInput):
            if context is not None:
                context.check(self._schema, "context")
            self._items.check(self._schema, "candidate")
            raise

    def _use_threads(self) -> None:
        """Make torch use this model's number of cores; the setting belongs to the whole process."""
        if self._torch.get_num_threads() != self._num_threads:
            self._torch.set_num_threads(self._num_threads)
