"""A graph, its features and calls, that tests of the tile machine share."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from compile_world import NUM_SCORES, SCHEMA
from recfunnel.compile.evaluate import evaluate
from recfunnel.compile.lower import lower
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.graph import (
    AnyOp,
    Concat,
    CrossLinear,
    Dense,
    Given,
    Linear,
    Lookup,
    Pool,
    RankingGraph,
    Relu,
    ScaledLinear,
    Sum,
)
from recfunnel.runtime.native_machine import MachineOptions, NativeMachine
from recfunnel.testing.model import random_features

ISAS = ("portable", "avx2", "avx512", "avx512_bf16")


def runs(isa: str) -> bool:
    """Whether this processor runs an instruction set."""
    from recfunnel.runtime import _native

    try:
        _native.Program(0, 1, (True, 0, 1, False), isa)
    except RuntimeError:
        return False
    return True


each_isa = pytest.mark.parametrize(
    "isa",
    [
        pytest.param(
            isa, marks=pytest.mark.skipif(not runs(isa), reason="this processor does not run it")
        )
        for isa in ISAS
    ],
)
"""Runs a test once for each instruction set."""


class World:
    """A graph in float32, and what to call it with.

    Args:
        graph: a whole model.
        parameters: by name.
        seed: of the features.
        num_items: I.
        num_candidates: C.
        schema: of the features.
    """

    def __init__(
        self,
        graph: RankingGraph,
        parameters: Parameters,
        *,
        seed: int = 0,
        num_items: int = 9,
        num_candidates: int = 20,
        schema: FeatureSchema = SCHEMA,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.graph, self.schema = graph, schema
        self.parameters = {name: array.astype(np.float32) for name, array in parameters.items()}
        self.context = random_features(schema, "context", 3, rng)
        self.items = random_features(schema, "candidate", num_items, rng)
        self.candidates: IntArray = rng.integers(0, num_items, (3, num_candidates))
        self.given = self.scores_of_others(num_candidates)

    def scores_of_others(self, num_columns: int) -> FloatArray | None:
        """Given scores, when the graph reads any."""
        rng = np.random.default_rng(7)
        widths = [op.width for op in self.graph.nodes if isinstance(op, Given)]
        return rng.normal(size=(3, num_columns, widths[0])).astype(np.float32) if widths else None

    def machine(self, **options: object) -> NativeMachine:
        """The graph as a program, bound to the items."""
        program = lower(self.graph, self.parameters, self.schema)
        made = MachineOptions(**options)  # type: ignore[arg-type]
        return NativeMachine("model", program, self.items, options=made)

    def expected(self, candidates: IntArray | None) -> NDArray[np.float64]:
        """Scores by the oracle."""
        columns = len(self.items) if candidates is None else candidates.shape[1]
        return evaluate(
            self.graph,
            self.parameters,
            self.context,
            self.items,
            candidates,
            self.scores_of_others(columns),
        )


def assert_close(scores: NDArray[np.float32], expected: NDArray[np.float64]) -> None:
    """Equal within 1e-5 of the largest."""
    assert scores.dtype == np.float32
    assert scores.shape == expected.shape
    if scores.size:
        assert np.abs(scores - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1e-3)


def simple_world() -> World:
    """A lookup and a pool on both sides, a dense feature, and two given scores."""
    nodes: tuple[AnyOp, ...] = (
        Lookup(side="context", column=1, table="table"),
        Pool(side="context", column=0, table="table", norm="mean"),
        Dense(side="context", columns=(2,)),
        Lookup(side="candidate", column=1, table="table"),
        Pool(side="candidate", column=0, table="table", norm="l2"),
        Dense(side="candidate", columns=(3, 1)),
        Given(width=NUM_SCORES),
        Concat(parts_of=(0, 1, 2, 3, 4, 5, 6)),
        Linear(x_of=7, weight="layer"),
    )
    rng = np.random.default_rng(0)
    parameters = {
        "table": rng.normal(size=(6, 3)).astype(np.float32),
        "layer": rng.normal(size=(1, 12 + 5)).astype(np.float32),
    }
    return World(RankingGraph(nodes=nodes, score_of=8), parameters)


def with_id(features: Features, row: int, column: int, value: int) -> Features:
    """The same features with another id."""
    categorical = features.categorical.copy()
    categorical[row, column] = value
    return replace(features, categorical=categorical)


USER_VECTORS, ITEM_VECTORS = 3, 4


def bound_graph(dim: int, width: int) -> tuple[RankingGraph, Parameters]:
    """Every kind of layer that is built for a query, added up, and a bias and a vector of its own.

    Letters as in `core.graph`: 3 vectors of the context, 4 of the candidate.
    """
    rng = np.random.default_rng(dim + width)
    nodes: list[AnyOp] = [
        Lookup(side="context", column=0, table="users"),
        Lookup(side="candidate", column=0, table="items"),
        CrossLinear(x_of=1, y_of=0, dim=dim, weight="cross"),
        Linear(x_of=0, weight="user_layer", bias="user_bias"),
        Linear(x_of=0, weight="to_items"),
        ScaledLinear(x_of=1, y_of=4, weight="scaled", base="base"),
        ScaledLinear(x_of=1, y_of=4, weight="scaled"),
        Lookup(side="candidate", column=1, table="constants"),
        Sum(terms_of=(2, 3, 5, 6, 7)),
        Relu(x_of=8),
        Linear(x_of=9, weight="head", bias="head_bias"),
    ]
    users, items = USER_VECTORS * dim, ITEM_VECTORS * dim
    shapes = {
        "users": (6, users),
        "items": (6, items),
        "cross": (width, ITEM_VECTORS * USER_VECTORS),
        "user_layer": (width, users),
        "user_bias": (width,),
        "to_items": (items, users),
        "scaled": (width, items),
        "base": (width, items),
        "constants": (6, width),
        "head": (1, width),
        "head_bias": (1,),
    }
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return RankingGraph(nodes=tuple(nodes), score_of=len(nodes) - 1), arrays
