"""The loop of many queries through one accelerator, in order of time; see `accel_stream`.

Letters: N queries, K kinds of query, S stages, B sub-batches. Compiled functions share the file
because numba's cache does not notice a change in another one.
"""

import numpy as np
from numba import njit

from recfunnel.core.arrays import DoubleArray, IntArray
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
)

STEPS = ("ready", "asked", "rows", "start", "finish", "passed", "copy", "held")
"""As `accel_query` has them; rows: all read from SRAM, DRAM and SSD, latencies included."""

READY, ASKED, ROWS, START, FINISH, PASSED, COPY, HELD = range(8)

LINK_IN, LINK_OUT, PORTS, DISK_READS, STAGES = range(5)
"""Units: PCIe both ways, SRAM, SSD; then S channels, S groups of sub-arrays, S of filters."""

_FREE, BUSY = range(2)
"""Of a unit: when it is free, and its work within the window."""

_ARRIVE, _RETURN, _LEAVE = -1, -2, -3

_HEAD, _TAIL, _OLDEST, _NEWEST = range(4)
"""Places of a stage: its queue, and the ring of what holds room in its buffer."""

_IN_USE, _ASKED = range(2)
"""Of a stage: bytes of its buffer, when the last sub-batch asked."""

_PASSED, _WEIGHTS = range(2)
"""Of a query's stage: when the last sub-batch was passed on, when its weights are there."""


