"""Figure: which unit of the simulated accelerator works for which sub-batch, and when."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recfunnel.report.figure import BASELINES, INK, MUTED, Figure, house_style, new_axes, settle
from recfunnel.simulate.accel_spans import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ORDER = ("PCIe in", "DRAM", "SSD", "SRAM", "array", "filter", "PCIe out")
_NARROW = 0.012
"""Spans of a smaller share of the whole have no room for a number."""


def timeline_figure(latency_s: float, spans: Sequence[Span]) -> Figure:
    """A row a unit, a bar a sub-batch, a colour a stage.

    Args:
        latency_s: of the query.
        spans: as `query_spans` gives them.
    """
    units = sorted({span.unit for span in spans}, key=_place)
    num_stages = 1 + max(span.stage for span in spans)
    narrow_s = _NARROW * latency_s
    canvas, axes = new_axes(height_in=1.4 + 0.32 * len(units))
    with house_style():
        for span in spans:
            _bar(axes, span, units.index(span.unit), wide=span.end_s - span.start_s > narrow_s)
        axes.axvline(1e6 * latency_s, color=INK, linewidth=1)
        axes.set_yticks(range(len(units)), units)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 1.02e6 * latency_s)
        axes.set_xlabel("microseconds since the query was sent (simulated)")
        for stage in range(num_stages):
            axes.bar(0, 0, color=BASELINES[stage % len(BASELINES)], label=f"stage {stage}")
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=num_stages,
            borderaxespad=0.2,
            labelcolor=MUTED,
        )
        settle(canvas)
    busiest = max(units, key=lambda unit: _busy_s(spans, unit))
    return Figure(
        "accel-timeline",
        "One query's sub-batches on the units of the accelerator",
        f"Simulated. The answer is there after {1e6 * latency_s:.4g} microseconds; {busiest} works "
        f"longest, {1e6 * _busy_s(spans, busiest):.4g} of them.",
        canvas,
    )


def _bar(axes: "Axes", span: Span, row: int, *, wide: bool) -> None:
    colour = BASELINES[span.stage % len(BASELINES)]
    axes.barh(
        row,
        1e6 * (span.end_s - span.start_s),
        left=1e6 * span.start_s,
        height=0.7,
        color=colour,
        edgecolor="white" if wide else colour,
        linewidth=0.6,
    )
    if wide and span.sub_batch >= 0:
        middle = 1e6 * (span.start_s + span.end_s) / 2
        axes.text(
            middle, row, str(span.sub_batch), ha="center", va="center", fontsize=7.5, color="white"
        )


def _place(unit: str) -> tuple[int, str]:
    kind = next(number for number, name in enumerate(_ORDER) if unit.startswith(name))
    return kind, unit


def _busy_s(spans: Sequence[Span], unit: str) -> float:
    return sum(span.end_s - span.start_s for span in spans if span.unit == unit)
