"""Distil a cheap front stage from the expensive model it feeds.

Letters: U contexts, B contexts a step, T top items of the teacher, R random items.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from recfunnel.core.arrays import IntArray
from recfunnel.core.dataset import Dataset
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.core.storage import MANIFEST, load_arrays, save_arrays
from recfunnel.models.base import to_tensors
from recfunnel.train.base import FitReport, TrainingSpec, TrainingTask, trainings
from recfunnel.train.epochs import Course, Patience, run_epochs
from recfunnel.train.input_scores import Zoo
from recfunnel.train.judging import ranking_judge
from recfunnel.train.optimisers import Descent
from recfunnel.train.scoring import forward
from recfunnel.train.validation import NOT_RANKED, top_columns

BLOCK = 256
"""Contexts the teacher scores over the whole catalogue at once."""


@trainings.register
class Distil(Spec, TrainingSpec, frozen=True, tag="distil"):
    """Learn a teacher's order of unseen items (ranking distillation after Tang & Wang, 2018).

    Each context's target is a distribution over the teacher's T best unseen items that falls with
    their rank like the discount of DCG, 1/log2(rank + 1), and is 0 on R random items; the loss is
    the cross-entropy of the student's softmax over both. Only the teacher's order matters, not the
    scale of its scores. No label is read.

    Args:
        teacher: name of the model to learn from; it is fitted before.
        descent: how parameters are moved.
        patience: when to stop.
        num_top: T; about what the student is to keep as a front stage, or the answer's length.
        num_random: R.
        batch_contexts: B.
        k: list length of the validation NDCG, against held-out interactions.
        num_validation_queries: validation queries used after each epoch, drawn once.
    """

    teacher: str
    descent: Descent = Descent(learning_rate=1e-2, decay="linear", warmup_steps=20)
    patience: Patience = Patience(max_epochs=20, epochs=5)
    num_top: int = 128
    num_random: int = 256
    batch_contexts: int = 128
    k: int = 64
    num_validation_queries: int = 1000

    def __post_init__(self) -> None:
        if min(self.num_top, self.num_random, self.batch_contexts, self.k) < 1:
            raise StudyError("num_top, num_random, batch_contexts and k must be at least 1")

    @property
    def teachers(self) -> tuple[str, ...]:
        """The one teacher."""
        return (self.teacher,)

    def fit(self, model: nn.Module, task: TrainingTask) -> FitReport:
        """Fit to the teacher's lists on the training contexts.

        Raises:
            ModelError: a loss became nan, or nothing was learned.
            StudyError: the student reads scores itself, or the data has no catalogue.
        """
        if task.score_inputs or task.dataset.task != "implicit":
            raise StudyError(
                f"{task.name!r}: 'distil' fits a front stage that reads no scores, on a catalogue; "
                f"it has {len(task.score_inputs)} score inputs on {task.dataset.task!r} data"
            )
        model.to(task.device)
        contexts, lists = _teacher_lists(self, task)
        target = discounts(lists.shape[1])
        items = to_tensors(task.dataset.items, task.device)

        def losses(rng: np.random.Generator) -> Iterator[Tensor]:
            order = rng.permutation(contexts.size)
            for first in range(0, order.size, self.batch_contexts):
                rows = order[first : first + self.batch_contexts]
                random = rng.integers(len(task.dataset.items), size=(rows.size, self.num_random))
                columns = np.concatenate([lists[rows], random], axis=1)
                scores = forward(
                    model,
                    to_tensors(task.dataset.context.take(contexts[rows]), task.device),
                    items,
                    torch.from_numpy(columns).to(task.device),
                    None,
                )
                yield ranked_loss(scores, target.to(task.device))

        num_steps = -(-contexts.size // self.batch_contexts)
        judge = ranking_judge(model, task, self.k, self.num_validation_queries)
        pairs = float(self.batch_contexts * (lists.shape[1] + self.num_random))
        course = Course(num_steps, losses, judge.validate, judge.chance, pairs)
        return run_epochs(model, task, self.descent, self.patience, course)


def discounts(num_top: int) -> Tensor:
    """(T,), target shares of ranks 1 to T: 1/log2(rank + 1), summing to 1."""
    shares = 1 / torch.log2(torch.arange(num_top, dtype=torch.float32) + 2)
    return shares / shares.sum()


def ranked_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of softmax(scores) against shares of the first T columns.

    Args:
        scores: (B, T + R), the teacher's best first, in its order.
        target: (T,), not negative, summing to 1.

    Returns:
        A scalar.
    """
    logs = torch.log_softmax(scores, dim=1)[:, : target.shape[0]]
    return -(logs * target).sum(dim=1).mean()


def _teacher_lists(spec: Distil, task: TrainingTask) -> tuple[IntArray, IntArray]:
    """Contexts (U,) and the teacher's best unseen items of each (U, T); made once."""
    place = task.work_folder / "teacher"
    if not (place / MANIFEST).exists():
        zoo = Zoo(task.zoo_folder, task.device)
        contexts = np.unique(task.dataset.train.context_rows)
        blocks = range(0, contexts.size, BLOCK)
        label = f"{task.name}: lists of {spec.teacher}"
        lists = [
            _best_unseen(zoo, spec, task.dataset, contexts[start : start + BLOCK])
            for start in task.progress.track(blocks, label)
        ]
        save_arrays(place, {"contexts": contexts, "lists": np.concatenate(lists)}, {})
    arrays, _ = load_arrays(place)
    return arrays["contexts"], arrays["lists"]


def _best_unseen(zoo: Zoo, spec: Distil, dataset: Dataset, contexts: IntArray) -> IntArray:
    scores = zoo.score(spec.teacher, dataset.context.take(contexts), dataset.items, None).copy()
    met = np.isin(dataset.train.context_rows, contexts)
    rows = np.searchsorted(contexts, dataset.train.context_rows[met])
    scores[rows, dataset.train.item_rows[met]] = NOT_RANKED
    return top_columns(scores, min(spec.num_top, scores.shape[1]))
