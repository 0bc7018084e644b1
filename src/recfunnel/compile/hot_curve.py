"""How much a hot store of computed rows saves, by its size: MP-Cache's encoder tier, exact.

A hit is a row that is kept, so neither codes nor decoder are needed; scores do not change at all.
Ids are chosen in one window of a trace and hits are counted in another.

Letters: L lookups, S sizes.
"""

from dataclasses import dataclass

import numpy as np

from recfunnel.compile.computed import row_flops
from recfunnel.compile.id_counts import INDEX_BYTES
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.computed import AnyComputed
from recfunnel.hardware.caches.base import CachePolicySpec, count_hits
from recfunnel.hardware.caches.static import Static
from recfunnel.hardware.caches.trace import row_trace


@dataclass(frozen=True, eq=False, slots=True)
class HotCurve:
    """Hit rate of a hot store against its size.

    Args:
        num_rows: (S,), rows kept.
        size_bytes: (S,), their float32 rows and the index that finds them.
        hit_rates: (S,), share of the counted lookups whose row was kept.
        flops_per_lookup: (S,), arithmetic left in a lookup, on average.
    """

    num_rows: IntArray
    size_bytes: DoubleArray
    hit_rates: DoubleArray
    flops_per_lookup: DoubleArray


def hot_curve(
    table: AnyComputed,
    parameters: Parameters,
    profile: IntArray,
    lookups: IntArray,
    num_rows: IntArray,
    policy: CachePolicySpec = Static(),  # noqa: B008 - frozen
) -> HotCurve:
    """Play a window of lookups against hot stores of several sizes.

    Args:
        table: whose rows are kept.
        parameters: by name.
        profile: (P,), ids in the order they were looked up, before those that are counted. A
            static store keeps the ids most frequent here; a dynamic one starts with what these
            leave in it.
        lookups: (L,), ids that are counted.
        num_rows: (S,), sizes to try, each at least 1.
        policy: `Static` keeps its rows; any other of `recfunnel.hardware.caches` changes them.

    Raises:
        DataError: no lookups, or an id that is none.
        StudyError: no size, or one below 1.
    """
    trace = row_trace(lookups, before=profile, table_rows=(table.num_ids,))
    rates = count_hits(policy, trace, num_rows).hit_rates
    return HotCurve(
        num_rows=num_rows,
        size_bytes=np.asarray(num_rows * (4 * table.dim + INDEX_BYTES), np.float64),
        hit_rates=rates,
        flops_per_lookup=(1 - rates) * row_flops(table, parameters),
    )
