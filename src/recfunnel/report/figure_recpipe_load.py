"""Figures 12 to 14 of RecPipe: latency under load, and what its faults and its sleeping do."""

import math
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from recfunnel.report.figure import (
    BASELINES,
    CHOSEN,
    FAINT,
    INK,
    MUTED,
    Figure,
    house_style,
    new_axes,
    settle,
)
from recfunnel.report.figure_legends import DASHED, DOTTED, Line, legend, legend_of_styles
from recfunnel.report.figure_ticks import mark_durations, mark_numbers
from recfunnel.report.formatting import duration
from recfunnel.report.recpipe import BestRow, LoadRow, OursRow, WaterfallRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_S = 0.1
"""Longer times than this are of a load that is not held, and are not drawn."""


def loads_figure(rows: Sequence[LoadRow]) -> Figure:
    """Figure 12: the best mapping's p95 over the load."""
    canvas, axes = new_axes(height_in=4.8)
    numbers = sorted({row.num_stages for row in rows})
    names = [f"{number} stage{'s' if number > 1 else ''}" for number in numbers]
    with house_style():
        for place, number in enumerate(numbers):
            own = [row for row in rows if row.num_stages == number]
            _load_lines(axes, own, BASELINES[place], names[place])
        axes.set_xscale("log")
        axes.set_yscale("log")
        mark_numbers(axes.xaxis)
        mark_durations(axes.yaxis)
        axes.set_xlabel("load that was set (queries/s, log scale)")
        axes.set_ylabel("p95 of the best mapping (log scale)")
        legend_of_styles(
            axes,
            names,
            (("logged", "D", "none"), ("with sleeping", "", "-"), ("their model", "", DASHED)),
            last=("corrected", "", DOTTED),
        )
        settle(canvas)
    told = "; ".join(
        f"{row.num_stages} stages at {row.rate_qps:.0f} queries/s: logged "
        f"{duration(row.logged_p95_s)}, their model {duration(row.p95_s.mean)}"
        for row in rows
        if row.fission in {(1,), (4, 4), (4, 4, 4)}
    )
    return Figure("recpipe-12", "Figure 12: the tail under load (simulated)", told, canvas)


def ours_figure(rows: Sequence[OursRow], loads: Sequence[LoadRow]) -> Figure:
    """Figure 12 on our model: p99 of the best of each kind, beside the published model's."""
    canvas, axes = new_axes(height_in=4.8)
    kinds = list(dict.fromkeys(row.kind for row in rows))
    numbers = {kinds[0]: 1, kinds[2]: 2, kinds[3]: 3}
    with house_style():
        for place, kind in enumerate(kinds):
            colour = BASELINES[place]
            own = [(row.rate_qps, row.p99_s.mean) for row in rows if row.kind == kind]
            _shown_line(axes, own, colour, "-", "o")
            if kind in numbers:
                theirs = [row for row in loads if row.num_stages == numbers[kind]]
                rates = sorted({row.rate_qps for row in theirs})
                best = [
                    (q, min(row.p99_s.mean for row in theirs if row.rate_qps == q)) for q in rates
                ]
                _shown_line(axes, best, colour, DASHED, "None")
        axes.set_xscale("log")
        axes.set_yscale("log")
        mark_numbers(axes.xaxis)
        mark_durations(axes.yaxis)
        axes.set_xlabel("load (queries/s, log scale)")
        axes.set_ylabel("p99 of the best mapping (log scale)")
        legend_of_styles(
            axes, kinds, (("our model", "o", "-"),), last=("published model", "", DASHED)
        )
        settle(canvas)
    told = "; ".join(
        f"{row.kind} at {row.rate_qps:.0f} queries/s: {duration(row.p99_s.mean)}" for row in rows
    )
    return Figure(
        "recpipe-12-ours", "Figure 12 on our model of the accelerator (simulated)", told, canvas
    )


def _shown_line(
    axes: "Axes", points: Sequence[tuple[float, float]], colour: str, line: Line, mark: str
) -> None:
    shown = [(q, each) for q, each in points if each < LONGEST_S]
    axes.plot(
        [q for q, _ in shown],
        [each for _, each in shown],
        color=colour,
        linestyle=line,
        marker=mark,
        markersize=4,
        linewidth=1.5,
    )


