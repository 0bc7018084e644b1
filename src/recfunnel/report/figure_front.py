"""Figure: quality against capacity, everything evaluated, the front, baselines and the choice."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recfunnel.core.results import DesignPoint, ServingPlan
from recfunnel.report.answer import short_name
from recfunnel.report.figure import CHOSEN, FAINT, INK, MUTED, Figure, house_style, new_axes, settle
from recfunnel.report.figure_labels import Label, place_labels
from recfunnel.report.figure_ticks import mark_durations, mark_numbers
from recfunnel.report.formatting import (
    duration,
    duration_estimate,
    estimate,
    quantile_name,
    rate,
    significant,
)
from recfunnel.report.summary import RunSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_MAX_SPAN = 3.0
"""Baselines further below the front than this many times its height lie on the lower edge."""


def front_figure(summary: RunSummary) -> Figure | None:
    """NDCG over capacity; None before there is a front."""
    plan = summary.plan
    if plan is None or not plan.front.points:
        return None
    canvas, axes = new_axes(height_in=4.9)
    with house_style():
        tooltips = _draw(canvas, axes, summary, plan)
    return Figure(
        "front",
        "Ranking quality against capacity",
        f"{len(plan.front.points)} paths on the Pareto front of NDCG, tail latency and capacity, "
        f"with {len(plan.baselines)} baselines and {len(summary.evaluated)} other evaluated paths. "
        + ("The chosen path is ringed." if plan.chosen else "No path meets the target."),
        canvas,
        tooltips,
    )


def _draw(canvas: "Canvas", axes: "Axes", summary: RunSummary, plan: ServingPlan) -> dict[str, str]:
    tail = quantile_name(plan.service_level.quantile)
    axes.set_xscale("log")
    axes.set_xlabel(
        f"capacity with {tail} within {duration(plan.service_level.deadline_s)}"
        " (queries/s, log scale)"
    )
    axes.set_ylabel(f"NDCG@{summary.k}")
    scale = _set_limits(axes, summary, plan)
    axes.scatter(
        *_xy(summary.evaluated, scale),
        s=7,
        color=FAINT,
        linewidths=0,
        label="evaluated",
        zorder=1.5,
    )
    _draw_front(canvas, axes, plan)
    _draw_baselines(axes, plan, scale)
    _draw_choice(axes, plan)
    axes.axvline(plan.rate_qps, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1.2)
    axes.annotate(
        f"planned load\n{rate(plan.rate_qps)}",
        (plan.rate_qps, 0.985),
        xycoords=("data", "axes fraction"),
        xytext=(-5, 0),
        textcoords="offset points",
        horizontalalignment="right",
        verticalalignment="top",
        fontsize=8.4,
        color=MUTED,
    )
    mark_numbers(axes.xaxis)
    _draw_legend(axes)
    settle(canvas)
    place_labels(axes, _labels(plan, scale), _dots(plan, scale))
    return {f"point-{i}": _tooltip(p, plan) for i, p in enumerate(plan.front.points)}


class _Scale(NamedTuple):
    """NDCG below which baselines lie on the lower edge, and where that edge is drawn."""

    floor: float
    edge: float


def _set_limits(axes: "Axes", summary: RunSummary, plan: ServingPlan) -> _Scale:
    drawn = [*plan.front.points, *plan.baselines, *summary.evaluated]
    positive = [c for c in (*map(_capacity, drawn), plan.rate_qps) if 0 < c < math.inf]
    axes.set_xlim(min(positive) / 1.35, max(positive) * 1.6)
    quality = np.array([_ndcg(p) for p in plan.front.points])
    top = float(quality.max())
    height = max(top - float(np.quantile(quality, 0.25)), 0.03 * top, 1e-3)
    floor = max(min(map(_ndcg, drawn)), top - _MAX_SPAN * height)
    span = max(top - floor, 1e-3)
    axes.set_ylim(floor - 0.11 * span, top + 0.14 * span)
    return _Scale(floor, floor - 0.06 * span)


def _height(point: DesignPoint, scale: _Scale) -> float:
    return _ndcg(point) if _ndcg(point) >= scale.floor else scale.edge


def _ndcg(point: DesignPoint) -> float:
    return point.objectives.ndcg.mean


def _xy(points: Sequence[DesignPoint], scale: _Scale) -> tuple[list[float], list[float]]:
    shown = [p for p in points if _ndcg(p) >= scale.floor and _capacity(p) > 0]
    return [_capacity(p) for p in shown], [_ndcg(p) for p in shown]


def _capacity(point: DesignPoint) -> float:
    return point.objectives.capacity_qps.mean


def _dots(plan: ServingPlan, scale: _Scale) -> list[tuple[float, float]]:
    """Where labels would cover something: points, and the ends of their error bars."""
    points = [p for p in (*plan.front.points, *plan.baselines) if _capacity(p) > 0]
    top = max(map(_ndcg, plan.front.points))
    ends = [
        (_capacity(p), end)
        for p in plan.front.points
        for end in p.objectives.ndcg.interval(0.68)
        if math.isfinite(end)
    ]
    line = [(plan.rate_qps, height) for height in np.linspace(scale.edge, top, 40)]
    return [(_capacity(p), _height(p, scale)) for p in points] + ends + line


def _draw_front(canvas: "Canvas", axes: "Axes", plan: ServingPlan) -> None:
    import matplotlib
    from matplotlib.colors import LogNorm

    tails = [p.objectives.tail_latency_s.mean for p in plan.front.points]
    finite = [t for t in tails if math.isfinite(t)] or [plan.service_level.deadline_s]
    norm = LogNorm(min(finite) / 1.01, max(finite) * 1.01)
    colours = matplotlib.colormaps["viridis_r"]
    for index, (point, tail_s) in enumerate(zip(plan.front.points, tails, strict=True)):
        _draw_error_bars(axes, point)
        colour = colours(norm(tail_s)) if math.isfinite(tail_s) else "white"
        axes.scatter(
            [_capacity(point)],
            [_ndcg(point)],
            s=46,
            color=[colour],
            edgecolors="white" if math.isfinite(tail_s) else MUTED,
            linewidths=0.9,
            zorder=3,
            gid=f"point-{index}",
            label="Pareto front" if index == 0 else None,
        )
    bar = canvas.colorbar(
        matplotlib.cm.ScalarMappable(norm, colours), ax=axes, pad=0.015, aspect=32, fraction=0.04
    )
    bar.set_label(
        f"{quantile_name(plan.service_level.quantile)} at {rate(plan.rate_qps)}", color=INK
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelcolor=INK)
    mark_durations(bar.ax.yaxis)


def _draw_error_bars(axes: "Axes", point: DesignPoint) -> None:
    goals = point.objectives
    errors = [
        e if math.isfinite(e) else 0.0 for e in (goals.ndcg.stderr, goals.capacity_qps.stderr)
    ]
    axes.errorbar(
        [_capacity(point)],
        [goals.ndcg.mean],
        yerr=[errors[0]],
        xerr=[errors[1]],
        fmt="none",
        ecolor=MUTED,
        elinewidth=0.7,
        alpha=0.55,
        zorder=2,
    )


def _draw_baselines(axes: "Axes", plan: ServingPlan, scale: _Scale) -> None:
    placed = [p for p in plan.baselines if _capacity(p) > 0]
    for marker, label, is_below in (("D", "baseline", False), ("v", "below the scale", True)):
        group = [p for p in placed if (_ndcg(p) < scale.floor) is is_below]
        if group:
            axes.scatter(
                [_capacity(p) for p in group],
                [_height(p, scale) for p in group],
                marker=marker,
                s=62,
                facecolors="none",
                edgecolors=INK,
                linewidths=1.2,
                zorder=3.5,
                label=label,
            )


def _draw_legend(axes: "Axes") -> None:
    from matplotlib.lines import Line2D

    order = ("Pareto front", "chosen", "baseline", "below the scale", "evaluated")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    names = [name for name in order if name in handles]
    handles["Pareto front"] = Line2D([], [], linestyle="", marker="o", color="#21918c")
    axes.legend(
        [handles[n] for n in names],
        names,
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=5,
        fontsize=8.8,
        handletextpad=0.3,
        columnspacing=1.6,
        borderaxespad=0.2,
        markerscale=0.8,
    )


def _draw_choice(axes: "Axes", plan: ServingPlan) -> None:
    if plan.chosen is None:
        return
    axes.scatter(
        [_capacity(plan.chosen)],
        [_ndcg(plan.chosen)],
        s=170,
        facecolors="none",
        edgecolors=CHOSEN,
        linewidths=2.2,
        zorder=4,
        label="chosen",
    )


def _labels(plan: ServingPlan, scale: _Scale) -> list[Label]:
    labels = []
    if plan.chosen is not None:
        text = f"{short_name(plan.chosen.path)}\n{rate(_capacity(plan.chosen))}"
        labels.append(Label(_capacity(plan.chosen), _ndcg(plan.chosen), text, CHOSEN, bold=True))
    for point in sorted(plan.baselines, key=_ndcg, reverse=True):
        if _capacity(point) <= 0:
            continue
        below = f" {significant(_ndcg(point))}" if _ndcg(point) < scale.floor else ""
        text = f"{' → '.join(point.path.pipeline.models)}{below}"
        labels.append(Label(_capacity(point), _height(point, scale), text, INK))
    return labels


def _tooltip(point: DesignPoint, plan: ServingPlan) -> str:
    goals = point.objectives
    return (
        f"{point.path.name}: NDCG {estimate(goals.ndcg)}, "
        f"{quantile_name(plan.service_level.quantile)} {duration_estimate(goals.tail_latency_s)}, "
        f"capacity {estimate(goals.capacity_qps)} queries/s"
    )
