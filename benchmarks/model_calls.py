"""Microseconds of one call of each kind of model, one query, MovieLens-1M sizes, one thread.

    python benchmarks/model_calls.py

Generated features of the sizes of MovieLens-1M (6,040 users, 3,706 films, histories of 130 on
average), random parameters, the torch runtime, from numpy to numpy. Prints the median and the
quartiles of the time of a call for 1 candidate, for 256 and for the whole catalogue.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray, Ragged
from recfunnel.core.features import Feature, Features, FeatureSchema
from recfunnel.models.base import ModelSpec
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.models.dlrm import RECPIPE_SHAPES
from recfunnel.models.ease import EASE
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.neumf import SIZES
from recfunnel.models.popularity import Popularity
from recfunnel.models.reranker import Reranker
from recfunnel.runtime.base import LoadedModel
from recfunnel.runtime.torch_eager import TorchEager

NUM_USERS, NUM_ITEMS, NUM_GENRES, MEAN_HISTORY = 6040, 3706, 18, 130
NUM_CALLS = 300


def schema() -> FeatureSchema:
    """Features as the MovieLens data set states them."""
    context = [("user", NUM_USERS), ("gender", 2), ("age", 7), ("occupation", 21)]
    return FeatureSchema(
        features=(
            *(
                Feature(name=name, side="context", kind="categorical", cardinality=n + 1)
                for name, n in context
            ),
            Feature(name="item", side="candidate", kind="categorical", cardinality=NUM_ITEMS + 1),
            *(Feature(name=n, side="context", kind="dense") for n in ("count", "mean")),
            *(Feature(name=n, side="candidate", kind="dense") for n in ("year", "seen", "stars")),
            Feature(name="history", side="context", kind="multi_valued", cardinality=NUM_ITEMS + 1),
            Feature(
                name="genres", side="candidate", kind="multi_valued", cardinality=NUM_GENRES + 1
            ),
        ),
        item_id="item",
        context_id="user",
        history="history",
    )


def features(rng: np.random.Generator) -> tuple[Features, Features]:
    """Random users and items."""
    ids = [rng.integers(1, n + 1, NUM_USERS) for n in (NUM_USERS, 2, 7, 21)]
    users = Features(
        np.stack(ids, axis=1),
        rng.normal(size=(NUM_USERS, 2)).astype(np.float32),
        (lists(NUM_USERS, MEAN_HISTORY, NUM_ITEMS, rng),),
    )
    items = Features(
        np.arange(1, NUM_ITEMS + 1)[:, None],
        rng.normal(size=(NUM_ITEMS, 3)).astype(np.float32),
        (lists(NUM_ITEMS, 2, NUM_GENRES, rng),),
    )
    return users, items


def lists(num_rows: int, mean: int, num_values: int, rng: np.random.Generator) -> Ragged:
    """Rows of Poisson lengths, weights 1 to 5."""
    lengths = rng.poisson(mean, num_rows)
    size = int(lengths.sum())
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    weights = rng.integers(1, 6, size).astype(np.float32)
    return Ragged(rng.integers(1, num_values + 1, size), offsets, weights)


def quartiles_us(
    model: LoadedModel, rows: list[Features], candidates: IntArray | None, given: FloatArray | None
) -> tuple[float, float, float]:
    """25th, 50th and 75th percentile of the time of a call, after a warm-up of a tenth."""
    seconds = []
    for call in range(NUM_CALLS + NUM_CALLS // 10):
        row = rows[call % len(rows)]
        start = time.perf_counter()
        model.score(row, candidates, given)
        seconds.append(time.perf_counter() - start)
    low, middle, high = 1e6 * np.quantile(seconds[NUM_CALLS // 10 :], [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)


def measure(name: str, spec: ModelSpec, num_inputs: int, rng: np.random.Generator) -> None:
    """Print one model's line."""
    users, items = features(rng)
    inputs = [f"front{i}" for i in range(num_inputs)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "model"
        module = spec.build(schema(), num_inputs)
        save_checkpoint(place, spec, schema(), module, name=name, score_inputs=inputs)
        model = TorchEager().load(place, items)
    rows = [users.row(user) for user in range(64)]
    line = f"{name:22}{spec.cost(schema(), num_inputs).flops_per_item / 2:11,.0f}"
    for size in (1, 256, None):
        candidates = None if size is None else rng.integers(0, NUM_ITEMS, (1, size))
        shape = (1, size or NUM_ITEMS, num_inputs)
        given = rng.normal(size=shape).astype(np.float32) if num_inputs else None
        low, middle, high = quartiles_us(model, rows, candidates, given)
        line += f"{middle:9,.0f} ({low:,.0f} to {high:,.0f})".rjust(26)
    print(line)


def main() -> None:
    """Measure every kind in each of its sizes."""
    print(f"{'model':22}{'MAC/item':>11}{'1, us':>26}{'256, us':>26}{'all 3,706, us':>26}")
    specs: dict[str, tuple[ModelSpec, int]] = {
        "popularity": (Popularity(), 0),
        "matrix factorisation": (MatrixFactorisation(), 0),
        "ease": (EASE(), 0),
        **{f"neumf {size}": (spec, 0) for size, spec in SIZES.items()},
        **{f"dlrm {size}": (spec, 0) for size, spec in RECPIPE_SHAPES.items()},
        "reranker 16-8": (Reranker(hidden=(16, 8)), 2),
        "reranker 128-64": (Reranker(), 2),
        "reranker with history": (Reranker(use_history=True), 2),
    }
    rng = np.random.default_rng(0)
    for name, (spec, num_inputs) in specs.items():
        measure(name, spec, num_inputs, rng)


if __name__ == "__main__":
    main()
