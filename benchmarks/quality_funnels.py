"""Reprints "pipelines/s from stored scores on ML-1M size" (6,040 users x 3,706 items).

    python benchmarks/quality_funnels.py [--data FOLDER_OF_ML_1M]

Every two-stage pipeline of four models and eight keep-counts is judged exactly: with an empty cache
(lists and pair tables made anew, which is paid once), then in random orders, one call a pipeline.
Rates are medians with their range; the rate a core-second of work is what a busy machine leaves
untouched. Three- and four-stage rates follow. A sample is held against ranking step by step. With
a data folder the same is done on MovieLens-1M itself, with simple closed-form scorers.
"""

import argparse
import itertools
import os
import platform
import time
from collections.abc import Callable

import numpy as np

from recfunnel.core.arrays import Ragged
from recfunnel.core.dataset import QuerySet
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import Pipeline, pipeline_of
from recfunnel.data.movielens import MovieLens
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.step_by_step import ndcg_step_by_step, rank_step_by_step

NUM_QUERIES, NUM_COLUMNS, K = 6040, 3706, 64
KEEP_COUNTS = (64, 128, 256, 512, 1024, 1536, 2048, 3706)
NUM_ROUNDS = 5
NUM_CHECKED = 16


def generated(rng: np.random.Generator) -> tuple[QuerySet, list[ScoreTable]]:
    """About 9.5 relevant and 130 seen items a user, and four models of differing merit."""
    picks = [
        rng.permutation(NUM_COLUMNS)[: 130 + count] for count in rng.poisson(8.5, NUM_QUERIES) + 1
    ]
    queries = QuerySet(
        FeatureSchema(features=()),
        Features.empty(NUM_QUERIES),
        Features.empty(NUM_COLUMNS),
        None,
        Ragged.from_rows([pick[:130].tolist() for pick in picks]),
        Ragged.from_rows([pick[130:].tolist() for pick in picks]),
    )
    tables = []
    for number, merit in enumerate((1.0, 1.5, 2.0, 2.5)):
        scores = rng.normal(size=(NUM_QUERIES, NUM_COLUMNS)).astype(np.float32)
        scores[queries.relevance.row_ids(), queries.relevance.values] += np.float32(merit)
        tables.append(ScoreTable(f"model_{number}", scores))
    return queries, tables


def real(folder: str) -> tuple[QuerySet, list[ScoreTable]]:
    """MovieLens-1M test users, scored by popularity, neighbours, a truncated SVD and EASE."""
    dataset = MovieLens(path=folder).prepare(seed=0)
    num_items, rows = len(dataset.items), dataset.test.excluded
    seen = np.zeros((len(dataset.test), num_items), np.float32)
    seen[rows.row_ids(), rows.values] = 1
    rated = np.zeros((len(dataset.context), num_items), np.float32)
    rated[dataset.train.context_rows, dataset.train.item_rows] = 1
    gram = (rated.T @ rated).astype(np.float64)
    count = np.diag(gram)
    top = np.linalg.eigh(gram)[1][:, -64:]
    inverse = np.linalg.inv(gram + 500 * np.eye(num_items))
    ease = -inverse / np.diag(inverse)
    np.fill_diagonal(ease, 0)
    weights = {
        "popularity": np.tile(count, (num_items, 1)) / num_items,
        "neighbours": gram / np.sqrt(np.outer(count + 10, count + 10)),
        "svd_64": top @ top.T,
        "ease": ease,
    }
    return dataset.test, [
        ScoreTable(name, seen @ weight.astype(np.float32)) for name, weight in weights.items()
    ]


def rates(
    pipelines: list[Pipeline], judge_all: Callable[[list[Pipeline]], object]
) -> tuple[float, float]:
    """Pipelines a second of one pass, and pipelines a second of work of one core."""
    wall_s, work_s = time.perf_counter(), time.process_time()
    judge_all(pipelines)
    wall_s, work_s = time.perf_counter() - wall_s, time.process_time() - work_s
    return len(pipelines) / wall_s, len(pipelines) / work_s


