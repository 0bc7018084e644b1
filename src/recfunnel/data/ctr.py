"""Click logs without query identity: every row is an item, a query is a block of rows.

Letters: N rows, Q queries, C candidates a query.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray, Ragged
from recfunnel.core.dataset import Dataset, Interactions, Provenance, QuerySet
from recfunnel.core.errors import DataError, StudyError
from recfunnel.core.features import Feature, Features, FeatureSchema
from recfunnel.core.seeds import rng_for
from recfunnel.core.spec import Value
from recfunnel.data.splitting import TEST, TRAIN, VALIDATION

RECPIPE_POOL_ROWS = 100_000
"""RecPipe draws its queries from this many rows."""


class Blocks(Value, frozen=True):
    """How rows become queries.

    Args:
        protocol: `disjoint` deals the rows of a split at random into blocks that share no row;
            `recpipe` takes consecutive rows and starts over at the end of the pool (its first
            100,000 rows), so with many queries the same rows are judged again and again.
        num_candidates: C, rows a block.
        num_queries: Q; 0 means every whole block of the split. `disjoint` refuses more than there
            are, `recpipe` wraps around.
    """

    protocol: Literal["disjoint", "recpipe"] = "disjoint"
    num_candidates: int = 512
    num_queries: int = 0

    def __post_init__(self) -> None:
        if self.num_candidates < 1 or self.num_queries < 0:
            raise StudyError(
                f"num_candidates is {self.num_candidates}, must be at least 1; num_queries is "
                f"{self.num_queries}, must not be below 0"
            )

    def describe(self) -> str:
        """The protocol in words, for provenance."""
        if self.protocol == "recpipe":
            return f"queries are blocks of {self.num_candidates} consecutive rows, wrapping around"
        return f"queries are disjoint random blocks of {self.num_candidates} rows of their split"


@dataclass(frozen=True, eq=False, slots=True)
class ClickLog:
    """N rows with a label each.

    Args:
        features: of the candidate side only.
        rows: their features.
        label: float32 (N,), 0 or 1.
        parts: int64 (N,), the part of each row.
    """

    features: tuple[Feature, ...]
    rows: Features
    label: FloatArray
    parts: IntArray


def block_candidates(rows: IntArray, blocks: Blocks, rng: np.random.Generator) -> IntArray:
    """Deal rows into candidate lists.

    Args:
        rows: of one split, in file order.
        blocks: how.
        rng: used by `disjoint` only.

    Returns:
        int64 (Q, C), entries of `rows`.

    Raises:
        DataError: fewer rows than one block, or than the blocks asked for.
    """
    size = blocks.num_candidates
    pool = rows[:RECPIPE_POOL_ROWS] if blocks.protocol == "recpipe" else rng.permutation(rows)
    whole = pool.size // size
    wanted = blocks.num_queries or whole
    if not whole:
        raise DataError(
            f"a query takes {size} rows but the split has {pool.size}; "
            f"set num_candidates to at most {pool.size}, or give more rows"
        )
    if blocks.protocol == "disjoint" and wanted > whole:
        raise DataError(
            f"{wanted} disjoint queries of {size} rows need {wanted * size} rows, the split has "
            f"{pool.size}; ask for at most {whole} queries"
        )
    positions = np.arange(wanted * size, dtype=np.int64) % pool.size
    dealt: IntArray = pool[positions].reshape(wanted, size)
    return dealt


def block_queries(
    schema: FeatureSchema, items: Features, label: FloatArray, candidates: IntArray
) -> QuerySet:
    """Queries about which nothing is known but their rows; clicked rows are relevant, gain 1."""
    num_queries = candidates.shape[0]
    queries, columns = np.nonzero(label[candidates] == 1)
    return QuerySet(
        schema,
        Features.empty(num_queries),
        items,
        candidates,
        Ragged(np.zeros(0, np.int64), np.zeros(num_queries + 1, np.int64)),
        Ragged.from_pairs(queries, columns, num_queries, np.ones(queries.size, np.float32)),
    )


def click_dataset(
    name: str, log: ClickLog, blocks: Blocks, provenance: Provenance, seed: int
) -> Dataset:
    """A CTR data set; its items are all N rows, its one context is empty.

    Args:
        name: of the data set.
        log: rows, labels and parts.
        blocks: how validation and test rows become queries.
        provenance: where it comes from.
        seed: of the dealing.

    Returns:
        The data set.

    Raises:
        DataError: a label other than 0 and 1, an empty split, or too few rows for a block.
    """
    schema = FeatureSchema(features=log.features)
    rows = {part: np.flatnonzero(log.parts == part) for part in (TRAIN, VALIDATION, TEST)}
    train = rows[TRAIN]
    label = log.label[train]
    queries = {}
    for part, what in ((VALIDATION, "validation"), (TEST, "test")):
        try:
            rng = rng_for(seed, "blocks", part)
            candidates = block_candidates(rows[part], blocks, rng)
        except DataError as error:
            raise DataError(f"{name}, {what} split: {error}") from error
        queries[part] = block_queries(schema, log.rows, log.label, candidates)
    return Dataset(
        name=name,
        task="ctr",
        schema=schema,
        context=Features.empty(1),
        items=log.rows,
        train=Interactions(np.zeros(train.size, np.int64), train, label, label),
        validation=queries[VALIDATION],
        test=queries[TEST],
        provenance=provenance,
    )