def _load_lines(axes: "Axes", rows: Sequence[LoadRow], colour: str, name: str) -> None:
    rates = sorted({row.rate_qps for row in rows})

    def best(value: Callable[[LoadRow], float]) -> tuple[list[float], list[float]]:
        found = [(q, min(value(row) for row in rows if row.rate_qps == q)) for q in rates]
        shown = [(q, each) for q, each in found if each < LONGEST_S]
        return [q for q, _ in shown], [each for _, each in shown]

    axes.scatter(
        *best(attrgetter("logged_p95_s")),
        s=30,
        marker="D",
        facecolors="none",
        edgecolors=colour,
        linewidths=1.4,
        label=name,
        zorder=4,
    )
    axes.plot(*best(attrgetter("emulated_p95_s.mean")), color=colour, linewidth=1.6)
    axes.plot(*best(attrgetter("p95_s.mean")), color=colour, linestyle=DASHED, linewidth=1.3)
    axes.plot(
        *best(attrgetter("corrected_p95_s.mean")), color=colour, linestyle=DOTTED, linewidth=1.7
    )


def sleeping_figure(rows: Sequence[LoadRow]) -> Figure:
    """Simulated over logged p95 of every run that kept up, with and without sleeping."""
    canvas, axes = new_axes(height_in=4.2)
    shown = [row for row in rows if not row.logged_saturated and row.p95_s.mean < LONGEST_S]
    with house_style():
        for value, colour, mark, name in (
            (attrgetter("p95_s.mean"), BASELINES[3], "o", "their model, exponential gaps"),
            (attrgetter("emulated_p95_s.mean"), CHOSEN, "D", "with what sleeping adds"),
        ):
            axes.scatter(
                [row.rate_qps for row in shown],
                [value(row) / row.logged_p95_s for row in shown],
                s=14,
                c=colour,
                marker=mark,
                alpha=0.55,
                linewidths=0,
                label=name,
            )
        axes.axhline(1, color=INK, linewidth=1)
        axes.set_xscale("log")
        axes.set_yscale("log")
        mark_numbers(axes.xaxis)
        mark_numbers(axes.yaxis)
        axes.set_xlabel("load that was set (queries/s, log scale)")
        axes.set_ylabel("simulated p95 over the logged one\n(log scale)")
        legend(axes, 2)
        settle(canvas)
    told = f"{len(shown)} runs of 37 mappings that kept up; a point is one run"
    return Figure(
        "recpipe-12-sleeping",
        "Figure 12: what the emulation's sleeping adds to its model",
        told,
        canvas,
    )


