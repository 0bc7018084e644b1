"""The same fit from several seeds: keep the best on validation, report all."""

from dataclasses import replace

import numpy as np
import torch
from msgspec.structs import replace as changed
from torch import nn

from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import seed_for
from recfunnel.core.spec import Spec
from recfunnel.train.base import FitReport, TrainingSpec, TrainingTask, trainings


@trainings.register
class BestOfSeeds(Spec, TrainingSpec, frozen=True, tag="best_of_seeds"):
    """Fit anew from each seed and keep the parameters that are best on validation.

    The report's notes give the value of every seed, with mean and standard deviation: the best of
    several is a little optimistic about itself, which only the test split can tell.

    Args:
        training: how to fit once.
        num_seeds: how often.
    """

    training: TrainingSpec
    num_seeds: int = 3

    def __post_init__(self) -> None:
        if self.num_seeds < 1:
            raise StudyError(f"num_seeds is {self.num_seeds}, must be at least 1")

    @property
    def teachers(self) -> tuple[str, ...]:
        """Those of the fit that is repeated."""
        return self.training.teachers

    def fit(self, model: nn.Module, task: TrainingTask) -> FitReport:
        """Fit `num_seeds` networks of the task's entry; `model` gets the best parameters.

        Raises:
            ModelError: a seed diverged or learned nothing.
            StudyError: the training does not suit the model or the data.
        """
        spec = task.entries[task.name].model
        reports: list[FitReport] = []
        best: dict[str, torch.Tensor] = {}
        for number in range(self.num_seeds):
            seed = seed_for(task.seed, "of several", number)
            torch.manual_seed(seed)
            candidate = spec.build(task.dataset.schema, len(task.score_inputs))
            own = replace(task, seed=seed, work_folder=task.work_folder / f"seed-{number}")
            reports.append(self.training.fit(candidate, own))
            if _reached(reports[-1]) == max(map(_reached, reports)):
                best = {n: v.detach().clone() for n, v in candidate.state_dict().items()}
        model.to(task.device).load_state_dict(best)
        model.eval()
        kept = max(reports, key=_reached)
        return changed(
            kept,
            seconds=sum(report.seconds for report in reports),
            notes=(*kept.notes, _spread(reports)),
        )


def _reached(report: FitReport) -> float:
    return report.history[report.best_epoch]


def _spread(reports: list[FitReport]) -> str:
    values = np.array([_reached(report) for report in reports])
    each = ", ".join(f"{value:.4f}" for value in values)
    deviation = float(values.std(ddof=1)) if values.size > 1 else float("nan")
    return (
        f"{reports[0].metric} of {values.size} seeds: {each}; mean {values.mean():.4f}, standard "
        f"deviation {deviation:.4f}; the best was kept"
    )
