"""How fast this machine reads and computes, measured in a fraction of a second."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

_READ_BYTES_PER_THREAD = 64 * 2**20  # past most last-level caches
_MATRIX_SIZE = 768


def bandwidth_bytes_per_s(num_threads: int, seconds: float) -> float:
    """Streaming read bandwidth: the best pass of all threads summing arrays of their own.

    Args:
        num_threads: readers.
        seconds: how long to go on; at least three passes are made.

    Returns:
        Bytes a second.
    """
    arrays = [np.ones(_READ_BYTES_PER_THREAD // 8) for _ in range(num_threads)]
    with ThreadPoolExecutor(num_threads) as pool:
        best_s = _best_s(lambda: list(pool.map(np.sum, arrays)), seconds)
    return num_threads * _READ_BYTES_PER_THREAD / best_s


def compute_flops_per_s(num_threads: int, seconds: float) -> float:
    """Single-precision speed of the linear-algebra library numpy uses.

    Args:
        num_threads: cores it may take.
        seconds: how long to go on; at least three products are made.

    Returns:
        FLOPs a second, a multiply-add being 2.
    """
    left = np.full((_MATRIX_SIZE, _MATRIX_SIZE), 0.5, np.float32)
    out = np.empty_like(left)
    with threadpool_limits(num_threads):
        best_s = _best_s(lambda: np.matmul(left, left, out=out), seconds)
    return 2 * _MATRIX_SIZE**3 / best_s


def _best_s(work: Callable[[], object], seconds: float) -> float:
    """Shortest of repeated timings: others on the machine can only make one longer."""
    until = time.perf_counter() + seconds
    timings: list[float] = []
    while len(timings) < 3 or time.perf_counter() < until:
        start = time.perf_counter()
        work()
        timings.append(time.perf_counter() - start)
    return min(timings)
