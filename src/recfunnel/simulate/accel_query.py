"""One query through an accelerator: when each sub-batch is where, for many designs at once.

Letters: D designs, S stages, B sub-batches.

Units are the two directions of PCIe, the ports of embedding SRAM, the channel of DRAM, the SSD,
each sub-array, and the filter behind it. Whatever happens is a maximum of two times (when a
sub-batch is there, when the unit is free) plus a third:

> asked(s, b)  = max(ready(s, b), channel free, sub-array free or, ahead, room in the buffer)
> rows(s, b)   = max over SRAM, DRAM, SSD of max(asked, unit free) + time, plus latency
> finish(s, b) = max(rows, weights, sub-array free) + time
> passed(s, b) = max(finish, filter free) + time
> ready(s + 1, b) = max(ready(s + 1, b - 1), passed(s, b)), or for all b when the stage has ended

Sub-batches of different stages meet at shared units. Where several wait for the channel of DRAM,
the latest stage goes first: what it reads is needed, what an earlier one reads is mostly ahead of
its time. Every other unit takes sub-batches in the order in which they asked.
"""

import numpy as np
from numba import njit

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.hardware.accel.times import UnitTimes

STEPS = (
    "ready",
    "asked",
    "sram",
    "dram",
    "ssd",
    "weights",
    "start",
    "finish",
    "passed",
    "copy",
    "room",
)
"""What is known of a sub-batch of a stage: ids there, rows asked for, read from SRAM, from DRAM,
from SSD (the ends on each unit; latencies come on top), weights there, sub-array begun and ended,
passed on, which copy it was, and bytes of buffer it took: none where a sub-array was free."""

READY, ASKED, SRAM, DRAM, SSD, WEIGHTS, START, FINISH, PASSED, COPY, ROOM = range(11)


def query_latency_s(times: UnitTimes) -> DoubleArray:
    """Latency of one query that has the accelerator to itself.

    Args:
        times: of D designs.

    Returns:
        (D,), seconds from sending the first id to the arrival of the last answer.
    """
    latency_s, _ = _run(times)
    return latency_s


def query_steps(times: UnitTimes) -> tuple[float, DoubleArray]:
    """Latency of one query, and when each of its sub-batches was where.

    Args:
        times: of one design.

    Returns:
        Seconds, and (S, B, 11) by `STEPS`.
    """
    latency_s, steps = _run(times.one(0))
    return float(latency_s[0]), steps


def _run(times: UnitTimes) -> tuple[DoubleArray, DoubleArray]:
    num_designs, num_stages, num_batches = times.array.shape
    latency_s = np.empty(num_designs)
    steps = np.zeros((num_stages, num_batches, len(STEPS)))
    _run_designs(times, int(times.copies.max(initial=1)), latency_s, steps)
    return latency_s, steps


@njit(nogil=True, cache=True)
def _run_designs(t: UnitTimes, most: int, latency_s: DoubleArray, steps: DoubleArray) -> None:
    num_stages = t.array.shape[1]
    copy_free = np.zeros((num_stages, most))
    filter_free = np.zeros((num_stages, most))
    channel_free, weights_there, in_use = (
        np.zeros(num_stages),
        np.zeros(num_stages),
        np.zeros(num_stages),
    )
    upcoming, known, oldest = (
        np.zeros(num_stages, np.int64),
        np.zeros(num_stages, np.int64),
        np.zeros(num_stages, np.int64),
    )
    for d in range(latency_s.size):
        for s in range(num_stages):
            channel_free[s] = weights_there[s] = in_use[s] = 0.0
            upcoming[s] = known[s] = oldest[s] = 0
            for c in range(t.copies[d, s]):
                copy_free[t.group[d, s], c] = filter_free[t.group[d, s], c] = 0.0
        latency_s[d] = _one_query(
            t,
            d,
            steps,
            copy_free,
            filter_free,
            channel_free,
            weights_there,
            in_use,
            upcoming,
            known,
            oldest,
        )


