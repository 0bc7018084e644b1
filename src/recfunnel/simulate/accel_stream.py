"""Many queries through one accelerator: the units of `accel_query`, shared, in order of time.

Letters: N queries, K kinds of query, S stages, B sub-batches.

What happens to a sub-batch is what `accel_query` says. Here its ids wait in its stage's queue, in
the order in which they became known, and the next event is the earliest of: a query arrives, ids
come back from a host that sorts, the first of a stage's queue can ask for its rows (the later stage
first among equals), a result waits for the link. With one query it is the recurrence.
"""

from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.workload import check_times
from recfunnel.hardware.accel.times import UnitTimes
from recfunnel.simulate.accel_events import (
    BUSY,
    DISK_READS,
    LINK_IN,
    LINK_OUT,
    PORTS,
    STAGES,
    STEPS,
    run_events,
)
from recfunnel.simulate.accel_packed import packed


@dataclass(frozen=True, eq=False, slots=True)
class StreamRun:
    """What became of N queries; all of it simulated.

    Args:
        departure_s: (N,), when the last answer was back.
        busy_s: by unit, seconds it worked within the window, summed over its copies.
        num_servers: by unit, how many copies it has.
        steps: (N, S, B, 8) by `STEPS`, empty unless they were asked for.
    """

    departure_s: DoubleArray
    busy_s: dict[str, float]
    num_servers: dict[str, int]
    steps: DoubleArray


def run_stream(
    times: UnitTimes,
    arrival_s: DoubleArray,
    kind: IntArray,
    *,
    window_s: tuple[float, float] = (0.0, np.inf),
    with_steps: bool = False,
) -> StreamRun:
    """Send queries through the accelerator.

    Args:
        times: of K kinds of query, on one design: sub-arrays, buffers and overlaps are those of
            the first.
        arrival_s: (N,), never falling, when the host hands each over.
        kind: (N,), 0 to K - 1.
        window_s: start and end of the time whose work is counted.
        with_steps: keep when every sub-batch was where.

    Returns:
        The run.

    Raises:
        StudyError: arrivals that fall, or a kind that is not there.
    """
    check_times(arrival_s)
    if (
        kind.shape != arrival_s.shape
        or kind.min(initial=0) < 0
        or kind.max(initial=0) >= times.num_designs
    ):
        raise StudyError(
            f"{arrival_s.size} queries need a kind of 0 to {times.num_designs - 1} each"
        )
    num_stages, num_batches = times.array.shape[1:]
    departure_s = np.full(arrival_s.size, np.nan)
    units = np.zeros((2, STAGES + 3 * num_stages))
    kept = arrival_s.size if with_steps else 0
    steps = np.zeros((kept, num_stages, num_batches, len(STEPS)))
    run_events(
        *packed(times),
        np.ascontiguousarray(arrival_s, np.float64),
        np.ascontiguousarray(kind, np.int64),
        np.array(window_s, np.float64),
        units,
        departure_s,
        steps,
    )
    names = unit_names(times)
    busy_s = {name: float(units[BUSY, row]) for row, name in names.items()}
    return StreamRun(departure_s, busy_s, _servers(times, names), steps)


def unit_names(times: UnitTimes) -> dict[int, str]:
    """The units that a design has, by their place among all."""
    num_stages = times.array.shape[1]
    names = {LINK_IN: "pcie_in", PORTS: "sram"}
    channels = np.unique(times.channel[0])
    for channel in channels:
        names[STAGES + int(channel)] = "dram" if channels.size == 1 else f"dram_{channel}"
    if times.ssd.any():
        names[DISK_READS] = "ssd"
    for group in np.unique(times.group[0]):
        names[STAGES + num_stages + int(group)] = f"array_{group}"
        names[STAGES + 2 * num_stages + int(group)] = f"filter_{group}"
    return names | {LINK_OUT: "pcie_out"}


def _servers(times: UnitTimes, names: dict[int, str]) -> dict[str, int]:
    num_stages = times.array.shape[1]
    first_array = STAGES + num_stages
    return {
        name: int(times.copies[0, (row - first_array) % num_stages]) if row >= first_array else 1
        for row, name in names.items()
    }
