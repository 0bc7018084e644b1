"""Figure: quality delivered in time over load, a line a policy."""

from collections.abc import Sequence

from recfunnel.core.errors import InvalidInput
from recfunnel.report.figure import (
    BASELINES,
    CHOSEN,
    MUTED,
    Figure,
    house_style,
    new_axes,
    settle,
)
from recfunnel.simulate.paths_trial import OURS, TrialResult

_MARKS = ("s", "^", "D", "v", "P", "X")


def delivered_figure(
    result: TrialResult, policies: Sequence[str], bounds: Sequence[tuple[float, float]] = ()
) -> Figure:
    """Delivered quality of some policies, and what no schedule can exceed.

    Args:
        result: of a trial.
        policies: to be drawn beside `OURS`, at most 6; intervals are 95 %.
        bounds: (load, quality), where known.

    Returns:
        The figure.

    Raises:
        InvalidInput: a policy is not in the trial, or there are too many.
    """
    known = [found.policy for found in result.loads[0].policies]
    if len(policies) > len(_MARKS) or not set(policies) <= set(known):
        raise InvalidInput(
            f"{', '.join(policies)} cannot be drawn; name at most {len(_MARKS)} of: "
            f"{', '.join(known)}"
        )
    canvas, axes = new_axes(height_in=4.2)
    with house_style():
        for name, colour, mark in zip(policies, BASELINES, _MARKS, strict=False):
            axes.errorbar(*_line(result, name), color=colour, marker=mark, label=name, capsize=2)
        axes.errorbar(
            *_line(result, OURS), color=CHOSEN, marker="o", label=OURS, capsize=2, linewidth=2.2
        )
        if bounds:
            axes.plot(*zip(*bounds, strict=True), color=MUTED, linestyle=":", label="upper bound")
        axes.set_xlabel(f"load, in times of what {result.best_static!r} carries alone")
        axes.set_ylabel("quality delivered in time")
        axes.set_ylim(bottom=0.0)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))  # beside: lines are everywhere
        settle(canvas)
    way = "executed" if result.executed else "simulated"
    return Figure(
        "delivered",
        f"Quality delivered in time, {way}",
        f"Mean quality over all queries, 0 where late or never answered, {way}, over load: "
        + ", ".join((*policies, OURS)),
        canvas,
    )


def _line(result: TrialResult, name: str) -> tuple[list[float], list[float], list[float]]:
    """Loads, means and half intervals of one policy."""
    found = [
        next(p.delivered.delivered_quality for p in load.policies if p.policy == name)
        for load in result.loads
    ]
    halves = [0.0 if e.num_samples < 2 else (e.interval()[1] - e.interval()[0]) / 2 for e in found]
    return [load.load for load in result.loads], [e.mean for e in found], halves
