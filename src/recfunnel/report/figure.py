"""The style every figure shares, and a finished figure as accessible SVG text and as a PNG file.

Colours are Okabe and Ito's, told apart by people with any colour vision; shape repeats what colour
says. A figure is drawn on its own canvas, never through a shared global one.
"""

import html
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recfunnel.core.errors import MissingExtraError
from recfunnel.core.storage import replacing_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

INK = "#1c2430"
MUTED = "#66707f"
FAINT = "#b3bac6"
GRID = "#e8ebef"
CHOSEN = "#d55e00"
BASELINES = ("#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a5cba")
"""Colours of baselines in order; the chosen path always has its own."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": "#8d96a3",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.labelpad": 7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
}
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"


@dataclass(frozen=True, eq=False, slots=True)
class Figure:
    """One finished figure.

    Args:
        name: identifier, unique in a report; letters and dashes.
        title: what it shows, a sentence.
        description: what a reader who cannot see it should know.
        canvas: drawn with matplotlib.
        tooltips: text shown over an element, by its `gid`.
    """

    name: str
    title: str
    description: str
    canvas: "Canvas"
    tooltips: Mapping[str, str] = field(default_factory=dict)

    def svg(self) -> str:
        """SVG to embed in a page: titled, scalable, without references to anything outside."""
        import matplotlib

        text = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with matplotlib.rc_context({**_STYLE, "svg.hashsalt": self.name}):
            self.canvas.savefig(text, format="svg", metadata=nothing)
        return _with_tooltips(_embeddable(text.getvalue(), self), self)

    def save_png(self, path: Path, dots_per_inch: int = 160) -> None:
        """Write a PNG file that appears whole.

        Raises:
            StorageError: no space, no permission.
        """
        import matplotlib

        with replacing_file(path) as temporary, matplotlib.rc_context(_STYLE):
            self.canvas.savefig(temporary, format="png", dpi=dots_per_inch)

    def save_svg(self, path: Path) -> None:
        """Write the SVG as a file that appears whole.

        Raises:
            StorageError: no space, no permission.
        """
        with replacing_file(path) as temporary:
            temporary.write_text(self.svg(), encoding="utf-8")


def new_axes(width_in: float = 8.4, height_in: float = 4.4) -> tuple["Canvas", "Axes"]:
    """An empty canvas with one pair of axes in the house style.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure as Canvas
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report") from error
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(width_in, height_in), layout="constrained")
        axes = canvas.add_subplot()
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.tick_params(length=0, pad=5)
    return canvas, axes


def settle(canvas: "Canvas") -> None:
    """Arrange the parts once and keep them there, so that every copy of a figure is the same."""
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")


def house_style() -> Any:
    """A context in which text and legends of a figure are added."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def _embeddable(svg: str, figure: Figure) -> str:
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = body.replace("'DejaVu Sans'", _FONTS)
    # ids are unique in a figure, not in a page of several
    for before in (' id="', "url(#", 'href="#'):
        body = body.replace(before, f"{before}{figure.name}-")
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1, flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1, flags=re.DOTALL)
    label = f"{figure.name}-title {figure.name}-desc"
    head = (
        f'<svg class="figure" role="img" aria-labelledby="{label}"',
        f'<title id="{figure.name}-title">{html.escape(figure.title)}</title>'
        f'<desc id="{figure.name}-desc">{html.escape(figure.description)}</desc>',
    )
    end = body.index(">")
    return f"{head[0]}{body[4 : end + 1]}{head[1]}{body[end + 1 :]}"


def _with_tooltips(svg: str, figure: Figure) -> str:
    for gid, text in figure.tooltips.items():
        opening = f'<g id="{figure.name}-{gid}">'
        svg = svg.replace(opening, f"{opening}<title>{html.escape(text)}</title>")
    return svg
