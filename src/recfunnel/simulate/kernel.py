"""The inner loop: first-come-first-served stations one behind the other, exactly.

Letters: N queries, S stations. *Station order* is the order in which queries reach a station.

The n-th query to reach a station of c servers starts when it is there and a server is free. Service
is above 0, so servers become free in the order of a growing sorted list of departures, and the one
the n-th query takes is its (n - c)-th entry: nothing inserted later can come before it. One
insertion sort therefore is the free list, and leaves the order in which the next station is
reached. An insertion passes at most the c - 1 queries that are in service with it.

The only sums are start + service, in the order any event-by-event simulator forms them, so results
agree with one to the last bit. The compiled functions share one file because numba's cache does not
notice a change in another one.
"""

import numpy as np
from numba import njit

from recfunnel.core.arrays import DoubleArray, IntArray


@njit(nogil=True, cache=True, error_model="numpy")
def _serve_one_by_one(
    arrival: DoubleArray,
    query: IntArray,
    service: DoubleArray,
    departure: DoubleArray,
    left: IntArray,
) -> None:
    """As `_serve` for one server, where nobody overtakes: twice as fast (Lindley's recursion)."""
    end = -np.inf
    for n in range(arrival.size):
        start = arrival[n] if arrival[n] > end else end
        end = start + service[query[n]]
        departure[n] = end
        left[n] = query[n]


@njit(nogil=True, cache=True, error_model="numpy")
def _serve(
    arrival: DoubleArray,
    query: IntArray,
    service: DoubleArray,
    num_servers: int,
    departure: DoubleArray,
    left: IntArray,
) -> None:
    """One station.

    Args:
        arrival: (N,), never falling, in station order.
        query: (N,), which query each is.
        service: (N,), above 0, by query.
        num_servers: at least 1.
        departure: (N,), written, rising, ties by query.
        left: (N,), written, which query each departure is.
    """
    for n in range(arrival.size):
        own = query[n]
        start = arrival[n]
        if n >= num_servers and departure[n - num_servers] > start:
            start = departure[n - num_servers]
        end = start + service[own]
        place = n
        while place > 0 and departure[place - 1] >= end:
            if departure[place - 1] == end and left[place - 1] < own:
                break
            departure[place] = departure[place - 1]
            left[place] = left[place - 1]
            place -= 1
        departure[place] = end
        left[place] = own


@njit(nogil=True, cache=True, error_model="numpy")
def _busy_s(
    departure: DoubleArray, query: IntArray, service: DoubleArray, start_s: float, end_s: float
) -> float:
    """Seconds that servers worked between two moments."""
    total = 0.0
    for n in range(departure.size):
        end = min(departure[n], end_s)
        start = max(departure[n] - service[query[n]], start_s)
        total += max(end - start, 0.0)
    return total


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
    start_s = arrival_s[warmup]
    end_s = arrival_s[-1] if arrival_s[-1] > start_s else np.inf
    reached, departure = arrival_s.copy(), np.empty(arrival_s.size)
    query, left = np.arange(arrival_s.size), np.empty(arrival_s.size, np.int64)
    for s in range(num_servers.size):
        if num_servers[s] == 1:
            _serve_one_by_one(reached, query, service_s[s], departure, left)
        else:
            _serve(reached, query, service_s[s], num_servers[s], departure, left)
        reached, departure = departure, reached
        query, left = left, query
        utilisation[s] = _busy_s(reached, query, service_s[s], start_s, end_s)
    for n in range(arrival_s.size):
        latency_s[query[n]] = reached[n] - arrival_s[query[n]]
    if end_s == np.inf:
        end_s = reached[-1]
    utilisation /= num_servers * (end_s - start_s)
    answered = np.searchsorted(reached, end_s, "right") - np.searchsorted(reached, start_s, "right")
    throughput_qps: float = answered / (end_s - start_s)
    return throughput_qps
