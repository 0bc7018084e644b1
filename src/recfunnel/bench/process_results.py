"""How a process that serves behaves: how steady its calls are, and what memory it takes."""

from typing import Literal

from recfunnel.core.spec import Value

Reason = Literal["switched out", "page fault", "stolen", "unknown"]
"""Why a call was slow: the system gave its core to another thread; memory was touched for the first
time; the hypervisor took time within the same few milliseconds; none of these."""

REASONS: tuple[Reason, ...] = ("switched out", "page fault", "stolen", "unknown")


class Steadiness(Value, frozen=True):
    """Calls of one model, one after another on one core.

    Args:
        model: name of the shape.
        num_candidates: of a query.
        num_calls: that were made.
        median_s: of all calls.
        p99_s: of all calls.
        p99_kept_s: of the calls during which the thread kept its core.
        num_kept: calls during which it did.
        quiet_median_s: of further calls during which no core's timer ticked and the thread kept
            its core; None where ticks are not counted.
        quiet_p99_s: of the same.
        num_quiet: how many they are.
        longest_s: the longest call.
        slow: number of calls longer than 1.5 medians, by the first reason that holds.
        ticks: interrupts of the system's timer that fell into calls, by their count on the busiest
            core and the calls' share of the time; None where the system does not count them.
        allocations: calls of operator new in native code, during all calls; None where they are
            not counted.
        page_faults: of the thread, during all calls.
    """

    model: str
    num_candidates: int
    num_calls: int
    median_s: float
    p99_s: float
    p99_kept_s: float
    num_kept: int
    quiet_median_s: float | None
    quiet_p99_s: float | None
    num_quiet: int
    longest_s: float
    slow: dict[Reason, int]
    ticks: int | None
    allocations: int | None
    page_faults: int


class Resident(Value, frozen=True):
    """Memory of a process that holds one model and a compiled catalogue.

    Args:
        model: name of the shape.
        table_bytes: of all tables.
        record_bytes: of all records.
        feature_bytes: of the items' ids, which the caller holds.
        resident_bytes: of the process after its calls, less what it had after its imports.
        peak_bytes: the most it had at any time, less the same.
    """

    model: str
    table_bytes: int
    record_bytes: int
    feature_bytes: int
    resident_bytes: int
    peak_bytes: int

    @property
    def held_bytes(self) -> int:
        """Of tables, records and the items' ids."""
        return self.table_bytes + self.record_bytes + self.feature_bytes

    @property
    def ratio(self) -> float:
        """Resident over held."""
        return self.resident_bytes / self.held_bytes
