"""Figure: predicted against measured latency, with the band a prediction should fall in."""

import math
from typing import TYPE_CHECKING

import numpy as np

from recfunnel.core.results import Estimate
from recfunnel.report.figure import BASELINES, CHOSEN, MUTED, Figure, house_style, new_axes, settle
from recfunnel.report.figure_ticks import mark_durations
from recfunnel.report.findings import VerificationRow
from recfunnel.report.formatting import compact_name, percent
from recfunnel.report.summary import RunSummary
from recfunnel.report.tables import LARGE_ERROR

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def verification_figure(summary: RunSummary) -> Figure | None:
    """p50 and p99, predicted over measured; None before anything was verified."""
    rows = [r for r in summary.verification if not math.isnan(r.p99_error)]
    if not rows:
        return None
    canvas, axes = new_axes(width_in=8.4, height_in=5.2)
    with house_style():
        _draw_band(axes, rows)
        for name, colour in _colours(rows).items():
            _draw_path(axes, [r for r in rows if r.name == name], colour)
        _label_axes(axes)
        settle(canvas)
    clean = [abs(r.p99_error) for r in rows if not r.polluted]
    inside = sum(error <= LARGE_ERROR for error in clean)
    return Figure(
        "verification",
        "Predicted against measured latency",
        f"{inside} of {len(clean)} undisturbed p99 predictions lie within "
        f"{percent(LARGE_ERROR)} of the measurement.",
        canvas,
    )


def _colours(rows: list[VerificationRow]) -> dict[str, str]:
    colours: dict[str, str] = {}
    for row in rows:
        if row.role == "chosen":
            colours[row.name] = CHOSEN
    for row in rows:
        if row.name not in colours:
            colours[row.name] = BASELINES[(len(colours) - (CHOSEN in colours.values())) % 6]
    return colours


def _draw_band(axes: "Axes", rows: list[VerificationRow]) -> None:
    values = [
        e.mean
        for r in rows
        for e in (r.predicted_p50_s, r.measured_p50_s, r.predicted_p99_s, r.measured_p99_s)
        if 0 < e.mean < math.inf
    ]
    ends = np.array([min(values) / 1.5, max(values) * 1.5])
    axes.plot(ends, ends, color=MUTED, linewidth=1, label="exact")
    axes.fill_between(
        ends,
        ends * (1 - LARGE_ERROR),
        ends * (1 + LARGE_ERROR),
        color=MUTED,
        alpha=0.13,
        linewidth=0,
        label=f"within {percent(LARGE_ERROR)}",
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)


def _draw_path(axes: "Axes", rows: list[VerificationRow], colour: str) -> None:
    clean = [r for r in rows if not r.polluted]
    polluted = [r for r in rows if r.polluted]
    name = compact_name(rows[0].name)
    _points(
        axes, [(r.measured_p50_s, r.predicted_p50_s) for r in clean], "o", colour, f"{name}, p50"
    )
    _points(
        axes, [(r.measured_p99_s, r.predicted_p99_s) for r in clean], "s", colour, f"{name}, p99"
    )
    _points(
        axes,
        [(r.measured_p99_s, r.predicted_p99_s) for r in polluted],
        "x",
        colour,
        f"{name}, disturbed",
    )
    for row in rows:
        axes.annotate(
            percent(row.load_fraction),
            (row.measured_p99_s.mean, row.predicted_p99_s.mean),
            xytext=(7, -9),
            textcoords="offset points",
            fontsize=8,
            color=MUTED,
        )


def _points(
    axes: "Axes", pairs: list[tuple[Estimate, Estimate]], marker: str, colour: str, label: str
) -> None:
    shown = [(m, p) for m, p in pairs if 0 < m.mean < math.inf and 0 < p.mean < math.inf]
    if not shown:
        return
    filled = marker == "s"
    axes.errorbar(
        [m.mean for m, _ in shown],
        [p.mean for _, p in shown],
        xerr=[_bar(m) for m, _ in shown],
        yerr=[_bar(p) for _, p in shown],
        fmt=marker,
        markersize=6,
        color=colour,
        markerfacecolor=colour if filled else "white",
        markeredgewidth=1.4,
        elinewidth=0.9,
        label=label,
        zorder=3,
    )


def _bar(value: Estimate) -> float:
    return min(value.stderr, 0.9 * value.mean) if math.isfinite(value.stderr) else 0.0


def _label_axes(axes: "Axes") -> None:
    axes.set_xlabel("measured latency (log scale)")
    axes.set_ylabel("predicted latency (log scale)")
    for axis in (axes.xaxis, axes.yaxis):
        mark_durations(axis)
    axes.legend(loc="upper left", fontsize=8.8)
    axes.annotate(
        "labels: offered load over predicted capacity",
        (0.995, 0.015),
        xycoords="axes fraction",
        horizontalalignment="right",
        fontsize=8,
        color=MUTED,
    )
