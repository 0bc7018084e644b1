"""Figures of MP-Rec's evaluation beside ours."""

from collections.abc import Iterator, Sequence
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
from recfunnel.report.formatting import significant
from recfunnel.report.mprec import (
    CallRow,
    MPRecReproduction,
    RatioRow,
    SensitivityRow,
    SweepPoint,
)
from recfunnel.report.mprec_tables import with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = ("s", "^", "D", "v", "P", "X", "o", "<", ">")

LEAST_LOSS = 1e-5
"""Smaller losses are drawn as this."""

VISIBLE = 1.06
"""Highest over lowest ratio from which an assumption is drawn; the table has those below too."""

_AXES = {
    "query size": "mean candidates a query",
    "target": "target",
    "load": "offered load (queries/s)",
}


def mprec_figures(result: MPRecReproduction) -> tuple[Figure, ...]:
    """Every figure that there are results for."""
    figures = [ratios_figure(result.ratios), *calls_figures(result.calls)]
    figures += list(sensitivity_figures(result))
    best = {row.network: 0.0 for row in result.quality}
    for row in result.quality:
        best[row.network] = max(best[row.network], row.accuracy.value)
    return (*figures, *sweep_figures(result.sweeps, best))


def ratios_figure(rows: Sequence[RatioRow]) -> Figure:
    """Published ratios, ours, and what the roofline alone would give."""
    canvas, axes = new_axes(height_in=1.4 + 0.42 * len(rows))
    with house_style():
        for place, row in enumerate(rows):
            values = (row.published.value, row.expected, row.bound)
            axes.plot(values, [place] * 3, color=FAINT, linewidth=1.5, zorder=1)
        places = range(len(rows))
        published = [row.published.value for row in rows]
        axes.scatter(published, places, s=62, c=CHOSEN, marker="D", label="published", zorder=4)
        axes.scatter(
            [row.expected for row in rows],
            places,
            s=54,
            c=BASELINES[0],
            marker="o",
            label="ours, modelled",
            zorder=3,
        )
        axes.scatter(
            [row.bound for row in rows],
            places,
            s=44,
            c=MUTED,
            marker="|",
            linewidths=2,
            label="rooflines alone",
            zorder=2,
        )
        axes.set_yticks(places, [f"{_ratio_label(row)}\n{row.published.known}" for row in rows])
        axes.invert_yaxis()
        axes.set_xscale("log")
        mark_numbers(axes.xaxis)
        axes.set_xlabel("over the table on the CPU (times, log scale)")
        _legend(axes, 3)
        settle(canvas)
    told = "; ".join(
        f"{_ratio_label(row)}: published {significant(row.published.value)}, ours "
        f"{significant(row.expected)}"
        for row in rows
    )
    return Figure("mprec-ratios", "MP-Rec's ratios, published and modelled here", told, canvas)


def _ratio_label(row: RatioRow) -> str:
    what = "slowdown" if row.what.startswith("time") else "TCP"
    return f"{row.name}, {row.network}: {what}"


def calls_figures(rows: Sequence[CallRow]) -> Iterator[Figure]:
    """Time of a call on every platform, by representation; one figure a data set."""
    for network in dict.fromkeys(row.network for row in rows):
        yield _calls_figure(network, [row for row in rows if row.network == network])


def _calls_figure(network: str, rows: Sequence[CallRow]) -> Figure:
    platforms = list(dict.fromkeys(row.platform for row in rows))
    names = list(dict.fromkeys(row.representation for row in rows))
    canvas, axes = new_axes(height_in=1.2 + 0.42 * len(platforms))
    with house_style():
        for number, name in enumerate(names):
            own = [row for row in rows if row.representation == name]
            places = [platforms.index(row.platform) + 0.16 * (number - 1.5) for row in own]
            colour = BASELINES[number]
            for place, row in zip(places, own, strict=True):
                span = (row.bound_s, row.expected_s)
                axes.plot(span, (place, place), color=colour, linewidth=1.2, alpha=0.6)
            expected = [row.expected_s for row in own]
            mark = _MARKS[number]
            axes.scatter(expected, places, s=36, c=colour, marker=mark, label=name, zorder=3)
        axes.set_yticks(range(len(platforms)), platforms)
        axes.invert_yaxis()
        axes.set_xscale("log")
        mark_durations(axes.xaxis)
        axes.set_xlabel(f"one call of {rows[0].num_items} candidates (log scale)")
        _legend(axes, len(names))
        settle(canvas)
    told = "; ".join(
        f"{row.representation} on {row.platform} {1e3 * row.expected_s:.3g} ms" for row in rows
    )
    return Figure(
        f"mprec-calls-{network.lower()}",
        f"{network}: modelled time of a call; the line begins at the roofline alone",
        told,
        canvas,
    )


