"""The inner loops: first-come-first-served stations one behind the other, exactly.

Letters: N queries, S stations, R replications. *Station order* is the order in which queries reach
a station; `order[n]` is the query that is n-th there.

Each station is the Kiefer-Wolfowitz recursion: the n-th query starts at the later of its arrival
and the earliest moment a server is free. The only sums are start + service, in the order any
event-by-event simulator would form them, so results agree with one to the last bit. All compiled
functions live in this one file because numba's cache does not notice a change in another file.
"""

import numpy as np
from numba import njit

from recfunnel.core.arrays import DoubleArray, IntArray

# A departure is moved back past the later ones before it. Few are passed in real queues; beyond
# this many moves a query, a full sort is the cheaper way.
_MAX_MOVES = 32


@njit(nogil=True, cache=True, error_model="numpy")
def _one_server(arrival: DoubleArray, service: DoubleArray, departure: DoubleArray) -> None:
    free = -np.inf
    for n in range(arrival.size):
        start = arrival[n] if arrival[n] > free else free
        free = start + service[n]
        departure[n] = free


@njit(nogil=True, cache=True, error_model="numpy")
def _equal_service(
    arrival: DoubleArray, service_s: float, num_servers: int, departure: DoubleArray
) -> None:
    """Of equal services the n-th to start is the n-th to end: no free list is needed."""
    for n in range(min(num_servers, arrival.size)):
        departure[n] = arrival[n] + service_s
    for n in range(num_servers, arrival.size):
        free = departure[n - num_servers]
        departure[n] = (arrival[n] if arrival[n] > free else free) + service_s


@njit(nogil=True, cache=True, error_model="numpy")
def _up_to_four_servers(
    arrival: DoubleArray, service: DoubleArray, num_servers: int, departure: DoubleArray
) -> None:
    """Free times sorted in four scalars; absent servers are never free.

    Replacing the smallest by x leaves element j at max(f[j], min(f[j+1], x)): no branch, and no
    wait for memory.
    """
    f0 = -np.inf
    f1 = -np.inf if num_servers > 1 else np.inf
    f2 = -np.inf if num_servers > 2 else np.inf
    f3 = -np.inf if num_servers > 3 else np.inf
    for n in range(arrival.size):
        x = (arrival[n] if arrival[n] > f0 else f0) + service[n]
        departure[n] = x
        m1 = x if x < f1 else f1
        m2 = x if x < f2 else f2
        m3 = x if x < f3 else f3
        f0 = m1
        f1 = f1 if f1 > m2 else m2
        f2 = f2 if f2 > m3 else m3
        f3 = f3 if f3 > x else x


@njit(nogil=True, cache=True, error_model="numpy")
def _up_to_eight_servers(
    arrival: DoubleArray, service: DoubleArray, num_servers: int, departure: DoubleArray
) -> None:
    """As `_up_to_four_servers`, with eight."""
    f0 = f1 = f2 = f3 = -np.inf
    f4 = -np.inf if num_servers > 4 else np.inf
    f5 = -np.inf if num_servers > 5 else np.inf
    f6 = -np.inf if num_servers > 6 else np.inf
    f7 = -np.inf if num_servers > 7 else np.inf
    for n in range(arrival.size):
        x = (arrival[n] if arrival[n] > f0 else f0) + service[n]
        departure[n] = x
        m1 = x if x < f1 else f1
        m2 = x if x < f2 else f2
        m3 = x if x < f3 else f3
        m4 = x if x < f4 else f4
        m5 = x if x < f5 else f5
        m6 = x if x < f6 else f6
        m7 = x if x < f7 else f7
        f0 = m1
        f1 = f1 if f1 > m2 else m2
        f2 = f2 if f2 > m3 else m3
        f3 = f3 if f3 > m4 else m4
        f4 = f4 if f4 > m5 else m5
        f5 = f5 if f5 > m6 else m6
        f6 = f6 if f6 > m7 else m7
        f7 = f7 if f7 > x else x


@njit(nogil=True, cache=True, error_model="numpy")
def _many_servers(
    arrival: DoubleArray, service: DoubleArray, num_servers: int, departure: DoubleArray
) -> None:
    """Free times in a binary heap."""
    free = np.full(num_servers, -np.inf)
    for n in range(arrival.size):
        x = (arrival[n] if arrival[n] > free[0] else free[0]) + service[n]
        departure[n] = x
        hole = 0
        child = 1
        while child < num_servers:
            if child + 1 < num_servers and free[child + 1] < free[child]:
                child += 1
            if free[child] >= x:
                break
            free[hole] = free[child]
            hole = child
            child = 2 * hole + 1
        free[hole] = x


