"""Labels beside points that cover neither each other nor other points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recfunnel.core.arrays import DoubleArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

_DIRECTIONS = ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))
_HORIZONTAL: dict[int, Literal["left", "center", "right"]] = {1: "left", 0: "center", -1: "right"}
_VERTICAL: dict[int, Literal["bottom", "center", "top"]] = {1: "bottom", 0: "center", -1: "top"}
_DISTANCES_PT = (8.0, 13.0, 22.0, 34.0, 48.0, 64.0, 84.0, 108.0, 140.0)


@dataclass(frozen=True, slots=True)
class Label:
    """A text to place beside a point.

    Args:
        x: in data units.
        y: in data units.
        text: what to write.
        colour: of the text.
        bold: whether it stands out.
    """

    x: float
    y: float
    text: str
    colour: str
    bold: bool = False


def place_labels(
    axes: "Axes", labels: Sequence[Label], avoid: Sequence[tuple[float, float]] = ()
) -> None:
    """Write each label at the nearest free place around its point, a thin line where it is far.

    Earlier labels choose first. Where nothing is free the least covered place is taken.

    Args:
        axes: with its final limits, settled.
        labels: most important first.
        avoid: points in data units that labels should not cover.
    """
    inside = axes.get_window_extent()
    taken: list[Bbox] = []
    spots = [*avoid, *((label.x, label.y) for label in labels)]
    points = axes.transData.transform(np.array(spots).reshape(-1, 2))
    for label in labels:
        taken.append(_place(axes, label, taken, points, inside))


def _place(
    axes: "Axes", label: Label, taken: Sequence["Bbox"], points: DoubleArray, inside: "Bbox"
) -> "Bbox":
    text = _annotate(axes, label, 1, 1, 0.0, None)
    size = text.get_window_extent()
    text.remove()
    anchor = axes.transData.transform((label.x, label.y))
    pixels = pixels_per_point(axes)
    best: tuple[float, float, int, int, Bbox] | None = None
    for distance in _DISTANCES_PT:
        for side, rise in _DIRECTIONS:
            box = _box(anchor, size, side * distance * pixels, rise * distance * pixels)
            cost = _covered(box, taken, points, inside)
            if best is None or cost < best[0]:
                best = (cost, distance, side, rise, box)
        if best is not None and best[0] == 0:
            break
    assert best is not None  # there is at least one distance and direction
    _, distance, side, rise, box = best
    line = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.6, "shrinkB": 3}
    _annotate(axes, label, side, rise, distance, line if distance > _DISTANCES_PT[1] else None)
    return box


def pixels_per_point(axes: "Axes") -> float:
    """Canvas pixels of a typographic point."""
    canvas = axes.get_figure(root=True)
    assert canvas is not None  # axes come from `figure.new_axes`
    return float(canvas.dpi) / 72


def _box(anchor: DoubleArray, size: "Bbox", right: float, up: float) -> "Bbox":
    """Where a text of that size lies when moved from its point, in pixels."""
    from matplotlib.transforms import Bbox

    left = anchor[0] + right - size.width * (0.5 - 0.5 * np.sign(right))
    bottom = anchor[1] + up - size.height * (0.5 - 0.5 * np.sign(up))
    return Bbox.from_bounds(left, bottom, size.width, size.height).padded(4)


def _covered(box: "Bbox", taken: Sequence["Bbox"], points: DoubleArray, inside: "Bbox") -> float:
    outside = max(0.0, inside.x0 - box.x0) + max(0.0, box.x1 - inside.x1)
    outside += max(0.0, inside.y0 - box.y0) + max(0.0, box.y1 - inside.y1)
    texts = sum(box.overlaps(other) for other in taken)
    margin = 3.0
    dots = (
        (points[:, 0] > box.x0 - margin)
        & (points[:, 0] < box.x1 + margin)
        & (points[:, 1] > box.y0 - margin)
        & (points[:, 1] < box.y1 + margin)
    ).sum()
    return float(10 * outside + 20 * texts + 4 * dots)


def _annotate(
    axes: "Axes", label: Label, side: int, rise: int, distance: float, line: dict[str, Any] | None
) -> "Annotation":
    return axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=(side * distance, rise * distance),
        textcoords="offset points",
        horizontalalignment=_HORIZONTAL[side],
        verticalalignment=_VERTICAL[rise],
        fontsize=8.6,
        fontweight="bold" if label.bold else "normal",
        color=label.colour,
        arrowprops=line,
    )
