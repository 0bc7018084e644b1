"""What a graph reads of the features, as blocks of numbers: table rows, weights, dense columns.

The context's blocks travel to the device with every call, and the table rows they name are gathered
there. The items' leaves are computed here, once.

Letters: Q queries, N items, V values of lists, L values of the longest, T table rows, d dimensions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import FloatArray, IntArray, Ragged
from recfunnel.core.errors import InvalidInput
from recfunnel.core.features import Features
from recfunnel.core.graph import Dense, Lookup, Pool, RankingGraph, RowSum

SMALLEST_NORM = 1e-12

MOST_ROWS = 2**31 - 1
"""Of tables joined into one: row numbers travel in 32 bits."""

ListReader = Pool | RowSum


@dataclass(frozen=True, eq=False, slots=True)
class JoinedTables:
    """Tables of one width one below the other, so that one gather reads from all of them.

    Args:
        names: of the tables, in order.
        first_rows: where each begins.
        rows: (T, d).
    """

    names: tuple[str, ...]
    first_rows: Mapping[str, int]
    rows: NDArray[Any]


def join_tables(names: list[str], parameters: Parameters) -> list[JoinedTables]:
    """Tables grouped by width, each group small enough for 32-bit row numbers."""
    groups: list[list[str]] = []
    for name in dict.fromkeys(names):
        table = parameters[name]
        for group in groups:
            held = sum(len(parameters[other]) for other in group)
            same = parameters[group[0]].shape[1:] == table.shape[1:]
            if same and held + len(table) <= MOST_ROWS:
                group.append(name)
                break
        else:
            groups.append([name])
    return [_joined(group, parameters) for group in groups]


def _joined(names: list[str], parameters: Parameters) -> JoinedTables:
    tables = [np.asarray(parameters[name], np.float32) for name in names]
    tables = [table[:, None] if table.ndim == 1 else table for table in tables]
    starts = np.cumsum([0, *(len(table) for table in tables[:-1])])
    rows = np.concatenate(tables) if len(tables) > 1 else np.array(tables[0])
    return JoinedTables(tuple(names), dict(zip(names, starts.tolist(), strict=True)), rows)


def checked(ids: IntArray, table: str, num_rows: int) -> IntArray:
    """Ids, all inside their table.

    Raises:
        InvalidInput: one is not; on a device it would end the process.
    """
    if ids.size and (ids.min() < 0 or ids.max() >= num_rows):
        raise InvalidInput(
            f"table {table!r} has rows 0 to {num_rows - 1}, asked for {ids.min()} to {ids.max()}"
        )
    return ids


def list_weights(lists: Ragged, op: ListReader, parameters: Parameters) -> FloatArray:
    """(V,), what each value of a multi-valued feature counts, its row's norm included."""
    size = lists.values.size
    weights = np.ones(size, np.float32) if lists.weights is None else lists.weights
    if isinstance(op, RowSum):
        if not op.weighting:
            return weights
        counts_as = parameters[op.weighting]
        found = np.interp(weights, np.arange(1, counts_as.size + 1), counts_as)
        return found.astype(np.float32)
    if op.norm == "sum" or not size:
        return weights
    sizes = np.abs(weights) if op.norm == "mean" else np.square(weights)
    totals = np.bincount(lists.row_ids(), sizes, len(lists))
    norms = np.maximum(totals if op.norm == "mean" else np.sqrt(totals), SMALLEST_NORM)
    divided: FloatArray = (weights / np.repeat(norms, lists.lengths)).astype(np.float32)
    return divided


def fill_rectangles(
    lists: Ragged, weights: FloatArray, ids_into: NDArray[np.int32], into: FloatArray
) -> None:
    """Rows of different lengths into (Q, L) rectangles, filled up with id 0 and weight 0.

    Args:
        lists: Q rows of at most L values.
        weights: (V,), of the values.
        ids_into: (Q, L), receives the ids.
        into: (Q, L), receives the weights.
    """
    ids_into[:], into[:] = 0, 0.0
    if len(lists) == 1:
        ids_into[0, : lists.values.size] = lists.values
        into[0, : lists.values.size] = weights
        return
    present = np.arange(into.shape[1]) < lists.lengths[:, None]
    ids_into[present] = lists.values
    into[present] = weights


def item_leaves(
    graph: RankingGraph, parameters: Parameters, items: Features
) -> dict[int, FloatArray]:
    """What the graph reads of items, by position: (N, w).

    Raises:
        InvalidInput: an id outside its table.
    """
    found: dict[int, FloatArray] = {}
    for position, op in enumerate(graph.nodes):
        if isinstance(op, Lookup) and op.side == "candidate":
            table = parameters[op.table]
            ids = checked(items.categorical[:, op.column], op.table, len(table))
            rows = np.asarray(table[ids], np.float32)
            found[position] = rows[:, None] if rows.ndim == 1 else rows
        elif isinstance(op, Pool) and op.side == "candidate":
            lists, table = items.multi_valued[op.column], parameters[op.table]
            ids = checked(lists.values, op.table, len(table))
            weighted = list_weights(lists, op, parameters)[:, None] * table[ids]
            found[position] = _summed(lists, weighted.astype(np.float32))
        elif isinstance(op, Dense) and op.side == "candidate":
            found[position] = items.dense[:, list(op.columns)]
    return found


def _summed(lists: Ragged, values: FloatArray) -> FloatArray:
    """(N, d), the sum of each row's values (V, d)."""
    total = np.zeros((len(lists), values.shape[1]), np.float32)
    full = np.flatnonzero(lists.lengths)
    if full.size:
        total[full] = np.add.reduceat(values, lists.offsets[:-1][full], axis=0)
    return total
