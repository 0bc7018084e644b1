"""What fitting a model takes and gives."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from recfunnel.core.dataset import Dataset
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.registry import Registry
from recfunnel.core.spec import Value
from recfunnel.models.base import ModelSpec


class TrainingSpec:
    """Role of a spec that fits a network."""

    __slots__ = ()

    @property
    def teachers(self) -> tuple[str, ...]:
        """Names of models that must be fitted before, whose scores are learned from."""
        return ()

    @abstractmethod
    def fit(self, model: nn.Module, task: "TrainingTask") -> "FitReport":
        """Fit `model` in place, choosing on `task.dataset.validation` only.

        Work interrupted at any moment goes on from what lies in `task.work_folder` when called
        again with the same task, and ends with the same parameters.

        Raises:
            ModelError: the loss or a score became NaN, or nothing was learned.
            StudyError: the spec does not suit the model or the data.
        """


trainings: Registry[TrainingSpec] = Registry(TrainingSpec, "recfunnel.train")
"""Ways to fit a network, one file each in `recfunnel.train`."""


class ModelEntry(Value, frozen=True):
    """One model of a study.

    Args:
        model: what to build.
        training: how to fit it.
        score_inputs: names of models whose scores this one reads, in order. A stage computes those
            that no earlier stage has.
    """

    model: ModelSpec
    training: TrainingSpec
    score_inputs: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class TrainingTask:
    """Everything a trainer may look at.

    Args:
        name: the model's name in the study.
        dataset: train, and validation for every choice; never its test split.
        entries: every model of the study by name, for the score inputs.
        score_inputs: names of the models whose scores the network reads.
        zoo_folder: where finished models lie, one folder a name; score inputs are there already.
        work_folder: for checkpoints and intermediate results of this one model.
        seed: of this model.
        device: torch device to train on.
        progress: told about epochs and losses.
    """

    name: str
    dataset: Dataset
    entries: Mapping[str, ModelEntry]
    score_inputs: tuple[str, ...]
    zoo_folder: Path
    work_folder: Path
    seed: int
    device: str = "cpu"
    progress: Progress = SILENT


class FitReport(Value, frozen=True):
    """What fitting came to.

    Args:
        seconds: spent fitting, over all interrupted attempts.
        metric: name of the validation metric, such as `ndcg@64`.
        history: its value after each epoch (or the one value of a closed form).
        best_epoch: index into `history` of the parameters that were kept.
        notes: anything a reader of the numbers must know.
    """

    seconds: float
    metric: str
    history: tuple[float, ...]
    best_epoch: int
    notes: tuple[str, ...] = ()
