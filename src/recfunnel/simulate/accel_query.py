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
from recfunnel.simulate.accel_packed import (
    AFTER,
    AHEAD,
    ARRAY,
    BARRIER,
    CHANNEL,
    COPIES,
    DISK,
    DRAM,
    ENTER,
    GROUP,
    HOST,
    LEAVE,
    LINK,
    MEMORY,
    NEED,
    PRELOADED,
    ROOM,
    SORT,
    SRAM,
    SSD,
    TICK,
    TOPK,
    WEIGHTS,
    packed,
)

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
    "held",
    "last",
)
"""What is known of a sub-batch of a stage: ids there, rows asked for, read from SRAM, from DRAM,
from SSD (the ends on each unit; latencies come on top), weights there, sub-array begun and ended,
passed on, which copy it was, bytes of buffer it took (none where a sub-array was free), and when it
and all before it were passed on."""

READY, ASKED, SRAM_END, DRAM_END, SSD_END, WEIGHTS_AT, START, FINISH, PASSED, COPY, HELD, LAST = (
    range(12)
)

_IN_USE, _WEIGHTS_AT = range(2)
"""State of a stage: bytes of its buffer, when its weights are there."""

_UPCOMING, _KNOWN, _OLDEST = range(3)
"""Places in a stage: its next sub-batch, how many are known, the first that holds room."""


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
        Seconds, and (S, B, 12) by `STEPS`.
    """
    latency_s, steps = _run(times.one(0))
    return float(latency_s[0]), steps


def _run(times: UnitTimes) -> tuple[DoubleArray, DoubleArray]:
    num_designs, num_stages, num_batches = times.array.shape
    latency_s = np.empty(num_designs)
    steps = np.zeros((num_stages, num_batches, len(STEPS)))
    most = int(times.copies.max(initial=1))
    _run_designs(*packed(times), most, latency_s, steps)
    return latency_s, steps


@njit(nogil=True, cache=True)
def _run_designs(
    batch: DoubleArray,
    stage: DoubleArray,
    how: IntArray,
    wait: DoubleArray,
    most: int,
    latency_s: DoubleArray,
    steps: DoubleArray,
) -> None:
    num_stages = how.shape[1]
    copies = np.zeros((2, num_stages, most))
    channel = np.zeros(num_stages)
    state = np.zeros((num_stages, 2))
    place = np.zeros((num_stages, 3), np.int64)
    for d in range(latency_s.size):
        copies[:], channel[:], state[:], place[:] = 0.0, 0.0, 0.0, 0
        latency_s[d] = _one_query(
            batch[d], stage[d], how[d], wait, steps, copies, channel, state, place
        )


@njit(nogil=True, cache=True)
def _one_query(
    batch: DoubleArray,
    stage: DoubleArray,
    how: IntArray,
    wait: DoubleArray,
    steps: DoubleArray,
    copies: DoubleArray,
    channel: DoubleArray,
    state: DoubleArray,
    place: IntArray,
) -> float:
    """Latency of one design.

    Args:
        batch: (S, B, 8), see `accel_packed`.
        stage: (S, 4).
        how: (S, 7).
        wait: (3,), latencies.
        steps: (S, B, 12), written.
        copies: (2, S, copies), when sub-arrays and filters are free.
        channel: (S,), when DRAM is.
        state: (S, 2).
        place: (S, 3).
    """
    num_stages, num_batches = steps.shape[:2]
    sram_free = ssd_free = out_free = end = 0.0
    in_free = _enter(batch[0], wait, 0.0, steps[0])
    place[0, _KNOWN] = num_batches
    for _ in range(num_stages * num_batches):
        s, asked = _first_to_ask(batch, stage, how, steps, copies, channel, state, place)
        b = place[s, _UPCOMING]
        own, step = batch[s, b], steps[s, b]
        place[s, _UPCOMING] += 1
        group = how[s, GROUP]
        copy = _first_free(copies, group, how[s, COPIES])
        step[HELD] = 0.0
        if copies[0, group, copy] > asked + TICK:
            _hold(s, b, own[NEED], stage[s, ROOM], steps, state, place)
        step[ASKED] = asked
        sram_free = max(asked, sram_free) + own[SRAM]
        there = step[SRAM_END] = sram_free
        step[DRAM_END] = step[SSD_END] = asked
        if own[DRAM] > 0:
            step[DRAM_END] = _serve(channel, how[s, CHANNEL], asked, own[DRAM])
            there = max(there, step[DRAM_END] + wait[MEMORY])
        if own[SSD] > 0:
            ssd_free = step[SSD_END] = max(asked, ssd_free) + own[SSD]
            there = max(there, ssd_free + wait[DISK])
        early = how[s, PRELOADED] and b == 0
        if own[WEIGHTS] > 0 and not (early and s > 0):
            moved = _serve(channel, how[s, CHANNEL], asked, own[WEIGHTS])
            state[s, _WEIGHTS_AT] = moved + wait[MEMORY]
        if early and s + 1 < num_stages and batch[s + 1, 0, WEIGHTS] > 0:
            moved = _serve(channel, how[s + 1, CHANNEL], asked, batch[s + 1, 0, WEIGHTS])
            state[s + 1, _WEIGHTS_AT] = moved + wait[MEMORY]
        step[WEIGHTS_AT], step[COPY] = state[s, _WEIGHTS_AT], copy
        step[START] = max(there, step[WEIGHTS_AT], copies[0, group, copy])
        step[FINISH] = step[START] + own[ARRAY]
        step[PASSED] = max(step[FINISH], copies[1, group, copy]) + own[TOPK]
        copies[0, group, copy], copies[1, group, copy] = step[FINISH], step[PASSED]
        end = step[PASSED] if b == 0 else max(step[PASSED], steps[s, b - 1, LAST])
        step[LAST] = end
        if s + 1 < num_stages and not how[s, BARRIER]:
            steps[s + 1, b, READY] = end
            place[s + 1, _KNOWN] = b + 1
        if b + 1 < num_batches or not (how[s, BARRIER] or s + 1 == num_stages):
            continue
        end += stage[s, AFTER]
        if how[s, HOST] or s + 1 == num_stages:
            out_free = max(end, out_free) + stage[s, LEAVE]
            end = out_free + wait[LINK] + stage[s, SORT]
        if s + 1 == num_stages:
            break
        place[s + 1, _KNOWN] = num_batches
        steps[s + 1, :, READY] = end
        if how[s, HOST]:
            in_free = _enter(batch[s + 1], wait, max(end, in_free), steps[s + 1])
    return end


@njit(nogil=True, cache=True)
def _enter(batch: DoubleArray, wait: DoubleArray, begin: float, steps: DoubleArray) -> float:
    """Ids come over PCIe, a sub-batch at a time; returns when the link is free."""
    for b in range(batch.shape[0]):
        begin += batch[b, ENTER]
        steps[b, READY] = begin + wait[LINK]
    return begin


@njit(nogil=True, cache=True, inline="always")
def _serve(free: DoubleArray, unit: int, asked: float, length: float) -> float:
    """A unit's time from when it is asked and free; returns the end."""
    free[unit] = max(asked, free[unit]) + length
    end: float = free[unit]
    return end


