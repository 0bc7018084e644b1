"""Own tables of rows that were shown together and clicked or not.

Letters: N rows, Q queries, C rows of the longest query that is judged.
"""

import numpy as np

from recfunnel.core.arrays import BoolArray, FloatArray, IntArray, Ragged
from recfunnel.core.dataset import Dataset, Interactions, Provenance, QuerySet
from recfunnel.core.errors import DataError
from recfunnel.core.features import FeatureSchema
from recfunnel.data.ctr import Blocks, ClickLog, click_dataset
from recfunnel.data.rating_features import SideTable
from recfunnel.data.source_table import SourceTable
from recfunnel.data.splitting import TEST, TRAIN, VALIDATION
from recfunnel.data.tabular_description import TableDescription
from recfunnel.data.tabular_features import encode_features, one_row_each


def blocks_dataset(
    name: str,
    description: TableDescription,
    table: SourceTable,
    parts: IntArray,
    blocks: Blocks,
    provenance: Provenance,
) -> Dataset:
    """A click log without a query column: blocks of rows are the queries.

    Args:
        name: of the data set.
        description: of the columns.
        table: the rows.
        parts: (N,), the part of each row.
        blocks: how rows become queries.
        provenance: where it comes from; its seed deals the rows.

    Returns:
        The data set.

    Raises:
        DataError: see `click_dataset` and `encode_features`.
    """
    label = table.labels(description.label).astype(np.float32)
    side = encode_features(table, description.of_side("candidate"), parts == TRAIN)
    log = ClickLog(side.features, side.values, label, parts)
    return click_dataset(name, log, blocks, provenance, provenance.seed)


def listwise_dataset(
    name: str,
    description: TableDescription,
    table: SourceTable,
    query_rows: IntArray,
    query_parts: IntArray,
    provenance: Provenance,
) -> Dataset:
    """A click log whose rows belong to queries; each query ranks its own rows.

    Shorter queries are padded to C columns; the padding is excluded.

    Args:
        name: of the data set.
        description: of the columns.
        table: the rows.
        query_rows: (N,), number of each row's query, by rising query key.
        query_parts: (Q,), the part of each query.
        provenance: where it comes from.

    Returns:
        The data set; its contexts are the queries, its items the rows.

    Raises:
        DataError: a column holds what it must not, a context feature varies within a query, or a
            split is empty.
    """
    label = table.labels(description.label).astype(np.float32)
    in_train = query_parts[query_rows] == TRAIN
    rows = encode_features(table, description.of_side("candidate"), in_train)
    context_side = description.of_side("context")
    contexts = encode_features(
        one_row_each(table, description.query, context_side, "query"),
        context_side,
        query_parts == TRAIN,
    )
    schema = FeatureSchema(features=(*contexts.features, *rows.features))
    train = np.flatnonzero(in_train)
    by_query = Ragged.from_pairs(
        query_rows, np.arange(query_rows.size, dtype=np.int64), query_parts.size
    )
    judged = [np.flatnonzero(query_parts == part) for part in (VALIDATION, TEST)]
    if not all(chosen.size for chosen in judged):
        raise DataError(
            f"{name}: a split has none of {len(by_query)} queries; give more or other fractions"
        )
    longest = int(by_query.lengths[np.concatenate(judged)].max())
    validation, test = (
        _queries(schema, contexts, rows, _padded(by_query.take(chosen), longest), label, chosen)
        for chosen in judged
    )
    return Dataset(
        name=name,
        task="ctr",
        schema=schema,
        context=contexts.values,
        items=rows.values,
        train=Interactions(query_rows[train], train, label[train], label[train]),
        validation=validation,
        test=test,
        provenance=provenance,
    )


def _padded(lists: Ragged, longest: int) -> tuple[IntArray, BoolArray]:
    """Candidates (Q, C) with row 0 behind the end of each list, and (Q, C), which are its own."""
    is_own = np.arange(longest) < lists.lengths[:, None]
    candidates = np.zeros(is_own.shape, np.int64)
    candidates[is_own] = lists.values
    return candidates, is_own


def _queries(
    schema: FeatureSchema,
    contexts: SideTable,
    rows: SideTable,
    padded: tuple[IntArray, BoolArray],
    label: FloatArray,
    chosen: IntArray,
) -> QuerySet:
    candidates, is_own = padded
    queries, padding = np.nonzero(~is_own)
    relevant, columns = np.nonzero(is_own & (label[candidates] == 1))
    return QuerySet(
        schema,
        contexts.values.take(chosen),
        rows.values,
        candidates,
        Ragged.from_pairs(queries, padding, chosen.size),
        Ragged.from_pairs(relevant, columns, chosen.size, np.ones(columns.size, np.float32)),
    )
