"""Axis marks in the units of the report: 1, 2 and 5 of each decade, written out."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axis import Axis

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "\N{MICRO SIGN}s"))


def mark_durations(axis: "Axis") -> None:
    """Mark a logarithmic axis of seconds with `500 µs`, `1 ms`, `2 ms`, ..."""
    _mark(axis, tick_duration)


def mark_numbers(axis: "Axis") -> None:
    """Mark a logarithmic axis with `500`, `1,000`, `2,000`, ..."""
    _mark(axis, lambda value: f"{value:,.10g}")


def tick_duration(value_s: float) -> str:
    """A round time without idle zeros, such as `20 ms`."""
    for scale, unit in _UNITS:
        if abs(value_s) >= 0.9995 * scale:
            return f"{value_s / scale:.4g} {unit}"
    return f"{value_s / 1e-6:.4g} {_UNITS[-1][1]}"


def _mark(axis: "Axis", text: Callable[[float], str]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(FixedLocator(round_values(low, high)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_locator(NullLocator())


def round_values(low: float, high: float) -> list[float]:
    """The 1, 2 and 5 of each decade in a range; the 1 alone over more than four decades."""
    digits = (1, 2, 5) if math.log10(high / low) <= 4 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [d * 10.0**e for e in decades for d in digits if low <= d * 10.0**e <= high]
