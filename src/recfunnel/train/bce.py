"""Binary cross-entropy: sampled negatives for implicit feedback, plain for clicks.

Letters: B queries a batch, C columns, S score inputs.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recfunnel.core.arrays import IntArray
from recfunnel.core.dataset import Dataset, Interactions
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.models.base import TensorFeatures, to_tensors
from recfunnel.train.base import FitReport, TrainingSpec, TrainingTask, trainings
from recfunnel.train.batches import Batch, Negatives, implicit_batches, row_batches
from recfunnel.train.epochs import Course, Patience, run_epochs
from recfunnel.train.judging import clicks_judge, ranking_judge
from recfunnel.train.optimisers import Descent
from recfunnel.train.scoring import forward
from recfunnel.train.seen import item_ids, training_pairs, without_pairs


@trainings.register
class BCE(Spec, TrainingSpec, frozen=True, tag="bce"):
    """Logistic loss of single pairs (He et al., 2017, for implicit data; Naumov et al., 2019).

    On implicit data every relevant interaction is a positive, with `num_negatives` items that the
    context never met drawn anew each epoch. A query's own observed items are taken out of its
    history while it trains on them, or the network would learn to look them up. On click data
    every row counts as labelled.

    Args:
        descent: how parameters are moved.
        patience: when to stop.
        num_negatives: drawn for each positive.
        negative_power: negatives are drawn in proportion to item count ** this; 0 is uniform.
        low_ratings: whether observed interactions of label 0 are negatives too.
        group_size: observed items of one context trained together in one query.
        batch_queries: queries in a step; on click data, rows in a step.
        k: list length of the validation NDCG.
        num_validation_queries: validation queries used after each epoch, drawn once.
    """

    descent: Descent = Descent(learning_rate=2e-3)
    patience: Patience = Patience()
    num_negatives: int = 4
    negative_power: float = 0.0
    low_ratings: bool = False
    group_size: int = 8
    batch_queries: int = 256
    k: int = 64
    num_validation_queries: int = 1000

    def __post_init__(self) -> None:
        if min(self.num_negatives, self.group_size, self.batch_queries, self.k) < 1:
            raise StudyError("num_negatives, group_size, batch_queries and k must be at least 1")

    def fit(self, model: nn.Module, task: TrainingTask) -> FitReport:
        """Fit by mini-batches; the best epoch on validation is kept.

        Raises:
            ModelError: a loss became nan, or nothing was learned.
            StudyError: the model reads other models' scores.
        """
        if task.score_inputs:
            raise StudyError(
                f"{task.name!r} reads the scores of {', '.join(task.score_inputs)}; train it with "
                "'listwise', which makes scores that have not seen what they are trained on"
            )
        model.to(task.device)
        if task.dataset.task == "ctr":
            course = _clicks_course(self, model, task)
        else:
            course = _implicit_course(self, model, task)
        return run_epochs(model, task, self.descent, self.patience, course)


def _implicit_course(spec: BCE, model: nn.Module, task: TrainingTask) -> Course:
    dataset = task.dataset
    train = dataset.train
    used = train if spec.low_ratings else train.take(train.label > 0)
    if not used.label.any():
        raise StudyError(f"{dataset.name}: no training interaction has label 1")
    negatives = Negatives(dataset, spec.negative_power, training_pairs(dataset))
    loss_of = _BatchLoss(model, dataset, task.device)

    def losses(rng: np.random.Generator) -> Iterator[Tensor]:
        for batch in implicit_batches(
            used, negatives, spec.group_size, spec.num_negatives, spec.batch_queries, rng
        ):
            yield loss_of(batch)

    lengths = np.bincount(used.context_rows)
    num_pieces = int(np.ceil(lengths / spec.group_size).sum())
    num_steps = -(-num_pieces // spec.batch_queries)
    num_pairs = len(used) + spec.num_negatives * float(used.label.sum())
    judge = ranking_judge(model, task, spec.k, spec.num_validation_queries)
    return Course(num_steps, losses, judge.validate, judge.chance, num_pairs / num_steps)


def _clicks_course(spec: BCE, model: nn.Module, task: TrainingTask) -> Course:
    train: Interactions = task.dataset.train
    loss_of = _BatchLoss(model, task.dataset, task.device)

    def losses(rng: np.random.Generator) -> Iterator[Tensor]:
        for batch in row_batches(train, spec.batch_queries, rng):
            yield loss_of(batch)

    num_steps = -(-len(train) // spec.batch_queries)
    judge = clicks_judge(model, task)
    return Course(num_steps, losses, judge.validate, judge.chance, len(train) / num_steps)


class _BatchLoss:
    """The loss of a batch: tensors made, network called, cross-entropy averaged over pairs."""

    def __init__(self, model: nn.Module, dataset: Dataset, device: str) -> None:
        self._model = model
        self._dataset = dataset
        self._device = device
        self._ids = item_ids(dataset)
        self._all_items = to_tensors(dataset.items, device)

    def __call__(self, batch: Batch) -> Tensor:
        context = self._dataset.context.take(batch.context_rows)
        queries, places = np.nonzero(batch.observed)
        met = self._ids[batch.columns[queries, places]]
        if self._dataset.task == "implicit":
            context = without_pairs(context, self._dataset.schema, queries, met)
        items, columns = self._items_of(batch.columns)
        scores = forward(self._model, to_tensors(context, self._device), items, columns, None)
        weight = torch.from_numpy(batch.weight).to(self._device)
        label = torch.from_numpy(batch.label).to(self._device)
        losses = functional.binary_cross_entropy_with_logits(scores, label, reduction="none")
        return (losses * weight).sum() / weight.sum().clamp_min(1.0)

    def _items_of(self, columns: IntArray) -> tuple[TensorFeatures, Tensor]:
        """Encode the whole catalogue, or only the items of the batch where those are fewer."""
        if columns.size >= len(self._dataset.items):
            return self._all_items, torch.from_numpy(columns).to(self._device)
        rows, inverse = np.unique(columns, return_inverse=True)
        places = torch.from_numpy(inverse.reshape(columns.shape)).to(self._device)
        return to_tensors(self._dataset.items.take(rows), self._device), places
