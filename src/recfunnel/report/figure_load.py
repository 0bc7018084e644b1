"""Figure: latency over load of the chosen path and its baselines, with the load that saturates."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from recfunnel.core.results import Estimate
from recfunnel.report.figure import (
    BASELINES,
    CHOSEN,
    MUTED,
    Figure,
    house_style,
    new_axes,
    settle,
)
from recfunnel.report.figure_ticks import mark_durations
from recfunnel.report.findings import LoadCurve
from recfunnel.report.formatting import compact_name, duration, rate
from recfunnel.report.summary import RunSummary
from recfunnel.simulate.load import LoadPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def load_figure(summary: RunSummary) -> Figure | None:
    """p50 and p99 over offered load; None before any curve was simulated."""
    curves = [c for c in summary.curves if any(p.steady for p in c.points)]
    if not curves:
        return None
    canvas, axes = new_axes(height_in=4.7)
    with house_style():
        for curve, colour in coloured(curves):
            _draw_curve(axes, curve, colour)
        _draw_target(axes, summary)
        _label_axes(axes, curves)
        settle(canvas)
    saturated = [
        f"{compact_name(c.name)} saturates at {rate(c.saturation_qps)}"
        for c in curves
        if c.saturation_qps is not None
    ]
    return Figure(
        "load",
        "Latency under load",
        f"p50 and p99 over offered load: {', '.join(compact_name(c.name) for c in curves)}. "
        + "; ".join(saturated),
        canvas,
    )


def coloured(curves: list[LoadCurve]) -> Iterator[tuple[LoadCurve, str]]:
    """Each curve with its colour; the chosen one is always the same colour, drawn last."""
    baselines = [c for c in curves if c.role == "baseline"]
    for index, curve in enumerate(baselines):
        yield curve, BASELINES[index % len(BASELINES)]
    for curve in curves:
        if curve.role == "chosen":
            yield curve, CHOSEN


def _draw_curve(axes: "Axes", curve: LoadCurve, colour: str) -> None:
    points = [p for p in curve.points if p.steady and math.isfinite(p.p99_s.mean)]
    rates = [p.rate_qps for p in points]
    width = 2.2 if curve.role == "chosen" else 1.5
    axes.fill_between(
        rates, *_band(points, lambda p: p.p99_s), color=colour, alpha=0.15, linewidth=0
    )
    axes.plot(
        rates, [p.p50_s.mean for p in points], color=colour, linewidth=1.1, linestyle=(0, (4, 2))
    )
    axes.plot(
        rates,
        [p.p99_s.mean for p in points],
        color=colour,
        linewidth=width,
        marker="o",
        markersize=4.5,
        markeredgecolor="white",
        markeredgewidth=0.7,
        label=compact_name(curve.name),
    )
    if curve.saturation_qps is not None:
        axes.axvline(curve.saturation_qps, color=colour, linewidth=1, linestyle=":")
        _note(axes, f"saturates at {rate(curve.saturation_qps)}", curve.saturation_qps, colour)


def _note(axes: "Axes", text: str, rate_qps: float, colour: str) -> None:
    """Text along a vertical line, right of it: a curve comes to its saturation from the left."""
    axes.annotate(
        text,
        (rate_qps, 0.985),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        rotation=90,
        verticalalignment="top",
        fontsize=8.4,
        color=colour,
    )


def _band(
    points: list[LoadPoint], value: Callable[[LoadPoint], Estimate]
) -> tuple[list[float], list[float]]:
    """95 % interval, kept above 0 for the logarithmic axis."""
    low, high = [], []
    for point in points:
        found = value(point)
        ends = found.interval() if math.isfinite(found.stderr) else (found.mean, found.mean)
        low.append(max(ends[0], 0.05 * found.mean))
        high.append(ends[1])
    return low, high


def _draw_target(axes: "Axes", summary: RunSummary) -> None:
    if summary.plan is None:
        return
    deadline_s, rate_qps = summary.plan.service_level.deadline_s, summary.plan.rate_qps
    axes.axhline(deadline_s, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.axvline(rate_qps, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    _note(axes, f"planned load {rate(rate_qps)}", rate_qps, MUTED)
    axes.annotate(
        f"deadline {duration(deadline_s)}",
        (0.998, deadline_s),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        horizontalalignment="right",
        fontsize=8.4,
        color=MUTED,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )


def _label_axes(axes: "Axes", curves: list[LoadCurve]) -> None:
    axes.set_yscale("log")
    ends = [end for c in curves for end in (c.saturation_qps, *(p.rate_qps for p in c.points))]
    axes.set_xlim(0, 1.05 * max(end for end in ends if end is not None))
    axes.set_xlabel("offered load (queries/s)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("latency (log scale)")
    mark_durations(axes.yaxis)
    _draw_legend(axes, curves)


def _draw_legend(axes: "Axes", curves: list[LoadCurve]) -> None:
    from matplotlib.lines import Line2D

    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    names = [compact_name(c.name) for c in sorted(curves, key=lambda c: c.role == "baseline")]
    kinds = [
        Line2D([], [], color=MUTED, label="p99"),
        Line2D([], [], color=MUTED, linestyle=(0, (4, 2)), linewidth=1.1, label="p50"),
    ]
    axes.legend(
        [*(handles[n] for n in names), *kinds],
        [*names, "p99", "p50"],
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=min(5, 6 - len(curves) // 3),
        fontsize=8.8,
        columnspacing=1.6,
        borderaxespad=0.2,
    )
