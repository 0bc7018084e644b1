"""What the measured models are asked: Zipf-popular ids, scattered over their tables.

Many queries are cycled, so that the rows they touch do not all stay in a cache.

Letters: Q queries, B candidates a query, I items, F categorical features.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recfunnel.bench.model import BenchModel
from recfunnel.bench.shapes import NUM_DENSE, NeuMFShape, Setting
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Features
from recfunnel.core.seeds import rng_for

EXPONENT = 1.05
"""Popularity of the r-th most popular id goes with r to the minus this."""

SCATTER = 2_654_435_761
"""A prime; multiplied by it, popular ids lie far apart."""

MOST_QUERIES = 4096
FEWEST_QUERIES = 16


@dataclass(frozen=True, eq=False, slots=True)
class Workload:
    """Queries to one model.

    Args:
        setting: whose the features are.
        context: Q rows.
        items: I rows.
        candidates: (Q, B), rows of `items`.
    """

    setting: Setting
    context: Features
    items: Features
    candidates: IntArray

    @property
    def num_queries(self) -> int:
        """Q."""
        return len(self.candidates)


@dataclass(frozen=True, eq=False, slots=True)
class FlatQuery:
    """One query as libraries take it: every feature once a candidate, in the model's order.

    Args:
        dense: float32 (B, D).
        ids: int64 (B, F).
        rows: (B, F), the same as rows of the one table that holds all tables.
    """

    dense: FloatArray
    ids: IntArray
    rows: IntArray


def zipf_ids(num_ids: int, size: int, rng: np.random.Generator) -> IntArray:
    """Ids whose popularity falls as Zipf's law says, the popular ones scattered.

    Args:
        num_ids: ids are 0 to this minus 1.
        size: how many.
        rng: draws.
    """
    tail = 1 - EXPONENT
    uniform = rng.random(size)
    ranks = (1 + uniform * ((num_ids + 1) ** tail - 1)) ** (1 / tail)
    whole = np.clip(ranks.astype(np.int64) - 1, 0, num_ids - 1)
    ids: IntArray = whole * SCATTER % num_ids
    return ids


@dataclass(frozen=True, slots=True)
class Draw:
    """How queries are drawn.

    Args:
        num_candidates: B.
        num_pairs: candidates in all queries together, about: Q is this over B, but at least 16.
        seed: of everything.
    """

    num_candidates: int
    num_pairs: int = 1 << 20
    seed: int = 0

    @property
    def num_queries(self) -> int:
        """Q."""
        return int(np.clip(self.num_pairs // self.num_candidates, FEWEST_QUERIES, MOST_QUERIES))


def plain_workload(model: BenchModel, draw: Draw) -> Workload:
    """Queries whose candidates differ in every feature; nothing is known in advance.

    Args:
        model: to ask.
        draw: how.
    """
    Q, num_candidates, seed = draw.num_queries, draw.num_candidates, draw.seed
    rng = rng_for(seed, "bench", "plain", num_candidates)
    items = _features(model, range(len(model.cardinalities)), Q * num_candidates, True, rng)
    rows = np.arange(Q * num_candidates).reshape(Q, num_candidates)
    return Workload("plain", Features.empty(Q), items, rows)


def catalogue_items(model: BenchModel, num_items: int, seed: int) -> Features:
    """A catalogue whose items' features are drawn as the queries' are.

    Args:
        model: whose tables they point into.
        num_items: I; a NeuMF has its own.
        seed: of the draws.
    """
    if isinstance(model.shape, NeuMFShape):
        ids = np.arange(model.shape.num_items)[:, None]
        return Features(ids, np.zeros((len(ids), 0), np.float32))
    rng = rng_for(seed, "bench", "items", num_items)
    return _features(model, _columns(model, "candidate"), num_items, False, rng)


def catalogue_workload(model: BenchModel, items: Features, draw: Draw) -> Workload:
    """Queries with one context each, whose candidates are different items, popular ones more often.

    Args:
        model: to ask.
        items: of `catalogue_items`.
        draw: how.

    Raises:
        StudyError: more candidates than items.
    """
    Q, num_candidates, seed = draw.num_queries, draw.num_candidates, draw.seed
    if num_candidates > len(items):
        raise StudyError(f"{num_candidates} candidates of {len(items)} items; ask for fewer")
    rng = rng_for(seed, "bench", "queries", len(items), num_candidates)
    columns = _columns(model, "context")
    context = _features(model, columns, Q, not isinstance(model.shape, NeuMFShape), rng)
    candidates = np.stack([_distinct(len(items), num_candidates, rng) for _ in range(Q)])
    return Workload("catalogue", context, items, candidates)


def flat_queries(model: BenchModel, workload: Workload, num_queries: int) -> Iterator[FlatQuery]:
    """The first queries, written out once a candidate.

    Args:
        model: asked.
        workload: its queries.
        num_queries: how many.
    """
    sides = model.columns(workload.setting)
    for query in range(min(num_queries, workload.num_queries)):
        items = workload.items.take(workload.candidates[query])
        context = workload.context.row(query)
        parts = {"context": np.repeat(context.categorical, len(items), 0)}
        parts["candidate"] = items.categorical
        ids = np.stack([parts[side][:, column] for side, column in sides], axis=1)
        dense = items.dense
        if workload.setting == "catalogue":
            dense = np.repeat(context.dense, len(items), 0)
        yield FlatQuery(dense, ids, ids + model.offsets)


def _columns(model: BenchModel, side: str) -> list[int]:
    columns = model.columns("catalogue")
    return [feature for feature, (whose, _) in enumerate(columns) if whose == side]


def _features(
    model: BenchModel,
    columns: "range | list[int]",
    size: int,
    dense: bool,
    rng: np.random.Generator,
) -> Features:
    ids = np.empty((size, len(columns)), np.int64)
    for place, feature in enumerate(columns):
        ids[:, place] = zipf_ids(model.cardinalities[feature], size, rng)
    width = NUM_DENSE if dense else 0
    numbers = np.log1p(rng.lognormal(size=(size, width))).astype(np.float32)
    return Features(ids, numbers)


def _distinct(num_items: int, num_candidates: int, rng: np.random.Generator) -> IntArray:
    """Different items, by popularity as far as the draws go, then any."""
    drawn = zipf_ids(num_items, 3 * num_candidates, rng)
    _, first = np.unique(drawn, return_index=True)
    found = drawn[np.sort(first)][:num_candidates]
    missing = num_candidates - len(found)
    if missing:
        others = np.arange(num_items)
        if num_items > 8 * num_candidates:
            others = rng.integers(0, num_items, 4 * num_candidates)
        found = np.concatenate([found, rng.permutation(np.setdiff1d(others, found))[:missing]])
    return found