def show(what: str, rounds: list[tuple[float, float]]) -> None:
    low, wall, high = np.quantile([wall for wall, _ in rounds], [0, 0.5, 1])
    core = np.median([core for _, core in rounds])
    print(f"{what:<48}{wall:7.0f} /s ({low:.0f} to {high:.0f}){core:10.0f} /s of one core")


def pipelines_of(models: tuple[str, ...], num_stages: int) -> list[Pipeline]:
    """Every order of different models with falling keep-counts; the last stage keeps K."""
    kept = itertools.combinations(sorted(KEEP_COUNTS, reverse=True), num_stages - 1)
    return [
        pipeline_of(chosen, (NUM_COLUMNS, *sizes, K))
        for sizes in kept
        for chosen in itertools.permutations(models, num_stages)
    ]


def measure(name: str, queries: QuerySet, tables: list[ScoreTable], num_threads: int) -> None:
    """Print every rate on one set of scores, after holding a sample against step by step."""
    rng = np.random.default_rng(1)
    models = tuple(table.model for table in tables)
    by_stages = {n: pipelines_of(models, n) for n in (2, 3, 4)}
    print(f"{name}: {len(queries)} users x {queries.num_columns} items, {num_threads} threads")
    book = ScoreBook(queries, tables, K, num_threads=num_threads)
    check(book, queries, tables, [p for group in by_stages.values() for p in group], rng)
    two = by_stages[2]

    def cold(pipelines: list[Pipeline]) -> None:
        ScoreBook(queries, tables, K, num_threads=num_threads).reports(pipelines)

    show(f"2 stages, all {len(two)}, nothing cached", [rates(two, cold) for _ in range(3)])
    rounds = []
    book.reports(two)
    for _ in range(NUM_ROUNDS):
        mixed = [two[i] for i in rng.permutation(len(two))]
        rounds.append(rates(mixed, lambda some: [book.ndcg(p) for p in some]))
    show("2 stages, random order, one call a pipeline", rounds)
    for num_stages in (3, 4):
        group = by_stages[num_stages]
        some = [group[i] for i in rng.choice(len(group), min(len(group), 200), replace=False)]
        fresh = ScoreBook(queries, tables, K, num_threads=num_threads)
        fresh.reports(two)
        show(f"{num_stages} stages, {len(some)} of {len(group)}", [rates(some, fresh.reports)])


def check(
    book: ScoreBook,
    queries: QuerySet,
    tables: list[ScoreTable],
    pipelines: list[Pipeline],
    rng: np.random.Generator,
) -> None:
    """Hold a sample of pipelines and queries against ranking step by step."""
    by_model = {table.model: table for table in tables}
    started, worst = time.perf_counter(), 0.0
    for position in rng.choice(len(pipelines), NUM_CHECKED, replace=False):
        pipeline = pipelines[position]
        found = book.judged.to_all(book.ndcg(pipeline))
        for query in rng.choice(book.judged.queries, NUM_CHECKED, replace=False):
            answer = rank_step_by_step(pipeline, by_model, queries, int(query))
            expected = ndcg_step_by_step(answer, queries, int(query), K)
            worst = max(worst, abs(found[query] - expected))
    seconds = time.perf_counter() - started
    print(f"step by step: {NUM_CHECKED}^2 answers equal within {worst:.1e} ({seconds:.1f} s)")
    if worst > 1e-12:
        raise SystemExit("the fast path differs from ranking step by step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="raw MovieLens-1M folder")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{platform.processor() or platform.machine()}, load before the start {load:.2f}")
    queries, tables = generated(np.random.default_rng(0))
    measure("generated", queries, tables, given.threads)
    if given.data:
        queries, tables = real(given.data)
        measure("MovieLens-1M", queries, tables, given.threads)


if __name__ == "__main__":
    main()
