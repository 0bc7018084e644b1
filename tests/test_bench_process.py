"""Slow calls are told apart by what the system says, and a process is asked for its memory."""

import time
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from recfunnel.bench import interrupts, quiet, steady
from recfunnel.bench.interrupts import timer_interrupts
from recfunnel.bench.quiet import quiet_calls
from recfunnel.bench.resident import SMALLEST_BYTES, resident_memory
from recfunnel.bench.shapes import DLRMShape, shape_named
from recfunnel.bench.steady import WARM_CALLS, Calls, summary, watch
from recfunnel.core.errors import StudyError

MEDIUM = shape_named("RM_med")
assert isinstance(MEDIUM, DLRMShape)


def calls(taken_s: list[float], **seen: dict[int, int]) -> Calls:
    """Calls of those times; seen: for each kind, how often at which call."""

    def at(kind: str) -> np.ndarray:  # type: ignore[type-arg]
        found = np.zeros(len(taken_s), np.int64)
        for place, times in seen.get(kind, {}).items():
            found[place] = times
        return found

    return Calls(
        np.array(taken_s),
        at("switches"),
        at("faults"),
        at("stolen").astype(np.bool_),
        allocations=0,
        ticks=None,
    )


def test_each_slow_call_has_one_reason() -> None:
    taken_s = [1.0] * 95 + [9.0, 8.0, 7.0, 6.0, 1.4]
    seen = calls(
        taken_s, switches={95: 2, 0: 1}, faults={95: 1, 96: 4, 1: 3}, stolen={95: 1, 96: 1, 97: 1}
    )
    found = summary("some", 256, seen, np.empty(0))
    assert found.slow == {"switched out": 1, "page fault": 1, "stolen": 1, "unknown": 1}
    assert found.num_kept == 98
    assert found.page_faults == 8
    assert found.longest_s == 9.0


def test_the_99th_percentile_of_calls_that_kept_their_core_leaves_the_others_out() -> None:
    taken_s = [1.0] * 90 + [5.0] * 10
    found = summary(
        "some", 256, calls(taken_s, switches=dict.fromkeys(range(90, 100), 1)), np.empty(0)
    )
    assert found.p99_s == 5.0
    assert found.p99_kept_s == 1.0


def test_calls_are_watched_after_a_warm_up() -> None:
    asked: list[int] = []
    found = watch(asked.append, 250)
    assert asked == [*range(WARM_CALLS), *range(250)]
    assert (found.taken_s > 0).all()


def test_the_timers_interrupts_are_counted_while_calls_are_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = tmp_path / "interrupts"
    monkeypatch.setattr(interrupts, "INTERRUPTS", counts)
    assert watch(id, 10).ticks is None
    seen = iter((500, 1500))

    def write() -> list[int]:
        counts.write_text(
            f"      CPU0  CPU1\n  9:  1  2  other\nLOC:  7  {next(seen)}  Local timer\n"
        )
        return timer_interrupts()

    monkeypatch.setattr(steady, "timer_interrupts", write)
    found = watch(lambda _: time.sleep(0.002), 20).ticks
    assert found is not None
    assert 800 < found <= 1000  # 1000 in all, and most of the time was spent in calls


def test_a_call_during_which_a_timer_ticked_is_no_quiet_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = [0]

    def call(number: int) -> None:
        ticks[0] += number in (3, 8)  # a timed call, and one that comes before the timed one
        time.sleep(1e-3 * (number == 3))

    monkeypatch.setattr(quiet, "timer_interrupts", lambda: list(ticks))
    found = quiet_calls(call, 6)

    assert found.size == 4
    assert found.max() < 1e-3


def test_nothing_is_called_quiet_where_ticks_are_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quiet, "timer_interrupts", list)
    assert quiet_calls(id, 6).size == 0


def test_touched_memory_is_seen() -> None:
    kept = []

    def touch(_: int) -> None:
        kept.append(np.ones(1 << 19))  # 4 MiB: never from what was freed before

    assert watch(touch, 3).faults.min() > 0


def test_the_memory_of_a_process_is_that_of_what_it_holds() -> None:
    found = resident_memory(MEDIUM, 1_000_000, 100_000)
    assert found.table_bytes == pytest.approx(SMALLEST_BYTES, rel=0.01)
    assert found.record_bytes == 100_000 * 448
    assert found.feature_bytes == 100_000 * 80
    assert found.held_bytes < found.resident_bytes < found.held_bytes + 24 * 2**20
    assert found.peak_bytes >= found.resident_bytes


def test_a_process_that_fails_says_why() -> None:
    huge = replace(MEDIUM, dim=1 << 20)
    with pytest.raises(StudyError, match=r"memory of RM_med was not measured: .* needs .* GiB"):
        resident_memory(huge, None, 10)
