"""Figures: items a second over candidates, catalogue, tables, features and threads."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from recfunnel.bench.results import our_name
from recfunnel.bench.scaling_result import Axis, ScalingPoint, ScalingResult
from recfunnel.report.figure import (
    BASELINES,
    CHOSEN,
    FAINT,
    MUTED,
    Figure,
    house_style,
    new_axes,
    settle,
)
from recfunnel.report.figure_ticks import mark_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS: dict[Axis, str] = {
    "candidates": "candidates a query",
    "catalogue": "items in the catalogue",
    "tables": "rows in all tables",
    "features": "categorical features",
    "threads": "cores",
}

LONG_NUMBER = 1e6
"""Axes that go beyond are marked `20 k`, `5 M`, for the numbers would meet."""

_MARKS = ("s", "^", "D", "v", "P", "X", "o")

_OURS = (
    our_name("compiled", "bfloat16"),
    our_name("compiled", "float32"),
    our_name("hoisted", "bfloat16"),
    our_name("plain", "bfloat16"),
    our_name("plain", "float32"),
)
"""In the order they are drawn and named; each looks the same in every figure."""


def scaling_figures(result: ScalingResult) -> tuple[Figure, ...]:
    """One for each axis that was measured."""
    axes = dict.fromkeys(point.axis for point in result.points)
    return tuple(_figure(result, axis) for axis in axes)


def _figure(result: ScalingResult, axis: Axis) -> Figure:
    canvas, axes = new_axes(height_in=4.6)
    curves = list(_curves(result, axis))
    with house_style():
        for name, points in curves:
            _draw(axes, name, points, _look(name, [curve[0] for curve in curves]))
        axes.set_xlabel(LABELS[axis])
        axes.set_ylabel("items a second (millions)")
        _scale(axes, axis, curves)
        _mark_caches(axes, result, axis)
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=3,
            fontsize=8.8,
            columnspacing=1.6,
            borderaxespad=0.2,
        )
        settle(canvas)
    told = "; ".join(
        f"{name}: {points[0].items_per_s / 1e6:.3g} to {points[-1].items_per_s / 1e6:.3g}"
        for name, points in curves
    )
    return Figure(
        f"scaling-{axis}",
        f"{result.model}: items a second over {LABELS[axis]}",
        f"Millions of items a second, from the fewest to the most {LABELS[axis]}. {told}",
        canvas,
    )


def _curves(result: ScalingResult, axis: Axis) -> Iterator[tuple[str, list[ScalingPoint]]]:
    """Points of each back-end, from left to right."""
    points = sorted((p for p in result.points if p.axis == axis), key=lambda p: p.at)
    names = dict.fromkeys(point.name for point in points)
    for name in sorted(names, key=lambda name: _OURS.index(name) if name in _OURS else len(_OURS)):
        yield name, [point for point in points if point.name == name]


def _look(name: str, names: Sequence[str]) -> int:
    """Which colour and mark; 0 is that of the chosen."""
    if name in _OURS:
        return _OURS.index(name)
    others = [other for other in names if other not in _OURS]
    return len(_OURS) + others.index(name)


def _scale(axes: "Axes", axis: Axis, curves: Sequence[tuple[str, Sequence[ScalingPoint]]]) -> None:
    """Logarithmic both ways; cores from 0 on plain axes."""
    if axis == "threads":
        most = max(point.at for _, points in curves for point in points)
        axes.set_xticks(range(1, most + 1))
        axes.set_ylim(bottom=0)
        return
    axes.set_xscale("log")
    axes.set_yscale("log")
    mark_numbers(axes.xaxis)
    if axes.get_xlim()[1] > LONG_NUMBER:
        axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    mark_numbers(axes.yaxis)


def _short(value: float) -> str:
    """`500`, `20 k`, `5 M`."""
    for scale, unit in ((1e6, " M"), (1e3, " k")):
        if value >= scale:
            return f"{value / scale:g}{unit}"
    return f"{value:g}"


def _draw(axes: "Axes", name: str, points: Sequence[ScalingPoint], look: int) -> None:
    chosen = look == 0
    colour = CHOSEN if chosen else BASELINES[(look - 1) % len(BASELINES)]
    places = [point.at for point in points]
    low, high = zip(*(_range(point) for point in points), strict=True)
    axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(
        places,
        [point.items_per_s / 1e6 for point in points],
        color=colour,
        linewidth=2.2 if chosen else 1.5,
        marker=_MARKS[look % len(_MARKS)],
        markersize=4.5,
        markeredgecolor="white",
        markeredgewidth=0.7,
        label=name,
    )


def _range(point: ScalingPoint) -> tuple[float, float]:
    """Of the rounds."""
    rates = [point.num_candidates / seconds / 1e6 for seconds in point.timing.rounds_s]
    return min(rates), max(rates)


def _mark_caches(axes: "Axes", result: ScalingResult, axis: Axis) -> None:
    """Where what is read at random outgrows a cache."""
    bytes_each = {"catalogue": result.record_bytes, "tables": 4 * result.dim}.get(axis)
    if bytes_each is None:
        return
    low, high = axes.get_xlim()
    for name, size in result.caches.items():
        place = size / bytes_each
        if name != "L1" and low < place < high:
            axes.axvline(place, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                f"fills {name}",
                (place, 0.5),
                xycoords=("data", "axes fraction"),
                xytext=(4, 0),
                textcoords="offset points",
                rotation=90,
                verticalalignment="center",
                fontsize=8.4,
                color=MUTED,
            )
