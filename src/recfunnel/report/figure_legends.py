"""Legends of figures in which colour says what is shown and line or mark says how it came about."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from recfunnel.report.figure import BASELINES, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = Literal["-", "none"] | tuple[float, tuple[float, ...]]
Style = tuple[str, str, Line]
"""Name, mark and line of a kind of value."""

DASHED: tuple[float, tuple[float, ...]] = (0, (5, 2))
DOTTED: tuple[float, tuple[float, ...]] = (0, (1, 1.5))


def legend(axes: "Axes", columns: int) -> None:
    """Above the axes, in so many columns."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=columns,
        fontsize=8.8,
        columnspacing=1.6,
        borderaxespad=0.2,
    )


def legend_of_styles(
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