@njit(nogil=True, cache=True)
def run_events(
    batch: DoubleArray,
    stage: DoubleArray,
    how: IntArray,
    wait: DoubleArray,
    arrival: DoubleArray,
    kind: IntArray,
    window: DoubleArray,
    units: DoubleArray,
    departure: DoubleArray,
    steps: DoubleArray,
) -> None:
    """All queries, event by event.

    Args:
        batch: (K, S, B, 8), see `accel_packed`.
        stage: (K, S, 4).
        how: (K, S, 7), the first is everyone's.
        wait: (3,), latencies.
        arrival: (N,).
        kind: (N,).
        window: (2,), whose work is counted.
        units: (2, 4 + 3 S), written.
        departure: (N,), written.
        steps: (N or 0, S, B, 8), written.
    """
    (num_stages, num_batches), num = batch.shape[1:3], arrival.size
    queue_s = np.empty((num_stages, num * num_batches))
    queue = np.empty((num_stages, num * num_batches), np.int64)
    held = np.empty((num_stages, num * num_batches, 2))
    place, state = np.zeros((num_stages, 4), np.int64), np.zeros((num_stages, 2))
    copies = np.zeros((2, num_stages, how[0, :, COPIES].max()))
    query, num_done = np.zeros((num, num_stages, 2)), np.zeros((num, num_stages), np.int64)
    back_s, back = np.empty(num * num_stages), np.empty(num * num_stages, np.int64)
    out_s, out = np.empty(num * num_stages), np.empty(num * num_stages, np.int64)
    unseen = np.empty(len(STEPS))
    next_query = back_head = back_tail = out_head = out_tail = 0
    left = num
    while left > 0:
        now, event = np.inf, _ARRIVE
        if next_query < num:
            now = arrival[next_query]
        if back_head < back_tail and back_s[back_head] < now:
            now, event = back_s[back_head], _RETURN
        for s in range(num_stages - 1, -1, -1):
            if place[s, _HEAD] < place[s, _TAIL]:
                first = queue[s, place[s, _HEAD]]
                k, b = kind[first // num_batches], first % num_batches
                asked = _asks(
                    batch[k, s, b],
                    stage[k, s],
                    how[0, s],
                    s,
                    queue_s,
                    held,
                    place,
                    state,
                    copies,
                    units,
                )
                if asked < now:
                    now, event = asked, s
        if out_head < out_tail and out_s[out_head] < now:
            now, event = out_s[out_head], _LEAVE

        if event == _ARRIVE:
            _enter(
                batch[kind[next_query], 0],
                wait,
                next_query,
                0,
                now,
                queue_s,
                queue,
                place,
                units,
                window,
            )
            next_query += 1
        elif event == _RETURN:
            q, s = back[back_head] // num_stages, back[back_head] % num_stages
            back_head += 1
            _enter(batch[kind[q], s], wait, q, s, now, queue_s, queue, place, units, window)
        elif event == _LEAVE:
            q, s = out[out_head] // num_stages, out[out_head] % num_stages
            end = _serve(units, LINK_OUT, now, stage[kind[q], s, LEAVE], window)
            end += wait[LINK] + stage[kind[q], s, SORT]
            if s + 1 == num_stages:
                departure[q] = end
                left -= 1
            else:
                back_tail = _insert(back_s, back, back_head, back_tail, end, out[out_head] + 1)
            out_head += 1
        else:
            s = event
            task = queue[s, place[s, _HEAD]]
            q, b = task // num_batches, task % num_batches
            k = kind[q]
            step = steps[q, s, b] if steps.shape[0] > 0 else unseen
            step[READY], step[ASKED] = queue_s[s, place[s, _HEAD]], now
            place[s, _HEAD] += 1
            state[s, _ASKED] = now
            there = _read_rows(batch[k, s, b], how[0, s], wait, now, units, window)
            _stream_weights(batch[k], how[0], wait, s, b, now, query[q], units, window)
            passed = _compute(
                batch[k, s, b],
                stage[k, s, ROOM],
                how[0, s],
                s,
                now,
                max(there, query[q, s, _WEIGHTS]),
                held,
                place,
                state,
                copies,
                units,
                window,
                step,
            )
            step[ROWS] = there
            query[q, s, _PASSED] = max(query[q, s, _PASSED], passed)
            num_done[q, s] += 1
            if not (s + 1 == num_stages or how[0, s, BARRIER]):
                _know(s + 1, query[q, s, _PASSED], task, queue_s, queue, place)
            elif num_done[q, s] == num_batches:
                end = query[q, s, _PASSED]
                if stage[k, s, AFTER] > 0:
                    unit = STAGES + 2 * num_stages + how[0, s, GROUP]
                    end = _serve(units, unit, end, stage[k, s, AFTER], window)
                if s + 1 == num_stages or how[0, s, HOST]:
                    out_tail = _insert(out_s, out, out_head, out_tail, end, q * num_stages + s)
                else:
                    for b in range(num_batches):
                        _know(s + 1, end, q * num_batches + b, queue_s, queue, place)


@njit(nogil=True, cache=True, inline="always")
def _asks(
    own: DoubleArray,
    stage: DoubleArray,
    how: IntArray,
    s: int,
    queue_s: DoubleArray,
    held: DoubleArray,
    place: IntArray,
    state: DoubleArray,
    copies: DoubleArray,
    units: DoubleArray,
) -> float:
    """When the first of a stage's queue can ask for its rows, as things stand."""
    asked = max(queue_s[s, place[s, _HEAD]], state[s, _ASKED])
    if own[DRAM] + own[WEIGHTS] > 0:
        asked = max(asked, units[_FREE, STAGES + how[CHANNEL]])
    possible = copies[0, how[GROUP], _first_free(copies, how[GROUP], how[COPIES])]
    if how[AHEAD] and possible > asked:
        used, room = state[s, _IN_USE], 0.0
        for old in range(place[s, _OLDEST], place[s, _NEWEST]):
            if used + own[NEED] <= stage[ROOM]:
                break
            used -= held[s, old, 0]
            room = max(room, held[s, old, 1])
        possible = min(possible, room)
    at: float = max(asked, possible)
    return at


@njit(nogil=True, cache=True)
def _enter(
    batch: DoubleArray,
    wait: DoubleArray,
    q: int,
    s: int,
    now: float,
    queue_s: DoubleArray,
    queue: IntArray,
    place: IntArray,
    units: DoubleArray,
    window: DoubleArray,
) -> None:
    """A query's ids come over PCIe, a sub-batch at a time."""
    num_batches = batch.shape[0]
    for b in range(num_batches):
        end = _serve(units, LINK_IN, now, batch[b, ENTER], window)
        _know(s, end + wait[LINK], q * num_batches + b, queue_s, queue, place)


@njit(nogil=True, cache=True)
def _read_rows(
    own: DoubleArray,
    how: IntArray,
    wait: DoubleArray,
    now: float,
    units: DoubleArray,
    window: DoubleArray,
) -> float:
    """SRAM, DRAM and SSD side by side; returns when all rows are there."""
    there = _serve(units, PORTS, now, own[SRAM], window)
    if own[DRAM] > 0:
        end = _serve(units, STAGES + how[CHANNEL], now, own[DRAM], window)
        there = max(there, end + wait[MEMORY])
    if own[SSD] > 0:
        end = _serve(units, DISK_READS, now, own[SSD], window)
        there = max(there, end + wait[DISK])
    return there


@njit(nogil=True, cache=True)
def _stream_weights(
    batch: DoubleArray,
    how: IntArray,
    wait: DoubleArray,
    s: int,
    b: int,
    now: float,
    query: DoubleArray,
    units: DoubleArray,
    window: DoubleArray,
) -> None:
    """Weights that are not kept: behind their own rows, or behind the first ones before."""
    early = how[s, PRELOADED] and b == 0
    if batch[s, b, WEIGHTS] > 0 and not (early and s > 0):
        end = _serve(units, STAGES + how[s, CHANNEL], now, batch[s, b, WEIGHTS], window)
        query[s, _WEIGHTS] = end + wait[MEMORY]
    if early and s + 1 < how.shape[0] and batch[s + 1, 0, WEIGHTS] > 0:
        end = _serve(units, STAGES + how[s + 1, CHANNEL], now, batch[s + 1, 0, WEIGHTS], window)
        query[s + 1, _WEIGHTS] = end + wait[MEMORY]


@njit(nogil=True, cache=True)
def _compute(
    own: DoubleArray,
    size: float,
    how: IntArray,
    s: int,
    now: float,
    there: float,
    held: DoubleArray,
    place: IntArray,
    state: DoubleArray,
    copies: DoubleArray,
    units: DoubleArray,
    window: DoubleArray,
    step: DoubleArray,
) -> float:
    """A sub-array and its filter; returns when the sub-batch is passed on."""
    num_stages, group = place.shape[0], how[GROUP]
    copy = _first_free(copies, group, how[COPIES])
    waits = copies[0, group, copy] > now + TICK
    begin = max(there, copies[0, group, copy])
    end = begin + own[ARRAY]
    passed: float = max(end, copies[1, group, copy]) + own[TOPK]
    copies[0, group, copy], copies[1, group, copy] = end, passed
    _count(units, STAGES + num_stages + group, end, own[ARRAY], window)
    _count(units, STAGES + 2 * num_stages + group, passed, own[TOPK], window)
    if waits:
        _hold(s, own[NEED], size, end, held, place, state)
    step[START], step[FINISH], step[PASSED], step[COPY] = begin, end, passed, copy
    step[HELD] = own[NEED] if waits else 0.0
    return passed


@njit(nogil=True, cache=True)
def _hold(
    s: int,
    need: float,
    size: float,
    until: float,
    held: DoubleArray,
    place: IntArray,
    state: DoubleArray,
) -> None:
    """Take room in the buffer; what is done gives its own back in order, as far as needed."""
    while place[s, _OLDEST] < place[s, _NEWEST] and state[s, _IN_USE] + need > size:
        state[s, _IN_USE] -= held[s, place[s, _OLDEST], 0]
        place[s, _OLDEST] += 1
    if place[s, _OLDEST] == place[s, _NEWEST]:
        state[s, _IN_USE] = 0.0
    held[s, place[s, _NEWEST], 0], held[s, place[s, _NEWEST], 1] = need, until
    place[s, _NEWEST] += 1
    state[s, _IN_USE] += need


@njit(nogil=True, cache=True)
def _serve(
    units: DoubleArray, unit: int, asked: float, length: float, window: DoubleArray
) -> float:
    """A unit's time from when it is asked and free; returns the end."""
    end: float = max(asked, units[_FREE, unit]) + length
    units[_FREE, unit] = end
    _count(units, unit, end, length, window)
    return end


@njit(nogil=True, cache=True, inline="always")
def _count(units: DoubleArray, unit: int, end: float, length: float, window: DoubleArray) -> None:
    """Add what lies in the window of a stretch of work."""
    inside = min(end, window[1]) - max(end - length, window[0])
    units[BUSY, unit] += max(inside, 0.0)


@njit(nogil=True, cache=True)
def _know(
    s: int, at: float, task: int, queue_s: DoubleArray, queue: IntArray, place: IntArray
) -> None:
    """Put a sub-batch whose ids are known in its stage's queue."""
    place[s, _TAIL] = _insert(queue_s[s], queue[s], place[s, _HEAD], place[s, _TAIL], at, task)


@njit(nogil=True, cache=True)
def _insert(times: DoubleArray, whose: IntArray, head: int, tail: int, at: float, task: int) -> int:
    """Put a task in its place in an order of time, behind equals; returns the new end."""
    place = tail
    while place > head and times[place - 1] > at:
        times[place], whose[place] = times[place - 1], whose[place - 1]
        place -= 1
    times[place], whose[place] = at, task
    return tail + 1


@njit(nogil=True, cache=True, inline="always")
def _first_free(copies: DoubleArray, group: int, num: int) -> int:
    """Of a stage's sub-arrays the one that is free first; the first of equals."""
    best = 0
    for c in range(1, num):
        if copies[0, group, c] < copies[0, group, best]:
            best = c
    return best
