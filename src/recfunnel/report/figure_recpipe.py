"""Figures of RecPipe's accelerator: published or logged, by its own model, and corrected."""

import math
from collections.abc import Callable, Iterator, Sequence
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
from recfunnel.report.figure_ticks import mark_durations, mark_numbers
from recfunnel.report.formatting import duration
from recfunnel.report.recpipe import (
    BestRow,
    CachePoint,
    ComponentRow,
    EnergyRow,
    LoadRow,
    RecPipeReproduction,
    SystolicRow,
    WaterfallRow,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = ("o", "s", "^")
_DASHED, _DOTTED = (0, (5, 2)), (0, (1, 1.5))

LONGEST_S = 0.1
"""Longer times than this are of a load that is not held, and are not drawn."""


def recpipe_figures(result: RecPipeReproduction) -> tuple[Figure, ...]:
    """Every figure that there are results for.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figures = []
    if result.systolic:
        figures.append(systolic_figure(result.systolic))
    if result.caches:
        figures.append(caches_figure(result.caches))
    if result.components:
        figures += [*component_figures(result.components), energy_figure(result.energies)]
    if result.loads:
        figures += [loads_figure(result.loads), sleeping_figure(result.loads)]
        figures += [waterfall_figure(row) for row in result.waterfalls]
    if result.scaling:
        figures.append(scaling_figure(result.scaling))
    if result.best:
        figures.append(best_figure(result.best))
    return tuple(figures)


def systolic_figure(rows: Sequence[SystolicRow]) -> Figure:
    """Figure 10a: utilisation over the array's side."""
    canvas, axes = new_axes(height_in=4.2)
    networks = list(dict.fromkeys(row.network for row in rows))
    with house_style():
        for number, network in enumerate(networks):
            own = [row for row in rows if row.network == network]
            known = [row for row in own if row.published_utilisation is not None]
            axes.plot(
                [row.side for row in own],
                [100 * row.utilisation for row in own],
                color=BASELINES[number],
                marker=_MARKS[number],
                markersize=5,
                label=f"{network}, ours",
            )
            axes.scatter(
                [row.side for row in known],
                [100 * (row.published_utilisation or 0) for row in known],
                marker="D",
                s=34,
                facecolors="none",
                edgecolors=BASELINES[number],
                linewidths=1.4,
                label=f"{network}, published",
                zorder=4,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks([row.side for row in rows if row.network == networks[0]])
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.set_xlabel("side of the square array")
        axes.set_ylabel("elements at work (percent)")
        axes.set_ylim(0, 104)
        _legend(axes, 3)
        settle(canvas)
    told = "; ".join(
        f"{row.network} on {row.side}: {100 * row.utilisation:.0f} percent" for row in rows
    )
    return Figure(
        "recpipe-10a", "Figure 10a: a small network wastes a large array (simulated)", told, canvas
    )


CACHE_LINES = ((1 / 8, 4), (1 / 8, 12), (1 / 16, 12))
"""Filter ratios and sizes that the authors' figure shows."""


def caches_figure(points: Sequence[CachePoint]) -> Figure:
    """Figure 10c: mean access time over the front stage's share."""
    canvas, axes = new_axes(height_in=4.6)
    with house_style():
        for number, (ratio, size) in enumerate(CACHE_LINES):
            own = [p for p in points if (p.filter_ratio, p.size_mb) == (ratio, size)]
            name = f"1/{round(1 / ratio)}, {size} MB"
            _cache_lines(axes, own, BASELINES[number], name)
        axes.set_xlabel("front stage's share of the memory")
        axes.set_ylabel("mean access time (cycles)")
        _legend_of_styles(
            axes,
            [f"1/{round(1 / r)}, {s} MB" for r, s in CACHE_LINES],
            (("published", "D", "none"), ("FIFO", "", "-"), ("LRU", "", _DASHED)),
            last=("static", "", _DOTTED),
        )
        settle(canvas)
    told = "; ".join(
        f"share {p.front_share:g}: published {p.published_cycles:.1f}, FIFO {p.fifo_cycles:.1f}, "
        f"LRU {p.lru_cycles:.1f}, static {p.static_cycles:.1f}"
        for p in points
        if (p.filter_ratio, p.size_mb) == CACHE_LINES[1]
    )
    return Figure(
        "recpipe-10c",
        "Figure 10c: dividing memory between two stages' caches (simulated)",
        told,
        canvas,
    )


def _cache_lines(axes: "Axes", points: Sequence[CachePoint], colour: str, name: str) -> None:
    shares = [point.front_share for point in points]
    axes.scatter(
        shares,
        [point.published_cycles for point in points],
        s=22,
        marker="D",
        facecolors="none",
        edgecolors=colour,
        label=name,
        zorder=3,
    )
    axes.plot(shares, [point.fifo_cycles for point in points], color=colour, linewidth=1.4)
    axes.plot(
        shares,
        [point.lru_cycles for point in points],
        color=colour,
        linestyle=_DASHED,
        linewidth=1.2,
    )
    axes.plot(
        shares,
        [point.static_cycles for point in points],
        color=colour,
        linestyle=_DOTTED,
        linewidth=1.6,
    )


def component_figures(rows: Sequence[ComponentRow]) -> Iterator[Figure]:
    """Figure 11: area and power of both chips."""
    parts = [row for row in rows if row.name != "all"]
    whole = next(row for row in rows if row.name == "all")
    yield _component_figure("area", "mm²", parts, whole, lambda row: row.published_mm2)
    yield _component_figure("power", "W", parts, whole, lambda row: row.published_w)


def _component_figure(
    what: str,
    unit: str,
    parts: Sequence[ComponentRow],
    whole: ComponentRow,
    value: Callable[[ComponentRow], tuple[float, float]],
) -> Figure:
    canvas, axes = new_axes(height_in=1.3 + 0.42 * len(parts))
    names = ("baseline", "RPAccel")
    with house_style():
        for chip, colour in enumerate((BASELINES[0], CHOSEN)):
            places = [place + 0.19 * (2 * chip - 1) for place in range(len(parts))]
            values = [value(row)[chip] for row in parts]
            axes.barh(places, values, height=0.36, color=colour, label=names[chip])
            for place, each in zip(places, values, strict=True):
                axes.annotate(
                    f"{each:.3g}",
                    (each, place),
                    xytext=(4, 0),
                    textcoords="offset points",
                    verticalalignment="center",
                    fontsize=8,
                    color=MUTED,
                )
        axes.set_yticks(range(len(parts)), [row.name for row in parts])
        axes.invert_yaxis()
        axes.set_xlabel(f"{what} at 12 nm ({unit})")
        _legend(axes, 2)
        settle(canvas)
    before, after = value(whole)
    told = f"baseline {before:.4g} {unit}, RPAccel {after:.4g} {unit}"
    return Figure(
        f"recpipe-11-{what}",
        f"Figure 11: {what}, {told} ({100 * (after / before - 1):+.1f} %)",
        "; ".join(f"{row.name}: {value(row)[0]:.4g} and {value(row)[1]:.4g}" for row in parts),
        canvas,
    )


ENERGY_PARTS = {
    "multiply-adds": ("multiply-adds", "registers"),
    "SRAM": ("activation SRAM", "weight SRAM", "row SRAM"),
    "DRAM": ("DRAM transfers", "DRAM rows opened"),
    "PCIe": ("PCIe",),
    "leakage": ("leakage",),
}


def energy_figure(rows: Sequence[EnergyRow]) -> Figure:
    """Energy of a query, by component, with the range of the whole."""
    mappings = list(dict.fromkeys(row.mapping for row in rows))
    canvas, axes = new_axes(height_in=1.3 + 0.4 * len(mappings))
    with house_style():
        ends = [0.0] * len(mappings)
        for number, (name, components) in enumerate(ENERGY_PARTS.items()):
            values = [
                1e6 * sum(r.energy_j for r in rows if r.mapping == m and r.component in components)
                for m in mappings
            ]
            axes.barh(
                range(len(mappings)),
                values,
                left=ends,
                height=0.5,
                color=BASELINES[number],
                label=name,
            )
            ends = [end + value for end, value in zip(ends, values, strict=True)]
        for place, mapping in enumerate(mappings):
            own = [row for row in rows if row.mapping == mapping]
            span = [1e6 * sum(row.low_j for row in own), 1e6 * sum(row.high_j for row in own)]
            axes.plot(span, [place, place], color=INK, linewidth=1, marker="|", markersize=7)
        axes.set_yticks(range(len(mappings)), mappings)
        axes.invert_yaxis()
        axes.set_xlabel(
            "energy of a query alone (\N{MICRO SIGN}J); the line is the plausible range"
        )
        _legend(axes, 5)
        settle(canvas)
    told = "; ".join(f"{m} {e:.0f} microjoules" for m, e in zip(mappings, ends, strict=True))
    return Figure("recpipe-energy", "Energy of a query, corrected model (simulated)", told, canvas)


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
        _legend_of_styles(
            axes,
            names,
            (("logged", "D", "none"), ("with sleeping", "", "-"), ("their model", "", _DASHED)),
            last=("corrected", "", _DOTTED),
        )
        settle(canvas)
    told = "; ".join(
        f"{row.num_stages} stages at {row.rate_qps:.0f} queries/s: logged "
        f"{duration(row.logged_p95_s)}, their model {duration(row.p95_s.mean)}"
        for row in rows
        if row.fission in {(1,), (4, 4), (4, 4, 4)}
    )
    return Figure("recpipe-12", "Figure 12: the tail under load (simulated)", told, canvas)


def _load_lines(axes: "Axes", rows: Sequence[LoadRow], colour: str, name: str) -> None:
    rates = sorted({row.rate_qps for row in rows})

    def best(value: Callable[[LoadRow], float]) -> tuple[list[float], list[float]]:
        found = [(q, min(value(row) for row in rows if row.rate_qps == q)) for q in rates]
        shown = [(q, each) for q, each in found if each < LONGEST_S]
        return [q for q, _ in shown], [each for _, each in shown]

    axes.scatter(
        *best(lambda row: row.logged_p95_s),
        s=30,
        marker="D",
        facecolors="none",
        edgecolors=colour,
        linewidths=1.4,
        label=name,
        zorder=4,
    )
    axes.plot(*best(lambda row: row.emulated_p95_s.mean), color=colour, linewidth=1.6)
    axes.plot(*best(lambda row: row.p95_s.mean), color=colour, linestyle=_DASHED, linewidth=1.3)
    axes.plot(
        *best(lambda row: row.corrected_p95_s.mean), color=colour, linestyle=_DOTTED, linewidth=1.7
    )


def sleeping_figure(rows: Sequence[LoadRow]) -> Figure:
    """Simulated over logged p95 of every run that kept up, with and without sleeping."""
    canvas, axes = new_axes(height_in=4.2)
    shown = [row for row in rows if not row.logged_saturated and row.p95_s.mean < LONGEST_S]
    with house_style():
        for value, colour, mark, name in (
            (lambda row: row.p95_s.mean, BASELINES[3], "o", "their model, exponential gaps"),
            (lambda row: row.emulated_p95_s.mean, CHOSEN, "D", "with what sleeping adds"),
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
        _legend(axes, 2)
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


def scaling_figure(rows: Sequence[LoadRow]) -> Figure:
    """Figure 13: p95 over the items of the first stage, at the lowest load."""
    rate = min(row.rate_qps for row in rows)
    canvas, axes = new_axes(height_in=4.6)
    numbers = sorted({row.num_stages for row in rows})
    names = [f"{number} stage{'s' if number > 1 else ''}" for number in numbers]
    with house_style():
        for place, number in enumerate(numbers):
            own = [row for row in rows if row.num_stages == number and row.rate_qps == rate]
            _scaling_lines(axes, own, BASELINES[place], names[place])
        axes.set_yscale("log")
        mark_durations(axes.yaxis)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("items of the first stage")
        axes.set_ylabel(f"best p95 at {rate:,.0f} queries/s (log scale)")
        _legend_of_styles(
            axes,
            names,
            (("logged", "D", "none"), ("with sleeping", "", "-"), ("their model", "", _DASHED)),
            last=("corrected", "", _DOTTED),
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
        best(lambda row: row.logged_p95_s),
        s=34,
        marker="D",
        facecolors="none",
        edgecolors=colour,
        linewidths=1.4,
        label=name,
        zorder=4,
    )
    for value, style in (
        (lambda row: row.emulated_p95_s.mean, "-"),
        (lambda row: row.p95_s.mean, _DASHED),
        (lambda row: row.corrected_p95_s.mean, _DOTTED),
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
            (lambda row: row.published_p95_s, INK, "D", "published"),
            (lambda row: row.p95_s, BASELINES[0], "o", "their model, no sleeping"),
            (lambda row: row.corrected_p95_s, CHOSEN, "s", "corrected"),
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
        _legend(axes, 3)
        settle(canvas)
    told = "; ".join(
        f"{label}: {duration(row.published_p95_s)}" for label, row in zip(labels, rows, strict=True)
    )
    return Figure("recpipe-14", "Figure 14: platforms at three loads", told, canvas)


def _legend(axes: "Axes", columns: int) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=columns,
        fontsize=8.8,
        columnspacing=1.6,
        borderaxespad=0.2,
    )


Style = tuple[str, str, str | tuple[int, tuple[float, ...]]]
"""Name, mark and line of a kind of value."""


def _legend_of_styles(
    axes: "Axes", names: Sequence[str], styles: Sequence[Style], last: Style
) -> None:
    """Colours by what is shown, marks and lines by how it came about."""
    from matplotlib.lines import Line2D

    colours = [
        Line2D([], [], color=BASELINES[place], linewidth=3, label=name)
        for place, name in enumerate(names)
    ]
    kinds = [
        Line2D(
            [],
            [],
            color=MUTED,
            marker=mark or "None",
            markerfacecolor="none",
            linestyle=line,
            label=name,
        )
        for name, mark, line in (*styles, last)
    ]
    axes.legend(
        handles=[*colours, *kinds],
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=4,
        fontsize=8.8,
        columnspacing=1.6,
        borderaxespad=0.2,
    )
