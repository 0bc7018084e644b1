"""Small trained-like models and queries that tests of native stages share."""

from pathlib import Path

import numpy as np

from recfunnel.core.arrays import IntArray
from recfunnel.core.features import Features
from recfunnel.core.pipeline import pipeline_of
from recfunnel.models.base import ModelSpec
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.models.ease import EASE
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.neumf import NeuMF
from recfunnel.models.reranker import Reranker
from recfunnel.runtime.base import LoadedModel, RuntimeSpec
from recfunnel.runtime.cascade import Question, Survivors
from recfunnel.testing.model import EXAMPLE_SCHEMA, fill_with_noise, random_features

NUM_ITEMS, NUM_QUERIES = 150, 12
SPECS: dict[str, tuple[ModelSpec, tuple[str, ...]]] = {
    "als": (MatrixFactorisation(num_factors=5), ()),
    "ease": (EASE(), ()),
    "net": (NeuMF(mf_dim=3, mlp_dim=4, hidden=(6,)), ()),
    "rerank": (Reranker(embedding_dim=4, hidden=(6,)), ("als", "ease")),
    "last": (Reranker(embedding_dim=4, hidden=(5,)), ("rerank", "net")),
}
PIPELINES = {
    "alone": pipeline_of(("als",), (NUM_ITEMS, 9)),
    "reads what nobody has computed": pipeline_of(("rerank",), (NUM_ITEMS, 9)),
    "two": pipeline_of(("ease", "rerank"), (NUM_ITEMS, 60, 10)),
    "three": pipeline_of(("als", "net", "last"), (NUM_ITEMS, 80, 40, 10)),
    "keeps more than there is": pipeline_of(("net", "last"), (NUM_ITEMS, 149, 148)),
}


def save_models(place: Path) -> Path:
    """All models with random parameters, each in a folder of its name."""
    for name, (spec, inputs) in SPECS.items():
        module = spec.build(EXAMPLE_SCHEMA, len(inputs))
        fill_with_noise(module)
        save_checkpoint(place / name, spec, EXAMPLE_SCHEMA, module, name=name, score_inputs=inputs)
    return place


def items() -> Features:
    """Of the catalogue."""
    return random_features(EXAMPLE_SCHEMA, "candidate", NUM_ITEMS, np.random.default_rng(0))


def load_models(folder: Path, runtime: RuntimeSpec, num_threads: int = 1) -> dict[str, LoadedModel]:
    """All models on a runtime, by name."""
    return {name: runtime.load(folder / name, items(), num_threads=num_threads) for name in SPECS}


def questions(candidates: IntArray | None = None, fraction: float = 1.0) -> list[Question]:
    """Of different contexts; later ones exclude more."""
    rng = np.random.default_rng(1)
    context = random_features(EXAMPLE_SCHEMA, "context", NUM_QUERIES, rng)
    return [
        Question(context.row(q), np.unique(rng.integers(0, NUM_ITEMS, q)), candidates, fraction)
        for q in range(NUM_QUERIES)
    ]


def assert_same(ours: Survivors, theirs: Survivors) -> None:
    """To the last bit."""
    np.testing.assert_array_equal(ours.columns, theirs.columns)
    assert ours.scores.keys() == theirs.scores.keys()
    for name, scores in theirs.scores.items():
        np.testing.assert_array_equal(ours.scores[name], scores)
