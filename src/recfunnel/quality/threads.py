"""Share the rows of a compiled loop among threads."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import config

from recfunnel.core.errors import InvalidInput


class RowThreads:
    """Runs loops over rows on a few threads that live as long as this object.

    The loops release the interpreter lock. Plain threads are used rather than numba's own pool
    because processes may be forked later, which OpenMP does not survive.

    Args:
        num_threads: None for every core numba may use (environment NUMBA_NUM_THREADS).

    Raises:
        InvalidInput: less than one thread.
    """

    def __init__(self, num_threads: int | None = None) -> None:
        self.num_threads = _all_cores() if num_threads is None else num_threads
        if self.num_threads < 1:
            raise InvalidInput(f"{self.num_threads} threads cannot work; give at least 1")
        self._pool = ThreadPoolExecutor(self.num_threads, "quality")

    def run(self, loop: Callable[[int, int], None], num_rows: int) -> None:
        """Call `loop(start, stop)` until all rows are done; results must not depend on blocks."""
        if self.num_threads == 1:
            loop(0, num_rows)
            return
        # Four blocks a thread even out queries of different lengths.
        edges = np.linspace(0, num_rows, 4 * self.num_threads + 1).astype(int)
        for done in [
            self._pool.submit(loop, int(start), int(stop))
            for start, stop in itertools.pairwise(edges)
        ]:
            done.result()


def _all_cores() -> int:
    """Cores this process may use, unless the environment says otherwise."""
    cores: int = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # set when it loads
    return cores