def sensitivity_figures(result: MPRecReproduction) -> Iterator[Figure]:
    """Each assumption varied alone, over the published ratio; one figure a kind of ratio."""
    speed_ups = {f"{r.name}, {r.network}" for r in result.ratios if not r.what.startswith("time")}
    parts = {
        "throughput": [row for row in result.sensitivity if row.ratio in speed_ups],
        "slowdown": [row for row in result.sensitivity if row.ratio not in speed_ups],
    }
    published = {f"{r.name}, {r.network}": r.published.value for r in result.ratios}
    for name, rows in parts.items():
        shown = [row for row in rows if max(row.ratios) > VISIBLE * min(row.ratios)]
        if shown:
            yield _sensitivity_figure(name, shown, published)


def _sensitivity_figure(
    name: str, rows: Sequence[SensitivityRow], published: dict[str, float]
) -> Figure:
    canvas, axes = new_axes(height_in=1.3 + 0.24 * len(rows))
    labels = []
    with house_style():
        for place, row in enumerate(rows):
            low, assumed, high = (ratio / published[row.ratio] for ratio in row.ratios)
            first = place == 0 or rows[place - 1].ratio != row.ratio
            if first and place:
                axes.axhline(place - 0.5, color=FAINT, linewidth=0.8)
            axes.plot((low, high), (place, place), color=BASELINES[3], linewidth=5, zorder=2)
            axes.scatter([low], [place], s=22, c=BASELINES[0], marker="<", zorder=3)
            axes.scatter([high], [place], s=22, c=BASELINES[0], marker=">", zorder=3)
            axes.scatter([assumed], [place], s=20, c=INK, marker="o", zorder=4)
            ends = f"{with_unit(row.values[0], row.unit)} to {with_unit(row.values[2], row.unit)}"
            labels.append(f"{row.ratio}: {row.assumption}, {ends}")
        axes.axvline(1, color=CHOSEN, linewidth=1.2)
        axes.set_yticks(range(len(rows)), labels, fontsize=8)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xscale("log")
        mark_numbers(axes.xaxis)
        axes.set_xlabel("our ratio over the published one (log scale; the line is the paper)")
        settle(canvas)
    told = "; ".join(
        f"{row.ratio}, {row.assumption}: {significant(min(row.ratios))} to "
        f"{significant(max(row.ratios))}"
        for row in rows
    )
    return Figure(
        f"mprec-sensitivity-{name}",
        "What each assumption does to our ratio, alone; a dot is what was assumed, arrows its "
        "lowest (left-pointing) and highest value",
        told,
        canvas,
    )


def sweep_figures(points: Sequence[SweepPoint], best: dict[str, float]) -> Iterator[Figure]:
    """Accuracy lost by every policy; one figure for each axis, design point and data set.

    Args:
        points: of all sweeps.
        best: accuracy of the best representation on each data set.
    """
    for axis, name, network in dict.fromkeys((p.axis, p.design_point, p.network) for p in points):
        own = [p for p in points if (p.axis, p.design_point, p.network) == (axis, name, network)]
        yield _sweep_figure(axis, f"{name}, {network}", own, best[network])


def _sweep_figure(axis: str, where: str, points: Sequence[SweepPoint], best: float) -> Figure:
    canvas, axes = new_axes(height_in=4.6)
    policies = list(dict.fromkeys(point.policy for point in points))
    with house_style():
        for number, policy in enumerate(policies):
            own = sorted((p for p in points if p.policy == policy), key=lambda p: p.at)
            chosen = number == len(policies) - 1
            axes.plot(
                [point.at for point in own],
                [max(best - point.delivered_quality, LEAST_LOSS) for point in own],
                color=CHOSEN if chosen else BASELINES[number % len(BASELINES)],
                linewidth=2.2 if chosen else 1.5,
                marker=_MARKS[number % len(_MARKS)],
                markersize=5,
                markeredgecolor="white",
                label=policy,
            )
        axes.set_xscale("log")
        (mark_durations if axis == "target" else mark_numbers)(axes.xaxis)
        axes.set_xlabel(f"{_AXES[axis]}, log scale")
        axes.set_ylabel("accuracy lost to the best\nrepresentation always in time, log scale")
        axes.set_yscale("log")
        axes.set_ylim(0.7 * LEAST_LOSS, 1.3)
        _legend(axes, 3)
        settle(canvas)
    told = "; ".join(
        f"{policy}: "
        + ", ".join(f"{p.delivered_quality:.3f} at {p.at:g}" for p in points if p.policy == policy)
        for policy in policies
    )
    name = f"mprec-{axis}-{where}".lower().replace(", ", "-").replace(" ", "-")
    title = f"{where}: accuracy lost over {_AXES[axis]}; late queries count 0, lower is better"
    return Figure(name, title, told, canvas)


def _legend(axes: "Axes", columns: int) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=columns,
        fontsize=8.8,
        columnspacing=1.6,
        borderaxespad=0.2,
    )
