"""RecPipe's accelerator figures as pictures: published, by its own model, corrected."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from recfunnel.report.figure import (
    BASELINES,
    CHOSEN,
    INK,
    MUTED,
    Figure,
    house_style,
    new_axes,
    settle,
)
from recfunnel.report.figure_legends import DASHED, DOTTED, legend, legend_of_styles
from recfunnel.report.figure_recpipe_load import (
    best_figure,
    loads_figure,
    ours_figure,
    scaling_figure,
    sleeping_figure,
    waterfall_figure,
)
from recfunnel.report.recpipe import (
    CachePoint,
    ComponentRow,
    EnergyRow,
    RecPipeReproduction,
    SystolicRow,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = ("o", "s", "^")


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
        figures.append(ours_figure(result.ours, result.loads))
        figures += [waterfall_figure(row) for row in result.waterfalls]
    if result.scaling:
        figures.append(scaling_figure(result.scaling, result.ours_scaling))
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
        legend(axes, 3)
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
        legend_of_styles(
            axes,
            [f"1/{round(1 / r)}, {s} MB" for r, s in CACHE_LINES],
            (("published", "D", "none"), ("FIFO", "", "-"), ("LRU", "", DASHED)),
            last=("static", "", DOTTED),
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
        linestyle=DASHED,
        linewidth=1.2,
    )
    axes.plot(
        shares,
        [point.static_cycles for point in points],
        color=colour,
        linestyle=DOTTED,
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
        legend(axes, 2)
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
        legend(axes, 5)
        settle(canvas)
    told = "; ".join(f"{m} {e:.0f} microjoules" for m, e in zip(mappings, ends, strict=True))
    return Figure("recpipe-energy", "Energy of a query, corrected model (simulated)", told, canvas)