def waterfall_figure(row: WaterfallRow) -> Figure:
    """Service time from the published model to the corrected one."""
    canvas, axes = new_axes(width_in=9.6, height_in=1.2 + 0.3 * (len(row.steps) + 2))
    before_ms = 1e3 * row.published_s
    with house_style():
        axes.barh(0, before_ms, height=0.6, color=MUTED)
        _value(axes, before_ms, 0, f"{before_ms:.3f} ms")
        for place, step in enumerate(row.steps, 1):
            after_ms = 1e3 * step.cumulative_s
            slower = after_ms > before_ms
            axes.barh(
                place,
                after_ms - before_ms,
                left=before_ms,
                height=0.6,
                color=CHOSEN if slower else BASELINES[1],
            )
            change = after_ms - before_ms
            text = "0" if abs(change) < 5e-4 else f"{change:+.3f}".replace("-", "\N{MINUS SIGN}")
            _value(axes, max(before_ms, after_ms), place, text)
            before_ms = after_ms
        end = len(row.steps) + 1
        axes.barh(end, before_ms, height=0.6, color=INK)
        _value(axes, before_ms, end, f"{before_ms:.3f} ms")
        faults = [
            step.fault if len(step.fault) <= 62 else f"{step.fault[:60]}…" for step in row.steps
        ]
        axes.set_yticks(range(end + 1), ["published model", *faults, "corrected model"], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(
            0, 1.12 * max(1e3 * row.published_s, *(1e3 * s.cumulative_s for s in row.steps))
        )
        axes.set_xlabel(
            "service time of all stages (ms); each bar is what correcting one fault does"
        )
        settle(canvas)
    told = "; ".join(f"{step.fault}: {duration(step.cumulative_s)}" for step in row.steps)
    name = "-".join("".join(c if c.isalnum() else " " for c in row.mapping).split())
    return Figure(
        f"recpipe-waterfall-{name}",
        f"From the published model to the corrected one: {row.mapping} (simulated)",
        told,
        canvas,
    )


def _value(axes: "Axes", end: float, place: float, text: str) -> None:
    axes.annotate(
        text,
        (end, place),
        xytext=(4, 0),
        textcoords="offset points",
        verticalalignment="center",
        fontsize=8,
        color=MUTED,
    )


def scaling_figure(rows: Sequence[LoadRow], ours: Sequence[OursRow]) -> Figure:
    """Figure 13: p95 over the items of the first stage, at the lowest load."""
    rate = min(row.rate_qps for row in rows)
    canvas, axes = new_axes(height_in=4.6)
    numbers = sorted({row.num_stages for row in rows})
    names = [f"{number} stage{'s' if number > 1 else ''}" for number in numbers]
    with house_style():
        for place, number in enumerate(numbers):
            own = [row for row in rows if row.num_stages == number and row.rate_qps == rate]
            _scaling_lines(axes, own, BASELINES[place], names[place])
            best = [
                (row.items[0], row.p95_s.mean)
                for row in ours
                if row.rate_qps == rate and len(row.items) == number
            ]
            _shown_line(axes, best, BASELINES[place], "-", "o")
        axes.set_yscale("log")
        mark_durations(axes.yaxis)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("items of the first stage")
        axes.set_ylabel(f"best p95 at {rate:,.0f} queries/s (log scale)")
        legend_of_styles(
            axes,
            names,
            (
                ("logged", "D", "none"),
                ("with sleeping", "", "-"),
                ("their model", "", DASHED),
                ("corrected", "", DOTTED),
            ),
            last=("our model", "o", "-"),
        )
        settle(canvas)
    told = "; ".join(
        f"{row.items}: logged {duration(row.logged_p95_s)}" for row in rows if row.rate_qps == rate
    )
    return Figure("recpipe-13", "Figure 13: more items for the same load (simulated)", told, canvas)


def _scaling_lines(axes: "Axes", rows: Sequence[LoadRow], colour: str, name: str) -> None:
    sizes = sorted({row.items for row in rows})
    firsts = [items[0] for items in sizes]

    def best(value: Callable[[LoadRow], float]) -> list[float]:
        found = [min(value(row) for row in rows if row.items == items) for items in sizes]
        return [each if each < 10 * LONGEST_S else math.nan for each in found]

    axes.scatter(
        firsts,
        best(attrgetter("logged_p95_s")),
        s=34,
        marker="D",
        facecolors="none",
        edgecolors=colour,
        linewidths=1.4,
        label=name,
        zorder=4,
    )
    for value, style in (
        (attrgetter("emulated_p95_s.mean"), "-"),
        (attrgetter("p95_s.mean"), DASHED),
        (attrgetter("corrected_p95_s.mean"), DOTTED),
    ):
        axes.plot(firsts, best(value), color=colour, linestyle=style, linewidth=1.5)


def best_figure(rows: Sequence[BestRow]) -> Figure:
    """Figure 14: every platform and number of stages, a group for each load."""
    canvas, axes = new_axes(height_in=1.4 + 0.26 * len(rows))
    labels = [
        f"{row.target.partition(',')[0]}: {row.platform}, {row.num_stages} "
        f"stage{'s' if row.num_stages > 1 else ''}"
        for row in rows
    ]
    with house_style():
        for value, colour, mark, name in (
            (attrgetter("published_p95_s"), INK, "D", "published"),
            (attrgetter("p95_s"), BASELINES[0], "o", "their model, no sleeping"),
            (attrgetter("corrected_p95_s"), CHOSEN, "s", "corrected"),
            (attrgetter("ours_p95_s"), BASELINES[1], "^", "our model"),
        ):
            known = [(value(row), place) for place, row in enumerate(rows) if value(row)]
            axes.scatter(
                [each for each, _ in known],
                [place for _, place in known],
                s=36,
                c=colour,
                marker=mark,
                label=name,
                zorder=3,
            )
        for place, row in enumerate(rows):
            if place and rows[place - 1].target != row.target:
                axes.axhline(place - 0.5, color=FAINT, linewidth=0.8)
            if row.published_p95_s is None and row.p95_s is None:
                axes.annotate(
                    "does not hold the load",
                    (0.01, place),
                    xycoords=("axes fraction", "data"),
                    verticalalignment="center",
                    fontsize=8,
                    color=MUTED,
                )
        axes.set_yticks(range(len(rows)), labels, fontsize=8.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xscale("log")
        mark_durations(axes.xaxis)
        axes.set_xlabel("best p95 (log scale); CPU and GPU as the authors measured them")
        legend(axes, 3)
        settle(canvas)
    told = "; ".join(
        f"{label}: {duration(row.published_p95_s)}" for label, row in zip(labels, rows, strict=True)
    )
    return Figure("recpipe-14", "Figure 14: platforms at three loads", told, canvas)