@njit(nogil=True, cache=True, inline="always")
def _first_to_ask(
    batch: DoubleArray,
    stage: DoubleArray,
    how: IntArray,
    steps: DoubleArray,
    copies: DoubleArray,
    channel: DoubleArray,
    state: DoubleArray,
    place: IntArray,
) -> tuple[int, float]:
    """The stage whose next sub-batch asks for rows before all others', and when."""
    first, earliest = -1, np.inf
    for s in range(how.shape[0] - 1, -1, -1):
        b = place[s, _UPCOMING]
        if b >= place[s, _KNOWN]:
            continue
        asked = steps[s, b, READY]
        if b > 0:
            asked = max(asked, steps[s, b - 1, ASKED])
        if batch[s, b, DRAM] + batch[s, b, WEIGHTS] > 0:
            asked = max(asked, channel[how[s, CHANNEL]])
        group = how[s, GROUP]
        possible = copies[0, group, _first_free(copies, group, how[s, COPIES])]
        if how[s, AHEAD] and possible > asked:
            used, room = state[s, _IN_USE], 0.0
            for old in range(place[s, _OLDEST], b):
                if used + batch[s, b, NEED] <= stage[s, ROOM]:
                    break
                used -= steps[s, old, HELD]
                if steps[s, old, HELD] > 0:
                    room = max(room, steps[s, old, FINISH])
            possible = min(possible, room)
        asked = max(asked, possible)
        if asked < earliest:
            first, earliest = s, asked
    return first, earliest


@njit(nogil=True, cache=True, inline="always")
def _hold(
    s: int,
    b: int,
    need: float,
    size: float,
    steps: DoubleArray,
    state: DoubleArray,
    place: IntArray,
) -> None:
    """Take room in the buffer; what is done gives its own back in order, as far as needed."""
    while place[s, _OLDEST] < b and state[s, _IN_USE] + need > size:
        state[s, _IN_USE] -= steps[s, place[s, _OLDEST], HELD]
        place[s, _OLDEST] += 1
    if place[s, _OLDEST] == b:
        state[s, _IN_USE] = 0.0
    steps[s, b, HELD] = need
    state[s, _IN_USE] += need


@njit(nogil=True, cache=True, inline="always")
def _first_free(copies: DoubleArray, group: int, num: int) -> int:
    """Of a stage's sub-arrays the one that is free first; the first of equals."""
    best = 0
    for c in range(1, num):
        if copies[0, group, c] < copies[0, group, best]:
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
