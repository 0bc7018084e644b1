"""Figure: where the distance between a perfect list and the served one is lost, stage by stage."""

import math
from typing import TYPE_CHECKING

from recfunnel.core.results import Estimate
from recfunnel.quality.attribution import LossAttribution
from recfunnel.report.figure import CHOSEN, INK, MUTED, Figure, house_style, new_axes, settle
from recfunnel.report.formatting import count, estimate
from recfunnel.report.summary import RunSummary
from recfunnel.report.tables import last_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CUT = "#0072b2"
_ORDER = "#56b4e9"


def quality_figure(summary: RunSummary) -> Figure | None:
    """A waterfall from 1 to the achieved NDCG; None before it was attributed."""
    parts = summary.attribution
    if parts is None:
        return None
    canvas, axes = new_axes(height_in=1.5 + 0.46 * (len(parts.stages) + 2))
    with house_style():
        _draw(axes, parts, summary.k)
        settle(canvas)
    losses = "; ".join(f"{s.stage.model} loses {estimate(s.loss)}" for s in parts.stages)
    return Figure(
        "quality",
        "Quality lost by stage",
        f"From a perfect list, NDCG 1, to {estimate(parts.ndcg)}: {losses}; "
        f"the final order loses {estimate(parts.ordering_loss)}.",
        canvas,
    )


def _draw(axes: "Axes", parts: LossAttribution, k: int) -> None:
    labels = ["perfect list"]
    _bar(axes, 0, 0.0, Estimate.exact(1.0), "#d9dde3", "1")
    top = 1.0
    for row, part in enumerate(parts.stages, start=1):
        stage = part.stage
        labels.append(f"{stage.model} keeps {count(stage.num_out)} of {count(stage.num_in)}")
        _loss_bar(axes, row, top, part.loss, _CUT)
        top -= part.loss.mean
    last = len(labels)
    labels.append(f"{last_model(parts)} orders what is left")
    _loss_bar(axes, last, top, parts.ordering_loss, _ORDER)
    labels.append(f"served, NDCG@{k}")
    _bar(axes, last + 1, 0.0, parts.ndcg, CHOSEN, estimate(parts.ndcg), bold=True)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.24)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_xlabel(f"NDCG@{k}")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _loss_bar(axes: "Axes", row: int, top: float, loss: Estimate, colour: str) -> None:
    text = estimate(loss)
    _bar(axes, row, top - loss.mean, loss, colour, f"\N{MINUS SIGN}{text}")
    axes.plot([top, top], [row - 1.3, row + 0.3], color=MUTED, linewidth=0.7, zorder=1.5)
    axes.plot([top - loss.mean] * 2, [row + 0.3, row + 0.7], color=MUTED, linewidth=0.7)


def _bar(
    axes: "Axes",
    row: int,
    left: float,
    value: Estimate,
    colour: str,
    text: str,
    *,
    bold: bool = False,
) -> None:
    error = value.stderr if math.isfinite(value.stderr) and value.stderr > 0 else None
    axes.barh(
        [row],
        [value.mean],
        left=left,
        height=0.6,
        color=colour,
        xerr=error,
        error_kw={"ecolor": INK, "elinewidth": 0.9},
    )
    axes.annotate(
        text,
        (left + value.mean + (error or 0), row),
        xytext=(7, 0),
        textcoords="offset points",
        verticalalignment="center",
        fontsize=9,
        fontweight="bold" if bold else "normal",
        color=INK,
    )