@njit(nogil=True, cache=True)
def _one_query(
    t: UnitTimes,
    d: int,
    steps: DoubleArray,
    copy_free: DoubleArray,
    filter_free: DoubleArray,
    channel_free: DoubleArray,
    weights_there: DoubleArray,
    in_use: DoubleArray,
    upcoming: IntArray,
    known: IntArray,
    oldest: IntArray,
) -> float:
    num_stages, num_batches = steps.shape[:2]
    sram_free = ssd_free = out_free = 0.0
    in_free = _enter(t, d, 0, 0.0, 0.0, steps)
    known[0] = num_batches
    for _ in range(num_stages * num_batches):
        s, asked = _first_to_ask(
            t, d, steps, copy_free, channel_free, in_use, upcoming, known, oldest
        )
        b, step = upcoming[s], steps[s, upcoming[s]]
        upcoming[s] += 1
        group = t.group[d, s]
        copy = _first_free(copy_free[group], t.copies[d, s])
        step[ROOM] = 0.0
        if copy_free[group, copy] > asked:
            step[ROOM] = t.need_bytes[d, s, b]
            _take_room(t, d, s, b, steps, in_use, oldest)
        step[ASKED] = asked
        sram_free = step[SRAM] = max(asked, sram_free) + t.sram[d, s, b]
        there = sram_free
        channel = t.channel[d, s]
        step[DRAM] = step[SSD] = asked
        if t.dram[d, s, b] > 0:
            channel_free[channel] = max(asked, channel_free[channel]) + t.dram[d, s, b]
            step[DRAM] = channel_free[channel]
            there = max(there, step[DRAM] + t.dram_latency_s)
        if t.ssd[d, s, b] > 0:
            ssd_free = step[SSD] = max(asked, ssd_free) + t.ssd[d, s, b]
            there = max(there, ssd_free + t.ssd_latency_s)
        early = t.preloaded[d] and b == 0
        if t.weights[d, s, b] > 0 and not (early and s > 0):
            channel_free[channel] = max(asked, channel_free[channel]) + t.weights[d, s, b]
            weights_there[s] = channel_free[channel] + t.dram_latency_s
        if early and s + 1 < num_stages and t.weights[d, s + 1, 0] > 0:
            channel = t.channel[d, s + 1]
            channel_free[channel] = max(asked, channel_free[channel]) + t.weights[d, s + 1, 0]
            weights_there[s + 1] = channel_free[channel] + t.dram_latency_s
        step[WEIGHTS] = weights_there[s]
        step[COPY] = copy
        step[START] = max(there, weights_there[s], copy_free[group, copy])
        step[FINISH] = copy_free[group, copy] = step[START] + t.array[d, s, b]
        step[PASSED] = max(step[FINISH], filter_free[group, copy]) + t.topk[d, s, b]
        filter_free[group, copy] = step[PASSED]
        if s + 1 < num_stages and not t.barrier[d, s]:
            steps[s + 1, b, READY] = step[PASSED]
            if b > 0:
                steps[s + 1, b, READY] = max(step[PASSED], steps[s + 1, b - 1, READY])
            known[s + 1] = b + 1
        if b + 1 < num_batches or not (t.barrier[d, s] or s + 1 == num_stages):
            continue
        end = steps[s, :, PASSED].max() + t.after[d, s]
        if t.host[d, s] or s + 1 == num_stages:
            out_free = max(end, out_free) + t.pcie_out[d, s]
            end = out_free + t.pcie_latency_s + t.sort[d, s]
        if s + 1 == num_stages:
            latency_s: float = end
            return latency_s
        known[s + 1] = num_batches
        if t.host[d, s]:
            in_free = _enter(t, d, s + 1, end, in_free, steps)
        else:
            steps[s + 1, :, READY] = end
    return np.nan


