"""What every policy of a row cache keeps to.

Subclass `CachePolicyContract` and set `spec`.
"""

from typing import Any

import numpy as np

from recfunnel.core.spec import to_builtins
from recfunnel.hardware.caches.base import cache_policies, count_hits
from recfunnel.hardware.caches.belady import Belady
from recfunnel.hardware.caches.trace import RowTrace, row_trace


class CachePolicyContract:
    """Tests of a `CachePolicySpec`; `spec` is the spec under test."""

    spec: Any
    evicts: bool = True
    """Whether it begins empty and holds each row just looked up; not so for pinned rows."""

    def trace(self) -> RowTrace:
        """Lookups some of whose rows are popular, and other ones later."""
        ids = (800 * np.random.default_rng(1).random(20_000) ** 3).astype(np.int64)
        ids[10_000:] = (ids[10_000:] + 100) % 800
        return row_trace(ids).warmed_up_by(6_000)

    def test_the_spec_survives_being_written_and_read(self) -> None:
        """As plain data with its kind."""
        assert cache_policies.parse(to_builtins(self.spec)) == self.spec

    def test_each_cache_is_alone_with_the_trace(self) -> None:
        """Capacities asked for together hit as each does by itself."""
        trace, capacities = self.trace(), np.unique(np.geomspace(1, 900, 30).astype(np.int64))
        together = count_hits(self.spec, trace, capacities)
        alone = [int(count_hits(self.spec, trace, [c]).hits[0]) for c in capacities]
        assert together.hits.tolist() == alone

    def test_lookups_of_the_warm_up_are_not_counted(self) -> None:
        """Hits of the whole trace are those of its first part and of the rest after it."""
        trace = self.trace()
        counted = count_hits(self.spec, trace, [50, 400])
        assert counted.num_counted == 14_000
        assert (counted.hits <= 14_000).all()
        if self.evicts:
            first = RowTrace(trace.rows[:6_000], trace.num_rows)
            whole = count_hits(self.spec, trace.warmed_up_by(0), [50, 400])
            before = count_hits(self.spec, first, [50, 400])
            assert whole.hits.tolist() == (before.hits + counted.hits).tolist()

    def test_no_policy_beats_belady(self) -> None:
        """From an empty cache on; pinned rows are not held against it."""
        if self.evicts:
            trace = self.trace().warmed_up_by(0)
            capacities = [1, 10, 100, 700]
            best = count_hits(Belady(), trace, capacities)
            assert (count_hits(self.spec, trace, capacities).hits <= best.hits).all()

    def test_a_cache_of_all_rows_misses_each_row_once(self) -> None:
        """With room to spare nothing leaves."""
        if self.evicts:
            trace = self.trace().warmed_up_by(0)
            counted = count_hits(self.spec, trace, [trace.num_rows, 10 * trace.num_rows])
            assert counted.misses.tolist() == [trace.num_rows] * 2
