"""What fits without epochs share: the one validation value, and the report."""

import time
from collections.abc import Callable

from torch import nn

from recfunnel.train.base import FitReport, TrainingTask
from recfunnel.train.judging import clicks_judge, ranking_judge

NUM_VALIDATION_QUERIES = 2000
"""Validation queries behind the one value a closed form reports."""


def report_fit(
    model: nn.Module,
    task: TrainingTask,
    fit: Callable[[], None],
    k: int,
    *,
    is_baseline: bool = False,
) -> FitReport:
    """Run a fit that has no epochs and report its one validation value.

    Args:
        model: ends fitted.
        task: names the data.
        fit: fills the model.
        k: list length of NDCG.
        is_baseline: others are held against it, so that no better than chance is worth a note and
            no error.

    Returns:
        The report.

    Raises:
        ModelError: a score is not finite, or nothing was learned.
    """
    started_s = time.perf_counter()
    with task.progress.task(f"train {task.name}"):
        fit()
    seconds = time.perf_counter() - started_s
    model.to(task.device).eval()
    if task.dataset.task == "ctr":
        judge = clicks_judge(model, task)
    else:
        judge = ranking_judge(model, task, k, NUM_VALIDATION_QUERIES)
    reached = judge.validate()
    notes: tuple[str, ...] = ()
    if not is_baseline:
        judge.chance.check(task.name, reached, remedy="change its regularisation")
    elif not judge.chance.is_beaten(reached):
        notes = (f"no better than chance: {judge.chance.verdict(reached)}",)
    task.progress.log(f"{task.name}: {judge.chance.metric} {reached:.4f}, {seconds:.1f} s")
    return FitReport(
        seconds=seconds,
        metric=judge.chance.metric,
        history=(reached,),
        best_epoch=0,
        notes=notes,
    )
