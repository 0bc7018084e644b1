"""Arrivals: a mean rate of 1, and the variability each process promises."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.errors import DataError, StudyError
from recfunnel.core.workload import arrivals, check_times
from recfunnel.testing.arrivals import ArrivalsContract
from recfunnel.workload.bursty import Bursty
from recfunnel.workload.diurnal import Diurnal
from recfunnel.workload.poisson import Poisson
from recfunnel.workload.recpipe_gaps import RecPipeGaps
from recfunnel.workload.trace import Trace
from recfunnel.workload.uniform import Uniform


def gap_cv2(times: np.ndarray) -> float:
    gaps = np.diff(times)
    return float(gaps.var() / gaps.mean() ** 2)


def dispersion(spec: Bursty) -> float:
    """Variance over mean of counts in long windows (Fischer and Meier-Hellstern, 1993)."""
    quiet, burst = spec.rates_qps
    leave_quiet, leave_burst = (1 / stay for stay in spec.stays_s)
    both = leave_quiet + leave_burst
    return 1 + 2 * (burst - quiet) ** 2 * leave_quiet * leave_burst / both**3


class TestPoisson(ArrivalsContract):
    spec = Poisson()


class TestUniform(ArrivalsContract):
    spec = Uniform()
    rate_stderr = 0.0


class TestDiurnal(ArrivalsContract):
    spec = Diurnal(amplitude=0.8)


class TestSteepDiurnal(ArrivalsContract):
    spec = Diurnal(amplitude=0.999, cycle_queries=40.0)


class TestBursty(ArrivalsContract):
    spec = Bursty()
    rate_stderr = 0.0099  # sqrt(dispersion / 200,000)


class TestRecPipeGaps(ArrivalsContract):
    spec = RecPipeGaps(mean_gap_ms=2.5)
    rate_stderr = 0.0015


class TestTrace(ArrivalsContract):
    num_queries = 400
    rate_stderr = 0.0025  # the record's ring is entered anywhere: one gap is outside the span

    @pytest.fixture(autouse=True)
    def _record(self, tmp_path: Path) -> None:
        times = 1e9 + 0.25 * np.cumsum(np.random.default_rng(0).standard_exponential(400))
        np.savetxt(tmp_path / "times.txt", times)
        self.spec = Trace(path=str(tmp_path / "times.txt"))


def test_every_kind_is_found_by_its_name() -> None:
    assert set(arrivals.kinds()) >= {
        "bursty", "diurnal", "poisson", "recpipe_gaps", "trace", "uniform",
    }  # fmt: skip


def test_poisson_gaps_vary_as_much_as_they_are_long() -> None:
    # the estimate of CV² of exponential gaps has a standard error of sqrt(8 / N) = 0.4 %
    times = Poisson().unit_times(500_000, np.random.default_rng(5))
    assert gap_cv2(times) == pytest.approx(1, abs=4 * 0.004)


@pytest.mark.parametrize("mean_gap_ms", [0.5, 2.5, 15.0])
def test_recpipes_gaps_are_too_smooth_at_low_load_and_too_rough_at_high(mean_gap_ms: float) -> None:
    times = RecPipeGaps(mean_gap_ms=mean_gap_ms).unit_times(500_000, np.random.default_rng(6))
    assert gap_cv2(times) == pytest.approx(1 / mean_gap_ms, rel=0.02)


def test_bursts_make_counts_vary_as_theory_says() -> None:
    spec = Bursty()
    times = spec.unit_times(4_000_000, np.random.default_rng(7))
    counts = np.histogram(times, np.arange(0, times[-1], 1000.0))[0]
    # the variance of 4000 counts has a relative standard error of sqrt(2 / 4000) = 2.2 %, and
    # windows of 1000 s are 1.3 % short of infinitely long ones
    assert counts.var() / counts.mean() == pytest.approx(dispersion(spec), rel=4 * 0.022 + 0.013)


def test_the_two_rates_of_bursts_mix_to_one() -> None:
    spec = Bursty(burst_share=0.2, burst_ratio=6.0, burst_queries=30.0)
    assert spec.rates_qps == pytest.approx((0.5, 3.0))  # 0.8 x 0.5 + 0.2 x 3 = 1
    assert spec.stays_s == pytest.approx((40.0, 10.0))  # 30 queries at 3 a second; 4 times that


def test_bursts_of_ratio_1_are_poisson() -> None:
    times = Bursty(burst_ratio=1.0).unit_times(200_000, np.random.default_rng(8))
    assert gap_cv2(times) == pytest.approx(1, abs=4 * 0.0063)


def test_the_share_of_time_in_bursts_is_as_asked() -> None:
    # counts of 1-second windows mix two Poisson rates when stays are far longer
    spec = Bursty(burst_share=0.3, burst_ratio=1000.0, burst_queries=3000.0)
    times = spec.unit_times(400_000, np.random.default_rng(9))
    counts = np.histogram(times, np.arange(0, times[-1], 10.0))[0]
    stays = times[-1] / sum(spec.stays_s)
    # the share is a mean over about `stays` cycles, each of relative deviation about 1
    assert (counts > 5).mean() == pytest.approx(0.3, abs=4 * 0.3 / np.sqrt(stays))


def test_the_day_has_its_peak_a_quarter_cycle_in() -> None:
    spec = Diurnal(amplitude=0.6, cycle_queries=1000.0)
    rng = np.random.default_rng(10)
    phase = np.random.default_rng(10).uniform(0, 2 * np.pi)
    times = spec.unit_times(1_000_000, rng)
    angle = (2 * np.pi * times / 1000 + phase) % (2 * np.pi)
    first_harmonic = 2 * np.mean(np.exp(1j * angle))  # of density 1 + a sin: i a
    assert first_harmonic.imag == pytest.approx(0.6, abs=4 * np.sqrt(2 / times.size) + 0.001)
    assert first_harmonic.real == pytest.approx(0.0, abs=4 * np.sqrt(2 / times.size) + 0.001)


@settings(deadline=None)
@given(amplitude=st.floats(0, 0.999), cycle=st.floats(1, 1e5), seed=st.integers(0, 100))
def test_the_days_times_undo_its_cumulative_rate(amplitude: float, cycle: float, seed: int) -> None:
    spec = Diurnal(amplitude=amplitude, cycle_queries=cycle)
    times = spec.unit_times(200, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi)
    operational = np.cumsum(rng.standard_exponential(200))
    assert spec._cumulative(times, phase) == pytest.approx(operational, rel=1e-6, abs=1e-6)


def test_a_trace_keeps_its_gaps_in_proportion(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("# seconds\n10\n11\n\n13\n16 # late\n")
    times = Trace(path=str(tmp_path / "t.txt")).unit_times(4, np.random.default_rng(0))
    gaps = np.diff(times, prepend=0.0)
    ring = np.array([1, 2, 3, 2]) / 2
    assert any(np.allclose(gaps, np.roll(ring, -k)) for k in range(4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("1\nx\n", "one number a line"),
        ("1 2\n3 4\n", "2 numbers a line"),
        ("1\nnan\n", "number 2 is nan"),
        ("3\n1\n5\n", "never fall"),
        ("3\n3\n", "span no time"),
    ],
)
def test_a_bad_trace_says_what_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "t.txt"
    file.write_text(content)
    with pytest.raises(DataError, match=message):
        Trace(path=str(file)).unit_times(2, np.random.default_rng(0))


def test_a_trace_is_never_repeated_in_silence(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("1\n2\n3\n")
    with pytest.raises(StudyError, match="records 3 arrivals, asked for 4"):
        Trace(path=str(tmp_path / "t.txt")).unit_times(4, np.random.default_rng(0))
    with pytest.raises(DataError, match="does not exist"):
        Trace(path=str(tmp_path / "no.txt")).unit_times(4, np.random.default_rng(0))


@pytest.mark.parametrize(
    "build",
    [
        lambda: Diurnal(amplitude=1.0),
        lambda: Diurnal(cycle_queries=0.0),
        lambda: Bursty(burst_share=1.0),
        lambda: Bursty(burst_ratio=0.5),
        lambda: Bursty(burst_queries=-1.0),
        lambda: RecPipeGaps(mean_gap_ms=0.0),
    ],
)
def test_a_process_that_cannot_be_is_refused(build: object) -> None:
    with pytest.raises(StudyError, match="must be"):
        build()  # type: ignore[operator]


def test_check_times_refuses_time_running_backwards() -> None:
    with pytest.raises(StudyError, match="never fall"):
        check_times(np.array([1.0, 0.5]))
