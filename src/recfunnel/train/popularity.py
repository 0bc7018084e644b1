"""Popularity: how often each item was relevant in training."""

import numpy as np
import torch
from torch import nn

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.models.popularity import StoredScores
from recfunnel.train.base import FitReport, TrainingSpec, TrainingTask, trainings
from recfunnel.train.closed_form import report_fit
from recfunnel.train.seen import item_ids


@trainings.register
class Counts(Spec, TrainingSpec, frozen=True, tag="popularity"):
    """Score of an item: log(1 + its training interactions of label 1).

    On click data, where items are shown unequally often, the log-odds of its shrunk click rate.
    A baseline: where it ranks no better than chance, as it may where users have seen what is
    popular, its report says so.

    Args:
        k: list length of the validation NDCG.
        shrinkage: imaginary rows at the overall click rate added to every item (click data).
    """

    k: int = 64
    shrinkage: float = 10.0

    def fit(self, model: nn.Module, task: TrainingTask) -> FitReport:
        """Fill the scores of a `popularity` network.

        Raises:
            StudyError: the network is another kind.
        """
        if not isinstance(model, StoredScores):
            raise StudyError(
                f"{task.name!r}: 'popularity' fits 'popularity', not {type(model).__name__}"
            )
        return report_fit(model, task, lambda: self._fill(model, task), self.k, is_baseline=True)

    def _fill(self, model: StoredScores, task: TrainingTask) -> None:
        train = task.dataset.train
        ids = item_ids(task.dataset)[train.item_rows]
        num_ids = model.scores.shape[0]
        clicked = np.bincount(ids, weights=train.label, minlength=num_ids)
        if task.dataset.task == "ctr":
            shown = np.bincount(ids, minlength=num_ids)
            rate = float(train.label.mean())
            odds = (clicked + self.shrinkage * rate) / (
                shown - clicked + self.shrinkage * (1 - rate)
            )
            scores = np.log(np.maximum(odds, 1e-12))
        else:
            scores = np.log1p(clicked)
        model.scores.copy_(torch.from_numpy(scores.astype(np.float32)))
