"""Arrivals as they were recorded."""

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import DataError, StudyError
from recfunnel.core.spec import Spec
from recfunnel.core.workload import ArrivalsSpec, arrivals, check_times
from recfunnel.workload.recorded import read_numbers


@arrivals.register
class Trace(Spec, ArrivalsSpec, frozen=True, tag="trace"):
    """Recorded arrival times, one number a line, never falling; any unit and any origin.

    The record is closed into a ring (its last gap is the mean gap) and each draw starts at a
    random place of it, so that independent replications differ.

    Args:
        path: the file; text after `#` is ignored.
    """

    path: str

    def unit_times(self, num_queries: int, rng: np.random.Generator) -> DoubleArray:
        """(N,), rising arrival times in seconds; the whole record has a mean rate of 1 query/s.

        Raises:
            DataError: the file is missing, malformed, falls, or spans no time.
            StudyError: it holds fewer arrivals than asked for.
        """
        gaps = _unit_gaps(self.path)
        if num_queries > gaps.size:
            raise StudyError(
                f"{self.path} records {gaps.size} arrivals, asked for {num_queries}; "
                "simulate fewer queries or record more"
            )
        start = int(rng.integers(gaps.size))
        return np.cumsum(np.roll(gaps, -start)[:num_queries])


def _unit_gaps(path: str) -> DoubleArray:
    times = read_numbers(path)
    if times.size < 2 or not times[-1] > times[0]:
        raise DataError(f"{path} records {times.size} arrivals that span no time")
    try:
        check_times(times - times[0])
    except StudyError as error:
        raise DataError(f"{path}: {error}") from error
    mean_gap = (times[-1] - times[0]) / (times.size - 1)
    gaps: DoubleArray = np.append(np.diff(times), mean_gap) / mean_gap
    return gaps
