"""Small random ranking problems that the tests of the quality room share."""

import itertools

import numpy as np

from recfunnel.core.arrays import Ragged
from recfunnel.core.dataset import QuerySet
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import Pipeline, pipeline_of


def query_set(
    relevance: list[dict[int, float]],
    num_columns: int,
    excluded: list[list[int]] | None = None,
    candidates: np.ndarray | None = None,
    num_items: int | None = None,
) -> QuerySet:
    """Queries with nothing known but what is relevant and what is excluded."""
    num_queries = len(relevance)
    return QuerySet(
        FeatureSchema(features=()),
        Features.empty(num_queries),
        Features.empty(num_items or num_columns),
        candidates,
        Ragged.from_rows(excluded or [[] for _ in range(num_queries)]),
        Ragged.from_rows(
            [list(gains) for gains in relevance], [list(gains.values()) for gains in relevance]
        ),
    )


def random_queries(rng: np.random.Generator, num_queries: int, num_columns: int) -> QuerySet:
    """Graded relevance, exclusions that may hit relevant columns, and empty queries."""
    relevance, excluded = [], []
    for query in range(num_queries):
        num_relevant = 0 if query % 5 == 4 else int(rng.integers(1, num_columns // 2 + 2))
        columns = rng.choice(num_columns, min(num_relevant, num_columns), replace=False)
        relevance.append({int(c): float(rng.integers(0, 5)) for c in columns})
        num_excluded = int(rng.integers(0, num_columns // 2 + 1))
        excluded.append(rng.choice(num_columns, num_excluded, replace=False).tolist())
    relevance[0] = {0: 1.0}  # one query that is surely judged
    excluded[0] = [c for c in excluded[0] if c != 0]
    if rng.random() < 0.5:
        return query_set(relevance, num_columns, excluded)
    num_items = 2 * num_columns
    candidates = rng.integers(0, num_items, (num_queries, num_columns))
    return query_set(relevance, num_columns, excluded, candidates, num_items)


def random_tables(
    rng: np.random.Generator, queries: QuerySet, models: str, num_levels: int = 0
) -> dict[str, ScoreTable]:
    """Scores of each model; with `num_levels` above 0 many of them are equal."""
    shape = (len(queries), queries.num_columns)
    tables = {}
    for model in models:
        scores = rng.normal(size=shape)
        if num_levels:
            scores = rng.integers(-num_levels, num_levels + 1, shape) * 0.5
            scores[rng.random(shape) < 0.2] *= -0.0  # equal to 0, with other bits
        tables[model] = ScoreTable(model, scores.astype(np.float32))
    return tables


def without_exclusions(queries: QuerySet) -> QuerySet:
    """The same queries with every column allowed."""
    nothing = Ragged.from_rows([[] for _ in range(len(queries))])
    return QuerySet(
        queries.schema,
        queries.context,
        queries.items,
        queries.candidates,
        nothing,
        queries.relevance,
    )


def all_models_once(num_columns: int, models: str, sizes: tuple[int, ...]) -> list[Pipeline]:
    """Every pipeline of the models in any order through given sizes."""
    return [
        pipeline_of(order, (num_columns, *sizes))
        for order in itertools.permutations(models, len(sizes))
    ]


def random_pipeline(rng: np.random.Generator, num_columns: int, models: str) -> Pipeline:
    """One to four stages with falling keep-counts; a model may come twice."""
    num_stages = int(rng.integers(1, 5))
    sizes = np.sort(rng.integers(1, num_columns + 1, num_stages))[::-1]
    chosen = tuple(str(m) for m in rng.choice(list(models), num_stages))
    return pipeline_of(chosen, (num_columns, *(int(s) for s in sizes)))
