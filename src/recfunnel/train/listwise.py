"""Listwise softmax on the output of the stages in front.

Letters: L lists, B lists a step, K items a list, M items of it used in a step, S score inputs.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from recfunnel.core.arrays import BoolArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.models.base import to_tensors
from recfunnel.models.matrix_factorisation import Factors
from recfunnel.train.base import FitReport, TrainingSpec, TrainingTask, trainings
from recfunnel.train.epochs import Course, Patience, run_epochs
from recfunnel.train.fold_lists import Folding, FoldLists, fold_lists
from recfunnel.train.input_scores import Zoo
from recfunnel.train.judging import cascade_judge
from recfunnel.train.optimisers import Descent
from recfunnel.train.scoring import forward


@trainings.register
class Listwise(Spec, TrainingSpec, frozen=True, tag="listwise"):
    """Softmax cross-entropy over lists that the score inputs rank high without having seen them.

    Loss of a list: the sum over its relevant items of -log softmax(scores), divided by the square
    root of their number, so that a list with many counts more, but not in proportion.

    Args:
        folding: how lists are made.
        descent: how parameters are moved.
        patience: when to stop.
        num_ranked: M, items of a list used in one step: all relevant ones and random others.
        batch_lists: B.
        k: list length of the validation NDCG.
        num_validation_queries: validation queries used after each epoch, drawn once.
        factor_scale: factor on the frozen item factors a network may read.
    """

    folding: Folding = Folding()
    descent: Descent = Descent(
        learning_rate=1e-3, weight_decay=0.01, warmup_steps=100, decay="linear"
    )
    patience: Patience = Patience(max_epochs=6, epochs=6)
    num_ranked: int = 96
    batch_lists: int = 64
    k: int = 64
    num_validation_queries: int = 10_000
    factor_scale: float = 3.0

    def __post_init__(self) -> None:
        if self.num_ranked < 2 or min(self.batch_lists, self.k) < 1:
            raise StudyError("num_ranked must be at least 2, batch_lists and k at least 1")

    def fit(self, model: nn.Module, task: TrainingTask) -> FitReport:
        """Fit on out-of-fold lists, choosing on validation lists of the finished score inputs.

        Raises:
            ModelError: a loss became nan, or nothing was learned.
            StudyError: no score inputs, click data, or item factors nobody can give.
        """
        if not task.score_inputs or task.dataset.task != "implicit":
            raise StudyError(
                f"{task.name!r}: 'listwise' trains on the lists of score inputs over a catalogue; "
                f"it has {len(task.score_inputs)} score inputs on {task.dataset.task!r} data"
            )
        model.to(task.device)
        lists = fold_lists(task, self.folding)
        if not any(part.context_rows.size for part in lists):
            raise StudyError(
                f"{task.name!r}: no held-out relevant item is among the top "
                f"{self.folding.list_size} of {task.score_inputs[0]!r}; raise list_size or give "
                "more interactions"
            )
        zoo = Zoo(task.zoo_folder, task.device)
        give_scale(model, lists, self.folding.list_size)
        give_factors(model, task, zoo, self.factor_scale)
        feed = _Feed(self, model, lists, task.device)
        judge = cascade_judge(
            model, task, zoo, self.k, self.folding.list_size, self.num_validation_queries
        )
        pairs = float(self.batch_lists * min(self.num_ranked, self.folding.list_size))
        course = Course(feed.num_steps, feed.losses, judge.validate, judge.chance, pairs)
        return run_epochs(model, task, self.descent, self.patience, course)


def give_scale(model: nn.Module, lists: list[FoldLists], list_size: int) -> None:
    """Fill the buffers by which a network standardises scores, from the tops of the lists."""
    if not hasattr(model, "score_mean"):
        return
    num_inputs = lists[0].scores.shape[2]
    tops = [part.scores[:, :list_size].reshape(-1, num_inputs) for part in lists]
    scores = np.concatenate(tops)
    with torch.no_grad():
        model.score_mean.copy_(torch.from_numpy(scores.mean(axis=0, dtype=np.float64)))  # type: ignore[operator]
        deviation = np.maximum(scores.std(axis=0, dtype=np.float64), 1e-6)
        model.score_deviation.copy_(torch.from_numpy(deviation))  # type: ignore[operator]


def give_factors(model: nn.Module, task: TrainingTask, zoo: Zoo, scale: float) -> None:
    """Fill the frozen item factors a network may read, from its factorised score input.

    Raises:
        StudyError: no score input is a factorisation, or its factors have another length.
    """
    wanted = getattr(model, "item_factors", None)
    if wanted is None or isinstance(model, Factors):
        return
    for name in task.score_inputs:
        source = zoo.checkpoint(name).module
        if isinstance(source, Factors):
            if source.item_factors.shape != wanted.shape:
                raise StudyError(
                    f"{task.name!r} reads item factors of length {wanted.shape[1]}, but {name!r} "
                    f"has {source.item_factors.shape[1]}; set factor_dim to that"
                )
            with torch.no_grad():
                wanted.copy_(source.item_factors * scale)
            return
    raise StudyError(
        f"{task.name!r} reads item factors, but none of its score inputs "
        f"({', '.join(task.score_inputs)}) is a matrix_factorisation; set factor_dim = 0"
    )


class _Feed:
    """Steps through the lists, each batch from one fold, whose features it reads."""

    def __init__(
        self, spec: Listwise, model: nn.Module, lists: list[FoldLists], device: str
    ) -> None:
        self._spec = spec
        self._model = model
        self._lists = lists
        self._device = device
        self._items = [to_tensors(part.dataset.items, device) for part in lists]
        self.num_steps = sum(-(-part.context_rows.size // spec.batch_lists) for part in lists)

    def losses(self, rng: np.random.Generator) -> Iterator[Tensor]:
        """The loss of each step of one epoch."""
        size = self._spec.batch_lists
        batches: list[tuple[int, IntArray]] = []
        for fold, part in enumerate(self._lists):
            order = rng.permutation(part.context_rows.size)
            batches += [(fold, order[i : i + size]) for i in range(0, order.size, size)]
        for number in rng.permutation(len(batches)):
            fold, rows = batches[number]
            yield self._loss(fold, rows, rng)

    def _loss(self, fold: int, rows: IntArray, rng: np.random.Generator) -> Tensor:
        part = self._lists[fold]
        relevant = part.relevant[rows]
        chosen = choose_items(relevant, self._spec.num_ranked, rng)
        columns = np.take_along_axis(part.columns[rows], chosen, axis=1)
        given = np.take_along_axis(part.scores[rows], chosen[:, :, None], axis=1)
        context = part.dataset.context.take(part.context_rows[rows])
        scores = forward(
            self._model,
            to_tensors(context, self._device),
            self._items[fold],
            torch.from_numpy(columns).to(self._device),
            torch.from_numpy(given).to(self._device),
        )
        target = torch.from_numpy(np.take_along_axis(relevant, chosen, axis=1))
        return softmax_loss(scores, target.to(self._device))


def choose_items(relevant: BoolArray, num_chosen: int, rng: np.random.Generator) -> IntArray:
    """Places (B, M) in lists (B, K): relevant ones first, the rest drawn without replacement.

    A list with more than M relevant items keeps M of them, drawn.
    """
    priority = rng.random(relevant.shape, dtype=np.float32) + relevant
    num_chosen = min(num_chosen, relevant.shape[1])
    return np.argpartition(-priority, num_chosen - 1, axis=1)[:, :num_chosen]


def softmax_loss(scores: Tensor, relevant: Tensor) -> Tensor:
    """Mean over lists of Σ -log softmax at relevant items / √(their number).

    Args:
        scores: (B, M).
        relevant: bool (B, M); a list without any contributes 0.

    Returns:
        A scalar.
    """
    logs = torch.log_softmax(scores, dim=1)
    counts = relevant.sum(dim=1).clamp_min(1)
    return (-(logs * relevant).sum(dim=1) / counts.sqrt()).mean()
