"""Training batches for pointwise losses.

Letters: B queries a batch, C columns (items a query), P observed and M negative items a query.
An implicit batch groups several observed items of one context into one query, so that the context
part of the network, and its history, is computed once for all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray, FloatArray, IntArray
from recfunnel.core.dataset import Dataset, Interactions
from recfunnel.train.seen import PairSet

NUM_REDRAWS = 3
"""Attempts to replace a negative that was observed; what still is gets weight 0."""


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """Some queries with labelled items.

    Args:
        context_rows: int64 (B,).
        columns: int64 (B, C), item rows.
        label: float32 (B, C), 0 or 1.
        weight: float32 (B, C), 0 where a column is only padding.
        observed: bool (B, C), columns that come from the training interactions.
    """

    context_rows: IntArray
    columns: IntArray
    label: FloatArray
    weight: FloatArray
    observed: BoolArray


class Negatives:
    """Draws items that a context has not met.

    Args:
        dataset: counts its training interactions.
        power: items are drawn in proportion to count ** power; 0 is uniform.
        seen: pairs never drawn.
    """

    def __init__(self, dataset: Dataset, power: float, seen: PairSet) -> None:
        counts = np.bincount(dataset.train.item_rows, minlength=len(dataset.items))
        self._num_items = len(dataset.items)
        self._seen = seen
        self._cumulative: DoubleArray | None = None
        if power:
            self._cumulative = np.cumsum(np.maximum(counts, 1.0) ** power)

    def draw(
        self, context_rows: IntArray, num_each: int, rng: np.random.Generator
    ) -> tuple[IntArray, BoolArray]:
        """Items (B, M) for each context, and whether each is truly unseen."""
        shape = (context_rows.size, num_each)
        items = self._some(shape, rng)
        met = self._seen.contains(context_rows[:, None], items)
        for _ in range(NUM_REDRAWS):
            if not met.any():
                break
            items[met] = self._some((int(met.sum()),), rng)
            met = self._seen.contains(context_rows[:, None], items)
        return items, ~met

    def _some(self, shape: tuple[int, ...], rng: np.random.Generator) -> IntArray:
        if self._cumulative is None:
            return rng.integers(self._num_items, size=shape)
        places = rng.random(shape) * self._cumulative[-1]
        found: IntArray = np.searchsorted(self._cumulative, places, side="right").astype(np.int64)
        return found


def chunk_starts(owners: IntArray, size: int) -> IntArray:
    """First positions of the pieces that sorted `owners` (N,) fall into.

    A piece holds at most `size` neighbours with the same owner.
    """
    new = np.flatnonzero(np.concatenate([[True], owners[1:] != owners[:-1]]))
    run_start = np.repeat(new, np.diff(np.append(new, owners.size)))
    return np.flatnonzero((np.arange(owners.size) - run_start) % size == 0)


def implicit_batches(
    used: Interactions,
    negatives: Negatives,
    group_size: int,
    num_negatives: int,
    num_queries: int,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """One epoch over observed interactions, each with sampled negatives.

    Args:
        used: N observed interactions.
        negatives: where the others come from.
        group_size: P, observed items a query at most.
        num_negatives: sampled for each observed item of label 1.
        num_queries: B.
        rng: order and negatives.

    Yields:
        Batches; the last one may be smaller.
    """
    order = rng.permutation(len(used))
    order = order[np.argsort(used.context_rows[order], kind="stable")]
    owners = used.context_rows[order]
    starts = chunk_starts(owners, group_size)
    lengths = np.diff(np.append(starts, owners.size))
    pieces = rng.permutation(starts.size)
    for first in range(0, pieces.size, num_queries):
        some = pieces[first : first + num_queries]
        offset = np.arange(group_size)
        valid = offset < lengths[some][:, None]
        rows = order[np.minimum(starts[some][:, None] + offset, owners.size - 1)]
        context_rows = owners[starts[some]]
        label = used.label[rows] * valid
        drawn, unseen = negatives.draw(context_rows, group_size * num_negatives, rng)
        # A query with fewer positives than places uses as many fewer negatives.
        wanted = np.repeat(label > 0, num_negatives, axis=1)
        yield Batch(
            context_rows,
            np.concatenate([used.item_rows[rows], drawn], axis=1),
            np.concatenate([label, np.zeros(drawn.shape, np.float32)], axis=1),
            np.concatenate([valid, unseen & wanted], axis=1).astype(np.float32),
            np.concatenate([valid, np.zeros(drawn.shape, np.bool_)], axis=1),
        )


def row_batches(train: Interactions, num_queries: int, rng: np.random.Generator) -> Iterator[Batch]:
    """One epoch over labelled rows, each its own query with one item."""
    order = rng.permutation(len(train))
    for first in range(0, order.size, num_queries):
        rows = order[first : first + num_queries]
        ones = np.ones((rows.size, 1), np.float32)
        yield Batch(
            train.context_rows[rows],
            train.item_rows[rows][:, None],
            train.label[rows][:, None],
            ones,
            ones > 0,
        )
