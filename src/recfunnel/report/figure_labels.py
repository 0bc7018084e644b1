"""Labels beside points that cover neither each other nor other points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_DIRECTIONS = ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))
_DISTANCES_PT = (7.0, 13.0, 22.0, 34.0, 48.0, 64.0)


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
        axes: with its final limits.
        labels: most important first.
        avoid: points in data units that labels should not cover.
    """
    canvas = axes.get_figure(root=True)
    assert canvas is not None  # axes come from `figure.new_axes`
    canvas.draw_without_rendering()
    inside = axes.get_window_extent()
    taken: list[Bbox] = []
    spots = [*avoid, *((label.x, label.y) for label in labels)]
    points = axes.transData.transform(np.array(spots).reshape(-1, 2))
    for label in labels:
        taken.append(_place(axes, label, taken, points, inside))


def _place(
    axes: "Axes", label: Label, taken: Sequence["Bbox"], points: np.ndarray, inside: "Bbox"
) -> "Bbox":
    best: tuple[float, float, int, int, Bbox] | None = None
    for distance in _DISTANCES_PT:
        for side, rise in _DIRECTIONS:
            text = _annotate(axes, label, side, rise, distance)
            box = text.get_window_extent().padded(4)
            text.remove()
            cost = _covered(box, taken, points, inside)
            if best is None or cost < best[0]:
                best = (cost, distance, side, rise, box)
        if best is not None and best[0] == 0:
            break
    assert best is not None  # there is at least one distance and direction
    _, distance, side, rise, box = best
    _annotate(axes, label, side, rise, distance)
    return box


def _covered(box: "Bbox", taken: Sequence["Bbox"], points: np.ndarray, inside: "Bbox") -> float:
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


def _annotate(axes: "Axes", label: Label, side: int, rise: int, distance: float):  # type: ignore[no-untyped-def]
    line = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.6, "shrinkB": 3}
    return axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=(side * distance, rise * distance),
        textcoords="offset points",
        horizontalalignment={1: "left", 0: "center", -1: "right"}[side],
        verticalalignment={1: "bottom", 0: "center", -1: "top"}[rise],
        fontsize=8.6,
        fontweight="bold" if label.bold else "normal",
        color=label.colour,
        arrowprops=line if distance > _DISTANCES_PT[1] else None,
    )
