"""All figures of a report."""

from collections.abc import Callable
from pathlib import Path

from recfunnel.report.figure import Figure
from recfunnel.report.figure_front import front_figure
from recfunnel.report.figure_load import load_figure
from recfunnel.report.figure_quality import quality_figure
from recfunnel.report.figure_verification import verification_figure
from recfunnel.report.summary import RunSummary

_FIGURES: tuple[Callable[[RunSummary], Figure | None], ...] = (
    front_figure,
    load_figure,
    quality_figure,
    verification_figure,
)


def all_figures(summary: RunSummary) -> tuple[Figure, ...]:
    """Every figure there is something to show in, in reading order.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    drawn = (draw(summary) for draw in _FIGURES)
    return tuple(figure for figure in drawn if figure is not None)


def save_figures(summary: RunSummary, folder: Path) -> tuple[Path, ...]:
    """Write each figure as NAME.svg and NAME.png, for slides and papers.

    Returns:
        The files written.

    Raises:
        MissingExtraError: matplotlib is not installed.
        StorageError: no space, no permission.
    """
    files: list[Path] = []
    for figure in all_figures(summary):
        figure.save_svg(folder / f"{figure.name}.svg")
        figure.save_png(folder / f"{figure.name}.png")
        files += [folder / f"{figure.name}.svg", folder / f"{figure.name}.png"]
    return tuple(files)
