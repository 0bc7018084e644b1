"""How fast array and filter are simulated, and what filters do to the ranking of real scores.

python benchmarks/topk_filter.py                       # rates of a core
python benchmarks/topk_filter.py --run runs/movielens  # and NDCG on that run's stored scores

Edges and ranges are taken from the scores of the validation queries, NDCG is that of the test
queries. A difference is that to the same pipeline with exact cuts, its interval that of a paired
bootstrap over queries. Candidates arrive in the order of the catalogue. All of it is simulated.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from recfunnel.core.dataset import load_dataset
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import pipeline_of
from recfunnel.core.seeds import rng_for
from recfunnel.hardware.systolic.cycles import gemm_cycles
from recfunnel.hardware.systolic.sizes import DATAFLOWS
from recfunnel.hardware.topk.bins import linear_edges, tail_edges
from recfunnel.hardware.topk.filter import TopKFilter
from recfunnel.hardware.topk.run import filter_scores
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.compare import compare
from recfunnel.quality.filtered import filtered_quality
from recfunnel.quality.tables import load_scores

NUM_LAYERS = 1_000_000
SHAPE = (250, 4096)
MILLION = 1e6


def best_s(work: Callable[[], object], times: int = 5) -> float:
    """Shortest processor time of several calls, the first of which compiles and is left out."""
    work()
    taken = []
    for _ in range(times):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def print_rates() -> None:
    """Layers and scores a second of one core."""
    rng = np.random.default_rng(0)
    sizes = [rng.integers(1, most, NUM_LAYERS) for most in (4097, 513, 513, 129, 129)]
    for dataflow in DATAFLOWS:
        for overlap in (False, True):
            taken = best_s(lambda d=dataflow, o=overlap: gemm_cycles(*sizes, d, overlap=o))
            what = "overlapped" if overlap else "serial"
            print(f"{dataflow} {what:10}  {NUM_LAYERS / taken / MILLION:6.1f} M layers a second")
    scores = rng.random(SHAPE)
    for bins in (16, 1024):
        topk = TopKFilter(edges=linear_edges(bins))
        taken = best_s(lambda t=topk: filter_scores(t, scores, 512))
        print(f"filter of {bins:4} bins  {scores.size / taken / MILLION:6.1f} M scores a second")


def filters(sample: np.ndarray, k: int) -> dict[str, TopKFilter]:
    """Filters of one stage, by name."""
    low, high = float(sample.min()), float(np.nextafter(sample.max(), np.inf))
    span = {"low": low, "high": high}
    share = k / sample.shape[1]
    linear = {bins: linear_edges(bins, low, high) for bins in (16, 64, 1024)}
    tail = tail_edges(sample, 16, share)
    return {
        **{f"{bins} linear": TopKFilter(edges=edges, **span) for bins, edges in linear.items()},
        "16 tail": TopKFilter(edges=tail, **span),
        "16 linear, cut by arrival": TopKFilter(edges=linear[16], truncate="arrival", **span),
        "16 linear, cut by bins": TopKFilter(edges=linear[16], truncate="bins", **span),
        "16 tail, cut by bins": TopKFilter(edges=tail, truncate="bins", **span),
        "8-bit scores, cut exactly": TopKFilter(
            edges=linear[16], score_bits=8, truncate="exact", **span
        ),
        "16 tail, 8 quotas": TopKFilter(edges=tail, sub_batches=8, policy="quota", **span),
        "16 tail, 8 runs, carried": TopKFilter(
            edges=tail, sub_batches=8, policy="running", margin=1.25, **span
        ),
    }


def print_quality(run: Path, front: str, back: str, keep: int, k: int) -> None:
    """NDCG of front -> keep -> back -> k behind each filter of the front stage."""
    queries = load_dataset(run / "data").test
    tables = [load_scores(run / "scores" / "test" / name) for name in (front, back)]
    sample = np.asarray(load_scores(run / "scores" / "validation" / front).scores)
    book = ScoreBook(queries, [ScoreTable(t.model, np.asarray(t.scores)) for t in tables], k=k)
    pipeline = pipeline_of((front, back), (queries.num_columns, keep, k))
    exact = book.ndcg(pipeline)
    print(f"\n{pipeline.name}: NDCG@{k} {exact.mean():.4f} with exact cuts; simulated:")
    print(f"{'filter':28} {'passed':>7} {'cycles':>7} {'NDCG':>7}  difference and its interval")
    for name, topk in filters(sample, keep).items():
        found = filtered_quality(book, pipeline, [topk, None])
        verdict = compare(exact, found.ndcg, rng_for(0, "filters", name))
        low, high = verdict.interval
        print(
            f"{name:28} {found.num_passed[:, 0].mean():7.0f} "
            f"{found.filter_cycles[:, 0].mean():7.0f} {found.ndcg.mean():7.4f}  "
            f"{verdict.difference.mean:+.4f} ({low:+.4f} to {high:+.4f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="folder with stored scores")
    parser.add_argument("--front", default="dlrm_small")
    parser.add_argument("--back", default="dlrm_large")
    parser.add_argument("--keep", type=int, default=256)
    parser.add_argument("--k", type=int, default=64)
    chosen = parser.parse_args()
    print_rates()
    if chosen.run is not None:
        print_quality(chosen.run, chosen.front, chosen.back, chosen.keep, chosen.k)


if __name__ == "__main__":
    main()
