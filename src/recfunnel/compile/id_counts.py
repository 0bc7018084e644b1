"""How often the rows of computed tables are asked for, and which of them are worth keeping.

Counts come from a window of queries like those that will be served; the hot ids of the window are
kept, the rest is computed. Letters: Q queries, C candidates, n ids.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from recfunnel.compile.computed import row_flops
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import IntArray, Ragged
from recfunnel.core.computed import AnyComputed
from recfunnel.core.errors import StorageError
from recfunnel.core.features import Features
from recfunnel.core.graph import Lookup, Pool, RankingGraph, RowSum

ID_COUNTS_FILE = "id_counts.npz"
"""Where a finished model's folder keeps the counts of a window; absent when none was counted."""

INDEX_BYTES = 8 * 4 / 3
"""Of a kept row: slots of 8 bytes, three quarters of them taken."""

IdCounts = Mapping[str, tuple[IntArray, IntArray]]
"""By computed table: different ids (n,), rising, and in how many queries each was read (n,)."""


def count_ids(
    graph: RankingGraph, context: Features, items: Features, candidates: IntArray
) -> dict[str, tuple[IntArray, IntArray]]:
    """Count the ids that queries read rows of computed tables by.

    A query reads an id once, however many of its candidates have it: its row is made once.

    Args:
        graph: of a trained model.
        context: Q rows.
        items: that are ranked.
        candidates: (Q, C), rows of `items`.

    Returns:
        Counts of each computed table.
    """
    found: dict[str, list[IntArray]] = {table.name: [] for table in graph.computed}
    queries = np.arange(len(context))
    for op in graph.nodes:
        if isinstance(op, RowSum) and op.table in found:
            found[op.table].append(_listed(context.multi_valued[op.list_column], queries[:, None]))
        if not isinstance(op, Lookup | Pool) or op.table not in found:
            continue
        features = context if op.side == "context" else items
        rows = queries[:, None] if op.side == "context" else candidates
        if isinstance(op, Lookup):
            ids = features.categorical[rows, op.column]
            asked_by = np.broadcast_to(queries[:, None], rows.shape)
            found[op.table].append(np.stack([asked_by.ravel(), ids.ravel()]))
        else:
            found[op.table].append(_listed(features.multi_valued[op.column], rows))
    return {name: _counted(pairs) for name, pairs in found.items()}


def count_interactions(
    graph: RankingGraph,
    context: Features,
    items: Features,
    context_rows: IntArray,
    item_rows: IntArray,
) -> dict[str, tuple[IntArray, IntArray]]:
    """Count the ids that a log of interactions reads rows of computed tables by.

    For a hot store that is chosen before there is a log of queries: an id counts once for each
    interaction whose context or item has it, once more for each further feature.

    Args:
        graph: of a trained model.
        context: U rows.
        items: I rows.
        context_rows: (N,), rows of `context`, one an interaction.
        item_rows: (N,), rows of `items`.

    Returns:
        Counts of each computed table.
    """
    times = {
        "context": np.bincount(context_rows, minlength=len(context)),
        "candidate": np.bincount(item_rows, minlength=len(items)),
    }
    totals = {t.name: np.zeros(t.num_ids, np.int64) for t in graph.computed}
    for op in graph.nodes:
        if isinstance(op, RowSum) and op.table in totals:
            _add_lists(totals[op.table], context.multi_valued[op.list_column], times["context"])
        if not isinstance(op, Lookup | Pool) or op.table not in totals:
            continue
        features = context if op.side == "context" else items
        if isinstance(op, Pool):
            _add_lists(totals[op.table], features.multi_valued[op.column], times[op.side])
        else:
            np.add.at(totals[op.table], features.categorical[:, op.column], times[op.side])
    read = {name: np.flatnonzero(total) for name, total in totals.items()}
    return {name: (ids, totals[name][ids]) for name, ids in read.items()}


def _add_lists(total: IntArray, lists: Ragged, times: IntArray) -> None:
    """Add each listed id as often as its row was read."""
    np.add.at(total, lists.values, times[lists.row_ids()])


def _listed(lists: Ragged, rows: IntArray) -> IntArray:
    """(2, n), queries and the ids in the lists of their rows (Q, C)."""
    listed = lists.take(rows.ravel())
    return np.stack([listed.row_ids() // rows.shape[1], listed.values])


def _counted(pairs: list[IntArray]) -> tuple[IntArray, IntArray]:
    if not pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    queries, ids = np.concatenate(pairs, axis=1)
    num_ids = int(ids.max(initial=0)) + 1
    different, counts = np.unique(np.unique(queries * num_ids + ids) % num_ids, return_counts=True)
    return different, counts


def choose_hot_ids(
    tables: Iterable[AnyComputed], parameters: Parameters, counts: IdCounts, budget_bytes: int
) -> dict[str, IntArray]:
    """The ids whose rows save most arithmetic for the bytes they take.

    Args:
        tables: computed tables that stay computed; those that cost no arithmetic keep no rows.
        parameters: by name.
        counts: of a window.
        budget_bytes: for rows and their index, of all tables together.

    Returns:
        Ids of each table some rows of which are kept, rising.
    """
    worth, sizes, owners, ids = [], [], [], []
    chosen = [t for t in tables if t.name in counts and row_flops(t, parameters) > t.dim]
    for number, table in enumerate(chosen):
        own_ids, own_counts = counts[table.name]
        size = 4 * table.dim + INDEX_BYTES
        worth.append(own_counts * (row_flops(table, parameters) / size))
        sizes.append(np.full(own_ids.size, size))
        owners.append(np.full(own_ids.size, number))
        ids.append(own_ids)
    if not chosen:
        return {}
    order = np.argsort(-np.concatenate(worth), kind="stable")
    fits = np.cumsum(np.concatenate(sizes)[order]) <= budget_bytes - INDEX_BYTES * len(chosen)
    kept, of = np.concatenate(ids)[order[fits]], np.concatenate(owners)[order[fits]]
    hot = {table.name: np.sort(kept[of == number]) for number, table in enumerate(chosen)}
    return {name: own for name, own in hot.items() if own.size}


def save_id_counts(folder: Path, counts: IdCounts) -> None:
    """Keep the counts of a window in a finished model's folder, for a runtime with a hot store.

    Raises:
        StorageError: it cannot be written.
    """
    arrays = {
        f"{kind} {name}": array
        for name, both in counts.items()
        for kind, array in zip(("ids", "counts"), both, strict=True)
    }
    try:
        np.savez(folder / ID_COUNTS_FILE, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise StorageError(f"{folder / ID_COUNTS_FILE} cannot be written ({error})") from error


def load_id_counts(folder: Path) -> IdCounts | None:
    """What `save_id_counts` wrote; None where nothing was.

    Raises:
        StorageError: damaged.
    """
    file = folder / ID_COUNTS_FILE
    if not file.exists():
        return None
    try:
        with np.load(file) as arrays:
            names = [name.removeprefix("ids ") for name in arrays if name.startswith("ids ")]
            return {name: (arrays[f"ids {name}"], arrays[f"counts {name}"]) for name in names}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise StorageError(
            f"{file} is damaged ({error}); count a window of queries anew"
        ) from error
