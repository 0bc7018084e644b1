"""What the native runtime's precisions do to the ranking of trained models, against torch.

    python benchmarks/native_quality.py RUN [--models a,b] [--runtimes "native int8"] [--k 64]

For each model of a run folder: how many queries get the very same list as from the reference, and
NDCG@k on the test queries, paired query by query with a bootstrap interval. The reference is torch;
`--reference "native float32"`, itself held against torch here, is several times faster.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from recfunnel.core.dataset import QuerySet, load_dataset
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import pipeline_of
from recfunnel.core.seeds import rng_for
from recfunnel.core.storage import read_json
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.compare import compare
from recfunnel.quality.score import score_queries
from recfunnel.runtime.base import RuntimeSpec
from recfunnel.runtime.native import Native
from recfunnel.runtime.server import unmapped
from recfunnel.runtime.torch_eager import TorchEager

RUNTIMES: dict[str, RuntimeSpec] = {
    "torch": TorchEager(),
    "native float32": Native(),
    "native bfloat16": Native(precision="bfloat16"),
    "native int8": Native(precision="int8"),
    "int8 records too": Native(precision="int8", records="int8"),
}
TOLERANCE = 0.001


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder with data and models")
    parser.add_argument("--models", default="", help="names, comma separated; all when left out")
    parser.add_argument("--runtimes", default="", help="names, comma separated; all when left out")
    parser.add_argument("--reference", default="torch", choices=RUNTIMES, help="compared with")
    parser.add_argument("--k", type=int, default=64)
    options = parser.parse_args()
    runtimes = options.runtimes.split(",") if options.runtimes else list(RUNTIMES)
    if unknown := set(runtimes) - set(RUNTIMES):
        parser.error(f"no runtime {sorted(unknown)[0]!r}; known: {', '.join(RUNTIMES)}")
    order = dict.fromkeys((options.reference, *runtimes))
    queries = unmapped(load_dataset(options.run / "data").test)
    reference: dict[str, ScoreTable] = {}
    print(
        f"{'model':16s}{'runtime':18s}{'NDCG':>8s}{'relative':>10s}{'95 % interval':>22s}", end=""
    )
    print(f"{'same list':>11s}{'queries/s':>11s}  within {TOLERANCE:.1%}")
    inputs = _score_inputs(options.run / "models")
    wanted = options.models.split(",") if options.models else list(inputs)
    read = {name for model in wanted for name in inputs[model]}
    for name in inputs:
        asked = name in wanted
        if not asked and name not in read:
            continue
        for runtime in order if asked else (options.reference,):
            table, rate_qps = _scored(runtime, options.run / "models" / name, queries, reference)
            if runtime == options.reference:
                reference[name] = table
            if asked and runtime in runtimes:
                line = _line(name, runtime, table, reference[name], queries, options.k, rate_qps)
                print(line, flush=True)


def _score_inputs(models: Path) -> dict[str, tuple[str, ...]]:
    """For each finished model those whose scores it reads; the ones that are read first."""
    found = {f.name: read_json(f / "manifest.json", dict) for f in sorted(models.iterdir())}
    inputs = {name: tuple(manifest["score_inputs"]) for name, manifest in found.items()}
    return dict(sorted(inputs.items(), key=lambda item: len(item[1])))


def _scored(
    runtime: str, folder: Path, queries: QuerySet, given: dict[str, ScoreTable]
) -> tuple[ScoreTable, float]:
    model = RUNTIMES[runtime].load(folder, queries.items, num_threads=2)
    began = time.perf_counter()
    table = score_queries(model, queries, [given[name] for name in model.score_inputs])
    return table, len(queries) / (time.perf_counter() - began)


def _line(
    name: str,
    runtime: str,
    table: ScoreTable,
    reference: ScoreTable,
    queries: QuerySet,
    k: int,
    rate_qps: float,
) -> str:
    alone = pipeline_of((name,), (queries.num_columns, k))
    ours, theirs = (ScoreBook(queries, [t], k=k) for t in (table, reference))
    found = compare(
        theirs.ndcg(alone), ours.ndcg(alone), rng_for(0, "native quality", name), TOLERANCE
    )
    same = float(np.mean(_lists(table, k) == _lists(reference, k)))
    low, high = found.relative_interval
    return (
        f"{name:16s}{runtime:18s}{found.challenger.mean:8.4f}{found.relative_difference:+10.3%}"
        f"{f'{low:+.3%} to {high:+.3%}':>22s}{same:11.2%}{rate_qps:11.0f}"
        f"  {'yes' if found.within_tolerance else found.verdict}"
    )


def _lists(table: ScoreTable, k: int) -> np.ndarray:
    """(Q,), each query's first k columns in order, as bytes."""
    order = np.argsort(-table.scores, axis=1, kind="stable")[:, :k].astype(np.int32)
    return np.ascontiguousarray(order).view(f"S{4 * k}")[:, 0]


if __name__ == "__main__":
    main()
