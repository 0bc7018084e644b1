"""How numbers read: the one place where SI values become ms, MiB and rounded digits.

`±` is always one standard error. Two of its digits are shown, never more than the value deserves.
"""

import math
import re

from recfunnel.core.results import Estimate

NOT_MEASURED = "not measured yet"
"""What stands where a room has not run."""

NOT_STEADY = "not steady"
"""What stands for a latency under a load the path cannot hold."""

MISSING = "\N{EN DASH}"
"""The same in a table cell, where there is no room for words."""

_MINUS = "\N{MINUS SIGN}"
_DURATION_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "\N{MICRO SIGN}s"))
_SIZE_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_COUNT_UNITS = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))


def significant(value: float, digits: int = 3) -> str:
    """A number with that many significant digits and thousands separated, such as `1,240`."""
    if not math.isfinite(value):
        return "∞" if value > 0 else MISSING
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - _magnitude(value, digits))
    rounded = round(value, digits - 1 - _magnitude(value, digits))
    return f"{rounded:,.{decimals}f}"


def _magnitude(value: float, digits: int) -> int:
    rounded = float(f"{value:.{digits - 1}e}")  # 9.996 has the magnitude of 10.0
    return math.floor(math.log10(abs(rounded)))


def _duration_unit(value_s: float) -> tuple[float, str]:
    for scale, unit in _DURATION_UNITS:
        if abs(value_s) >= 0.9995 * scale:
            return scale, unit
    return _DURATION_UNITS[-1]


def duration(value_s: float | None) -> str:
    """A time in the unit people use, such as `12.3 ms`, `48.0 µs` or `3 min 20 s`."""
    if value_s is None:
        return MISSING
    if not math.isfinite(value_s):
        return NOT_STEADY
    if value_s == 0:
        return "0 s"
    if value_s >= 99.5:
        minutes, seconds = divmod(round(value_s), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
    scale, unit = _duration_unit(value_s)
    return f"{significant(value_s / scale)} {unit}"


def duration_estimate(value: Estimate | None) -> str:
    """A time with its standard error in one unit, such as `12.30 ± 0.21 ms`."""
    if value is None:
        return MISSING
    if not math.isfinite(value.mean):
        return NOT_STEADY
    scale, unit = _duration_unit(value.mean)
    return f"{_mean_and_error(value.mean / scale, value.stderr / scale)} {unit}"


def estimate(value: Estimate | None) -> str:
    """A mean with its standard error, such as `0.3941 ± 0.0027`."""
    if value is None:
        return MISSING
    if not math.isfinite(value.mean):
        return significant(value.mean)
    return _mean_and_error(value.mean, value.stderr)


def signed_estimate(value: Estimate) -> str:
    """The same for a difference: `+0.0012 ± 0.0004`."""
    return f"{'+' if value.mean >= 0 else ''}{estimate(value)}".replace("-", _MINUS)


def _mean_and_error(mean: float, stderr: float) -> str:
    if not math.isfinite(stderr) or stderr <= 0:
        return significant(mean, 4 if abs(mean) < 1 else 3)
    decimals = 1 - _magnitude(stderr, 2)
    if decimals < 0:
        return f"{round(mean, decimals):,.0f} ± {round(stderr, decimals):,.0f}"
    return f"{mean:,.{decimals}f} ± {stderr:.{decimals}f}"


def size(value_bytes: float | None) -> str:
    """Memory, such as `3.41 MiB`."""
    if value_bytes is None:
        return MISSING
    for scale, unit in _SIZE_UNITS:
        if value_bytes >= 0.9995 * scale:
            return f"{significant(value_bytes / scale)} {unit}"
    return f"{value_bytes:.0f} B"


def count(value: int | None) -> str:
    """A whole number in full: `1,000,209`."""
    return MISSING if value is None else f"{value:,}"


def short_count(value: float | None) -> str:
    """A large number in three digits: `33.8 M`."""
    if value is None:
        return MISSING
    for least, scale, unit in _COUNT_UNITS:
        if value >= least:
            return f"{significant(value / scale)} {unit}"
    return f"{value:,.0f}"


def rate(value_qps: float | None) -> str:
    """A load or capacity: `612 queries/s`."""
    return MISSING if value_qps is None else f"{significant(value_qps)} queries/s"


def percent(share: float | None, digits: int = 0) -> str:
    """A share: `70 %`."""
    return MISSING if share is None or math.isnan(share) else f"{100 * share:.{digits}f} %"


def signed_percent(share: float) -> str:
    """A relative error with its sign, `−4.7 %`; a dash where there is none."""
    return MISSING if math.isnan(share) else f"{100 * share:+.1f} %".replace("-", _MINUS)


def compact_name(pipeline_name: str) -> str:
    """A pipeline's name without repetition.

    `ease 3706→256 · rerank 256→64` becomes `ease 256 · rerank 64`, `ease 3706→64` becomes
    `ease alone`; any other text stays as it is.
    """
    if re.fullmatch(r"\S+ \d+→\d+", pipeline_name):
        return re.sub(r" \d+→\d+", " alone", pipeline_name)
    return re.sub(r" \d+→(?=\d)", " ", pipeline_name)


def moment(iso_8601: str) -> str:
    """`2026-11-20T19:40:00+00:00` as `2026-11-20 19:40 UTC`; any other text as it is."""
    found = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)", iso_8601
    )
    return f"{found[1]} {found[2]} UTC" if found else iso_8601


def quantile_name(quantile: float) -> str:
    """`p99` for 0.99, `p99.9` for 0.999."""
    return f"p{100 * quantile:.10g}"