@njit(nogil=True, cache=True, error_model="numpy")
def _all_equal(values: DoubleArray) -> bool:
    for n in range(1, values.size):  # noqa: SIM110 - compiled, a generator would not be
        if values[n] != values[0]:
            return False
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _serve(
    arrival: DoubleArray, service: DoubleArray, num_servers: int, departure: DoubleArray
) -> None:
    """Departures (N,) of one station; everything in station order."""
    if num_servers == 1:
        _one_server(arrival, service, departure)
    elif _all_equal(service):
        _equal_service(arrival, service[0], num_servers, departure)
    elif num_servers <= 4:
        _up_to_four_servers(arrival, service, num_servers, departure)
    elif num_servers <= 8:
        _up_to_eight_servers(arrival, service, num_servers, departure)
    else:
        _many_servers(arrival, service, num_servers, departure)


@njit(nogil=True, cache=True, error_model="numpy")
def _sort_departures(departure: DoubleArray, order: IntArray) -> None:
    """Put departures in rising order, ties by query, and `order` with them, in place."""
    moves_left = _MAX_MOVES * departure.size
    for n in range(1, departure.size):
        time = departure[n]
        query = order[n]
        before = n - 1
        while before >= 0 and (
            departure[before] > time or (departure[before] == time and order[before] > query)
        ):
            departure[before + 1] = departure[before]
            order[before + 1] = order[before]
            before -= 1
        departure[before + 1] = time
        order[before + 1] = query
        moves_left -= n - 1 - before
        if moves_left < 0:
            break
    else:
        return
    by_query = np.empty_like(departure)
    by_query[order] = departure
    order[:] = np.argsort(by_query, kind="mergesort")
    departure[:] = by_query[order]


@njit(nogil=True, cache=True, error_model="numpy")
def _busy_s(
    departure: DoubleArray, service: DoubleArray, window_start_s: float, window_end_s: float
) -> float:
    """Seconds servers worked inside the window."""
    total = 0.0
    for n in range(departure.size):
        end = departure[n] if departure[n] < window_end_s else window_end_s
        start = departure[n] - service[n]
        start = start if start > window_start_s else window_start_s
        total += end - start if end > start else 0.0
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def _num_between(times: DoubleArray, start_s: float, end_s: float) -> int:
    """How many times lie after the start and up to the end."""
    count = 0
    for n in range(times.size):
        count += 1 if start_s < times[n] <= end_s else 0
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def run_tandem(
    arrival_s: DoubleArray,
    service_s: DoubleArray,
    num_servers: IntArray,
    warmup: int,
    latency_s: DoubleArray,
    utilisation: DoubleArray,
) -> float:
    """One run of a tandem.

    Utilisation and throughput are those of the window from the arrival of query `warmup` to the
    last arrival, or to the last departure where that window would be empty.

    Args:
        arrival_s: (N,), never falling.
        service_s: (S, N), above 0, by query.
        num_servers: (S,), at least 1.
        warmup: first query of the window, below N.
        latency_s: (N,), written; in order of arrival.
        utilisation: (S,), written.

    Returns:
        Answered queries a second.
    """
    num_queries = arrival_s.size
    start_s = arrival_s[warmup]
    end_s = arrival_s[-1] if arrival_s[-1] > start_s else np.inf
    reached = arrival_s.copy()
    departure = np.empty(num_queries)
    order = np.arange(num_queries)
    in_order = True
    for s in range(num_servers.size):
        own = service_s[s] if in_order else service_s[s][order]
        _serve(reached, own, num_servers[s], departure)
        utilisation[s] = _busy_s(departure, own, start_s, end_s)
        if num_servers[s] > 1 and s + 1 < num_servers.size:
            _sort_departures(departure, order)
            in_order = False
        reached, departure = departure, reached
    for n in range(num_queries):
        latency_s[order[n]] = reached[n] - arrival_s[order[n]]
    if end_s == np.inf:
        end_s = reached.max()
    utilisation /= num_servers * (end_s - start_s)
    throughput_qps: float = _num_between(reached, start_s, end_s) / (end_s - start_s)
    return throughput_qps
