"""Epochs with early stopping that go on after a kill as if nothing had happened.

Every epoch draws from its own named random streams, so no generator state has to be stored: what
epoch 7 does depends on the seed, the parameters after epoch 6, and nothing else.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from msgspec import UNSET, UnsetType
from torch import Tensor, nn
from torch.utils import deterministic

from recfunnel.core.errors import ModelError, StudyError
from recfunnel.core.progress import Task
from recfunnel.core.seeds import rng_for, seed_for
from recfunnel.core.spec import Value
from recfunnel.train.attempt import Standing, load_attempt, save_attempt
from recfunnel.train.base import FitReport, TrainingTask
from recfunnel.train.optimisers import Descent, Mover
from recfunnel.train.validation import Chance


class Patience(Value, frozen=True):
    """When to stop.

    Args:
        max_epochs: planned epochs, which the learning rate's decay also counts on.
        epochs: stop after this many without a better validation value.
        max_seconds: stop after the epoch in which fitting reaches this; 0 for no limit. A result
            cut by the clock is not repeatable, and its report says so.
        min_steps: an epoch of fewer is made of several passes over the data, so that little data
            is not judged and given up after a handful of steps. One pass when not set, which keeps
            the hash of a model fitted before this could be said.
    """

    max_epochs: int = 10
    epochs: int = 2
    max_seconds: float = 0.0
    min_steps: int | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.max_epochs < 1 or self.epochs < 1:
            raise StudyError(
                f"max_epochs is {self.max_epochs} and epochs (of patience) {self.epochs}; "
                "both must be at least 1"
            )
        if self.max_seconds < 0:
            raise StudyError(f"max_seconds is {self.max_seconds}, must not be negative")
        if self.min_steps is not UNSET and self.min_steps < 1:
            raise StudyError(f"min_steps is {self.min_steps}, must be at least 1")


@dataclass(frozen=True, eq=False, slots=True)
class Course:
    """What one kind of training does in an epoch.

    Args:
        num_steps: in one epoch.
        losses: yields the loss of each step, given the epoch's random stream.
        validate: the validation value, higher is better.
        chance: what the value is without knowledge.
        pairs_per_step: mean scored pairs a step, for the rate shown.
    """

    num_steps: int
    losses: Callable[[np.random.Generator], Iterator[Tensor]]
    validate: Callable[[], float]
    chance: Chance
    pairs_per_step: float

    def with_steps(self, min_steps: int) -> "Course":
        """The same with as many passes over the data an epoch as give it so many steps."""
        passes = -(-min_steps // self.num_steps)
        if passes < 2:
            return self

        def losses(rng: np.random.Generator) -> Iterator[Tensor]:
            for _ in range(passes):
                yield from self.losses(rng)

        return replace(self, num_steps=passes * self.num_steps, losses=losses)


def run_epochs(
    module: nn.Module, task: TrainingTask, descent: Descent, patience: Patience, course: Course
) -> FitReport:
    """Train until the planned end or until validation no longer improves; keep the best epoch.

    Args:
        module: trained in place; ends with the best epoch's parameters.
        task: names, seed, folders, progress.
        descent: how parameters are moved.
        patience: when to stop.
        course: what an epoch does.

    Returns:
        The report.

    Raises:
        ModelError: a loss is not finite, or nothing was learned.
    """
    if patience.min_steps is not UNSET:
        course = course.with_steps(patience.min_steps)
    mover = Mover(module, descent, patience.max_epochs * course.num_steps)
    standing, best = load_attempt(task.work_folder, module, mover)
    with repeatable(), task.progress.task(f"train {task.name}", patience.max_epochs) as bar:
        bar.advance(standing.num_epochs)
        while not _finished(standing, patience):
            standing = _one_epoch(module, task, mover, course, standing, bar, patience)
            if standing.best_epoch == standing.num_epochs - 1:
                best = {n: v.detach().clone() for n, v in module.state_dict().items()}
            save_attempt(task.work_folder, module, mover, best, standing)
            task.progress.log(
                f"{task.name}: epoch {standing.num_epochs} of {patience.max_epochs}, "
                f"loss {standing.losses[-1]:.4f}, {course.chance.metric} "
                f"{standing.history[-1]:.4f}, {standing.seconds:.1f} s"
            )
    mover.release()
    module.load_state_dict(best)
    module.eval()
    course.chance.check(
        task.name,
        standing.history[standing.best_epoch],
        remedy="change its learning rate, give it more epochs",
    )
    return _report(standing, course.chance.metric, patience)


def _one_epoch(
    module: nn.Module,
    task: TrainingTask,
    mover: Mover,
    course: Course,
    standing: Standing,
    bar: Task,
    patience: Patience,
) -> Standing:
    epoch = standing.num_epochs
    started_s = time.perf_counter()
    torch.manual_seed(seed_for(task.seed, "epoch", epoch))
    rng = rng_for(task.seed, task.name, "epoch", epoch)
    module.train()
    total, said_s = 0.0, started_s
    for number, loss in enumerate(course.losses(rng)):
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(
                f"the loss of {task.name!r} is {value} in epoch {epoch + 1}, step {number + 1}; "
                "lower its learning rate or set max_gradient_norm"
            )
        mover.step(loss)
        total += value
        bar.advance(1 / course.num_steps)
        now_s = time.perf_counter()
        if now_s - said_s > 0.5:
            said_s = now_s
            steps_per_s = (number + 1) / (now_s - started_s)
            left = patience.max_epochs * course.num_steps - mover.num_taken
            bar.note(
                f"loss {total / (number + 1):.4f} · "
                f"{steps_per_s * course.pairs_per_step:,.0f} pairs/s · "
                f"{left / steps_per_s:.0f} s left"
            )
    metric = course.validate()
    if math.isnan(metric):
        raise ModelError(f"validation {course.chance.metric} of {task.name!r} is nan")
    loss_mean = total / course.num_steps
    return standing.after(loss_mean, metric, standing.seconds + time.perf_counter() - started_s)


def _finished(standing: Standing, patience: Patience) -> bool:
    if standing.num_epochs >= patience.max_epochs:
        return True
    if patience.max_seconds and standing.seconds >= patience.max_seconds:
        return True
    return standing.num_epochs - 1 - standing.best_epoch >= patience.epochs


def _report(standing: Standing, metric: str, patience: Patience) -> FitReport:
    notes = [f"training loss of the kept epoch {standing.losses[standing.best_epoch]:.4f}"]
    if patience.max_seconds and standing.seconds >= patience.max_seconds:
        notes.append(f"stopped by the clock after {patience.max_seconds:g} s; not repeatable")
    if standing.best_epoch == patience.max_epochs - 1 and patience.max_epochs > 1:
        notes.append("validation was best in the last epoch; more epochs may still help")
    return FitReport(
        seconds=standing.seconds,
        metric=metric,
        history=standing.history,
        best_epoch=standing.best_epoch,
        notes=tuple(notes),
    )


@contextmanager
def repeatable() -> Iterator[None]:
    """Ask torch for operations whose result does not depend on the order of threads."""
    before = torch.are_deterministic_algorithms_enabled()
    filled = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory guards against reading it; it costs a pass over every activation.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