@njit(nogil=True, cache=True)
def _enter(t: UnitTimes, d: int, s: int, begin: float, in_free: float, steps: DoubleArray) -> float:
    """Ids come over PCIe, a sub-batch at a time; returns when the link is free."""
    in_free = max(begin, in_free)
    for b in range(steps.shape[1]):
        in_free += t.pcie_in[d, s, b]
        steps[s, b, READY] = in_free + t.pcie_latency_s
    return in_free


@njit(nogil=True, cache=True)
def _first_to_ask(
    t: UnitTimes,
    d: int,
    steps: DoubleArray,
    copy_free: DoubleArray,
    channel_free: DoubleArray,
    in_use: DoubleArray,
    upcoming: IntArray,
    known: IntArray,
    oldest: IntArray,
) -> tuple[int, float]:
    """The stage whose next sub-batch asks for rows before all others', and when."""
    first, earliest = -1, np.inf
    for s in range(upcoming.size - 1, -1, -1):
        b = upcoming[s]
        if b >= known[s]:
            continue
        asked = steps[s, b, READY]
        if b > 0:
            asked = max(asked, steps[s, b - 1, ASKED])
        if t.dram[d, s, b] + t.weights[d, s, b] > 0:
            asked = max(asked, channel_free[t.channel[d, s]])
        group = t.group[d, s]
        possible = copy_free[group, _first_free(copy_free[group], t.copies[d, s])]
        if t.ahead[d, s] and possible > asked:
            possible = min(possible, _room_from(t, d, s, b, steps, in_use, oldest))
        asked = max(asked, possible)
        if asked < earliest:
            first, earliest = s, asked
    return first, earliest


@njit(nogil=True, cache=True)
def _room_from(
    t: UnitTimes,
    d: int,
    s: int,
    b: int,
    steps: DoubleArray,
    in_use: DoubleArray,
    oldest: IntArray,
) -> float:
    """When the buffer has room for a sub-batch."""
    used, since = in_use[s], 0.0
    for old in range(oldest[s], b):
        if used + t.need_bytes[d, s, b] <= t.room_bytes[d, s]:
            break
        used -= steps[s, old, ROOM]
        if steps[s, old, ROOM] > 0:
            since = max(since, steps[s, old, FINISH])
    return since


@njit(nogil=True, cache=True)
def _take_room(
    t: UnitTimes,
    d: int,
    s: int,
    b: int,
    steps: DoubleArray,
    in_use: DoubleArray,
    oldest: IntArray,
) -> None:
    """Give back the room of sub-batches that are done, in their order, until there is enough."""
    while oldest[s] < b and in_use[s] + t.need_bytes[d, s, b] > t.room_bytes[d, s]:
        in_use[s] -= steps[s, oldest[s], ROOM]
        oldest[s] += 1
    if oldest[s] == b:
        in_use[s] = 0.0
    in_use[s] += t.need_bytes[d, s, b]


@njit(nogil=True, cache=True)
def _first_free(free: DoubleArray, copies: int) -> int:
    """Of a stage's sub-arrays the one that is free first; the first of equals."""
    best = 0
    for c in range(1, copies):
        if free[c] < free[best]:
            best = c
    return best


def busy_s(times: UnitTimes) -> dict[str, DoubleArray]:
    """How long one query keeps each unit busy.

    Args:
        times: of D designs.

    Returns:
        By unit, (D,) or, for those of each stage, (D, S).
    """
    return {
        "pcie_in": times.pcie_in.sum(axis=(1, 2)),
        "sram": times.sram.sum(axis=(1, 2)),
        "dram": (times.dram + times.weights).sum(axis=2),
        "ssd": times.ssd.sum(axis=(1, 2)),
        "array": times.array.sum(axis=2),
        "topk": times.topk.sum(axis=2) + times.after,
        "pcie_out": times.pcie_out.sum(axis=1),
    }
