"""Numbers read the same everywhere, and the digits shown are the digits there are."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.core.results import Estimate
from recfunnel.report import formatting as f
from recfunnel.report.figure_ticks import round_values, tick_duration


def estimate(mean: float, stderr: float = 0.0) -> Estimate:
    return Estimate(mean=mean, stderr=stderr, num_samples=5)


@pytest.mark.parametrize(
    ("value_s", "text"),
    [
        (0.0123, "12.3 ms"),
        (9.996e-3, "10.0 ms"),
        (4.8e-5, "48.0 \N{MICRO SIGN}s"),
        (0.9996, "1.00 s"),
        (0.9994, "999 ms"),
        (99.4, "99.4 s"),
        (200.0, "3 min 20 s"),
        (4000.0, "1 h 6 min"),
        (0.0, "0 s"),
        (math.inf, "not steady"),
        (None, "\N{EN DASH}"),
    ],
)
def test_durations_take_the_unit_people_use(value_s: float | None, text: str) -> None:
    assert f.duration(value_s) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (estimate(0.3941, 0.0027), "0.3941 ± 0.0027"),
        (estimate(0.3941, 0.00996), "0.394 ± 0.010"),
        (estimate(612.4, 12.3), "612 ± 12"),
        (estimate(612.4, 130.0), "610 ± 130"),
        (estimate(61240.0, 1300.0), "61,200 ± 1,300"),
        (estimate(0.3941), "0.3941"),
        (estimate(0.3941, math.inf), "0.3941"),
        (estimate(math.inf), "∞"),
        (None, "\N{EN DASH}"),
    ],
)
def test_an_estimate_shows_two_digits_of_its_error(value: Estimate | None, text: str) -> None:
    assert f.estimate(value) == text


def test_a_latency_and_its_error_share_their_unit() -> None:
    assert f.duration_estimate(estimate(0.0123, 0.00021)) == "12.30 ± 0.21 ms"
    assert f.duration_estimate(estimate(0.0123, 0.00099)) == "12.30 ± 0.99 ms"
    assert f.duration_estimate(estimate(math.inf)) == "not steady"


@given(value=st.floats(1e-6, 90.0))
def test_a_duration_reads_back_within_half_its_last_digit(value: float) -> None:
    number, unit = f.duration(value).split(" ")
    scale = {"s": 1.0, "ms": 1e-3, "\N{MICRO SIGN}s": 1e-6}[unit]
    assert float(number.replace(",", "")) * scale == pytest.approx(value, rel=0.0051)


@given(mean=st.floats(1e-5, 1e6), share=st.floats(1e-4, 0.5))
def test_an_estimate_reads_back_within_a_tenth_of_its_error(mean: float, share: float) -> None:
    shown_mean, shown_error = f.estimate(estimate(mean, share * mean)).replace(",", "").split(" ± ")
    assert abs(float(shown_mean) - mean) <= 0.051 * share * mean
    assert float(shown_error) == pytest.approx(share * mean, rel=0.051)


@given(value=st.floats(0, 1e15))
def test_a_size_reads_back(value: float) -> None:
    number, unit = f.size(value).split(" ")
    scale = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]
    assert float(number.replace(",", "")) * scale == pytest.approx(value, rel=0.006, abs=0.51)


@pytest.mark.parametrize(
    ("value", "text"), [(812_000, "812 k"), (9_999, "9,999"), (33.8e6, "33.8 M"), (2e9, "2.00 G")]
)
def test_large_counts_are_short(value: float, text: str) -> None:
    assert f.short_count(value) == text


def test_a_difference_always_has_its_sign() -> None:
    assert f.signed_estimate(estimate(0.0012, 0.0004)) == "+0.00120 ± 0.00040"
    assert f.signed_estimate(estimate(-0.0012, 0.0004)) == "\N{MINUS SIGN}0.00120 ± 0.00040"
    assert f.signed_percent(-0.047) == "\N{MINUS SIGN}4.7 %"
    assert f.signed_percent(math.nan) == "\N{EN DASH}"


def test_quantiles_are_named_as_people_name_them() -> None:
    names = [f.quantile_name(q) for q in (0.5, 0.95, 0.99, 0.999)]
    assert names == ["p50", "p95", "p99", "p99.9"]


def test_marks_on_an_axis_are_round_and_without_idle_zeros() -> None:
    assert round_values(0.9, 21.0) == [1, 2, 5, 10, 20]
    assert round_values(1.0, 1e6) == [1, 10, 100, 1e3, 1e4, 1e5, 1e6]
    assert [tick_duration(v) for v in (0.0005, 0.002, 1.0)] == [
        "500 \N{MICRO SIGN}s",
        "2 ms",
        "1 s",
    ]
    assert not re.search(r"\.0\b", tick_duration(0.05))


def test_pipeline_names_lose_what_is_said_twice_and_nothing_else() -> None:
    assert f.compact_name("ease 3706→256 · rerank 256→64") == "ease 256 · rerank 64"
    assert f.compact_name("a 9→8 · b 8→7 · c 7→6") == "a 8 · b 7 · c 6"
    assert f.compact_name("ease 3706→64") == "ease alone"
    assert f.compact_name("my path → yours") == "my path → yours"


def test_moments_read_as_people_write_them() -> None:
    assert f.moment("2026-11-20T19:40:00+00:00") == "2026-11-20 19:40 UTC"
    assert f.moment("2026-11-20T19:40:00Z") == "2026-11-20 19:40 UTC"
    assert f.moment("yesterday") == "yesterday"
