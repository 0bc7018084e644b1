"""Random ranking graphs, written naively, and what to call them with.

Letters: Q queries, N item rows, C candidates.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from recfunnel.compile.evaluate import evaluate
from recfunnel.compile.rewrite import Model
from recfunnel.compile.widths import node_widths
from recfunnel.core.arrays import IntArray
from recfunnel.core.codes import MultiplyShift, PrimeModulus
from recfunnel.core.computed import (
    AnyComputed,
    BatchNorm,
    Decoded,
    DecoderLayer,
    HashedRows,
    QuotientRemainder,
)
from recfunnel.core.features import Feature, Features, FeatureSchema, Side
from recfunnel.core.graph import (
    Affine,
    AnyOp,
    Concat,
    CrossDots,
    Dense,
    Given,
    Linear,
    Lookup,
    Multiply,
    PairDots,
    Pool,
    RankingGraph,
    Relu,
    RowSum,
    Slice,
    Sum,
)
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.testing.model import random_features

NUM_IDS = 6
NUM_SCORES = 2
DIM = 2
SIDES: tuple[Side, Side] = ("context", "candidate")

SCHEMA = FeatureSchema(
    features=tuple(
        Feature(
            name=f"{side}.{kind}{number}",
            side=side,
            kind=kind,
            cardinality=0 if kind == "dense" else NUM_IDS,
        )
        for side in SIDES
        for kind, count in (("categorical", 2), ("dense", 4), ("multi_valued", 1))
        for number in range(count)
    )
)


class RandomGraph:
    """Writes a random graph whose values are all an even number of columns wide.

    Args:
        seed: decides everything.
        num_inner: nodes that read others.
        computed: whether some of its tables are computed.
    """

    def __init__(self, seed: int, num_inner: int, *, computed: bool = False) -> None:
        self.computed = computed
        self.rng = np.random.default_rng(seed)
        self.builder = GraphBuilder()
        self.parameters: dict[str, NDArray[np.float64]] = {}
        self.widths: list[int] = []
        for _ in range(6):
            self._add(self._leaf())
        for _ in range(num_inner):
            self._add(self._inner())
        whole = self._some(int(self.rng.integers(1, 4)))
        top = self.builder.concat(whole)
        self.widths = list(node_widths(self.builder.finish(0), self.parameters))
        score = self.builder.add(self._linear(top, 1))
        self.graph = self.builder.finish(score)

    def _add(self, op: AnyOp) -> None:
        self.builder.add(op)
        self.widths = list(node_widths(self.builder.finish(0), self.parameters))

    def _made(self, *shape: int, positive: bool = False) -> str:
        name = f"p{len(self.parameters)}"
        array = self.rng.normal(size=shape)
        self.parameters[name] = 0.5 + np.abs(array) if positive else array
        return name

    def _width(self) -> int:
        return DIM * int(self.rng.integers(1, 4))

    def _side(self) -> Side:
        return SIDES[self.rng.integers(0, 2)]

    def _leaf(self) -> AnyOp:
        side = self._side()
        match self.rng.integers(0, 10):
            case 0 | 1 | 2 | 3:
                column = int(self.rng.integers(0, 2))
                return Lookup(side=side, column=column, table=self._table(self._width()))
            case 4 | 5:
                norm = self.rng.choice(["sum", "mean", "l2"])
                table = self._table(self._width())
                return Pool(side=side, column=0, table=table, norm=str(norm))  # type: ignore[arg-type]
            case 6 | 7:
                columns = self.rng.permutation(4)[: DIM * int(self.rng.integers(1, 3))]
                return Dense(side=side, columns=tuple(int(c) for c in columns))
            case 8:
                return Given(width=NUM_SCORES)
        table = self._table(NUM_IDS)
        weighting = self._made(3) if self.rng.random() < 0.5 else ""
        sums = self.builder.add(
            RowSum(list_column=0, id_column=0, table=table, weighting=weighting)
        )
        return Concat(parts_of=(sums, sums))

    def _table(self, dim: int) -> str:
        """A stored table, or one of any kind that is computed."""
        if not self.computed or self.rng.random() < 0.3:
            return self._made(NUM_IDS, dim)
        made = {"name": f"c{len(self.parameters)}", "num_ids": NUM_IDS, "dim": dim}
        match self.rng.integers(0, 4):
            case 0:
                table: AnyComputed = HashedRows(**made, table=self._made(4, dim), seed=1)
            case 1:
                quotient, remainder = self._made(2, dim), self._made(3, dim)
                table = QuotientRemainder(
                    **made, quotient=quotient, remainder=remainder, num_remainders=3
                )
            case 2:
                codes = PrimeModulus(num_codes=4, values="gaussian", seed=5)
                table = Decoded(**made, codes=codes, layers=self._decoder(4, 5, dim))
            case _:
                codes_of_3 = MultiplyShift(num_codes=3)
                table = Decoded(**made, codes=codes_of_3, layers=self._decoder(3, dim))
        return self.builder.compute(table)

    def _decoder(self, *widths: int) -> tuple[DecoderLayer, ...]:
        activations = ("relu", "mish", "sigmoid", "none")
        return tuple(
            DecoderLayer(
                weight=self._made(num_outputs, num_inputs),
                bias=self._made(num_outputs),
                norm=self._norm(num_outputs) if self.rng.random() < 0.5 else None,
                activation=activations[self.rng.integers(0, 4)],  # type: ignore[arg-type]
            )
            for num_inputs, num_outputs in pairwise(widths)
        )

    def _norm(self, width: int) -> BatchNorm:
        mean, weight, bias = (self._made(width) for _ in range(3))
        variance = self._made(width, positive=True)
        return BatchNorm(mean=mean, variance=variance, weight=weight, bias=bias)

    def _some(self, count: int) -> list[int]:
        """Positions, later ones more often."""
        weights = np.arange(1, len(self.widths) + 1, dtype=float)
        even = np.array([width % DIM == 0 and width > 0 for width in self.widths])
        weights *= even
        return [int(i) for i in self.rng.choice(len(weights), count, p=weights / weights.sum())]

    def _as_wide(self, like: int, count: int) -> list[int]:
        same = [i for i, width in enumerate(self.widths) if width == self.widths[like]]
        return [int(i) for i in self.rng.choice(same, count)]

    def _linear(self, x: int, num_outputs: int) -> Linear:
        weight = self._made(num_outputs, self.widths[x])
        if num_outputs == 1 and self.rng.random() < 0.5:
            self.parameters[weight] = self.parameters[weight][0]
        bias = self._made(num_outputs) if self.rng.random() < 0.5 else ""
        return Linear(x_of=x, weight=weight, bias=bias)

    def _inner(self) -> AnyOp:
        x, y = self._some(2)
        match self.rng.integers(0, 14):
            case 0 | 1 | 2:
                return self._linear(x, self._width())
            case 3:
                return Relu(x_of=x)
            case 4:
                parts = ("subtract", "divide", "multiply")
                names = {
                    part: self._made(self.widths[x], positive=part == "divide")
                    for part in parts
                    if self.rng.random() < 0.6
                }
                return Affine(x_of=x, **names)
            case 5 | 6:
                terms = (x, *self._as_wide(x, int(self.rng.integers(1, 4))))
                return Sum(terms_of=terms)
            case 7 | 8 | 9:
                return Concat(parts_of=(x, y, *self._some(int(self.rng.integers(0, 3)))))
            case 10:
                start = int(self.rng.integers(0, self.widths[x] // DIM))
                stop = int(self.rng.integers(start + 1, self.widths[x] // DIM + 1))
                return Slice(x_of=x, start=DIM * start, stop=DIM * stop)
            case 11:
                return Multiply(x_of=x, y_of=self._as_wide(x, 1)[0])
            case 12:
                return self._dots_of_pairs(x)
        return self._dots_across(x, y)

    def _dots_of_pairs(self, x: int) -> AnyOp:
        """A linear layer on the dots, so that the width stays even and small."""
        if self.widths[x] < 2 * DIM or self.widths[x] > 20:
            return Relu(x_of=x)
        self._add(PairDots(x_of=x, dim=DIM))
        return self._linear(len(self.widths) - 1, self._width())

    def _dots_across(self, x: int, y: int) -> AnyOp:
        if self.widths[x] * self.widths[y] > 200:
            return Relu(x_of=x)
        self._add(CrossDots(x_of=x, y_of=y, dim=DIM))
        return self._linear(len(self.widths) - 1, self._width())


def random_graph(seed: int, *, computed: bool = False) -> Model:
    """A random graph and its float64 parameters; some of its tables are computed if wished."""
    made = RandomGraph(seed, num_inner=4 + seed % 12, computed=computed)
    return made.graph, made.parameters


class Call:
    """Features of 3 queries and 5 items, 4 candidates each, and given scores.

    Args:
        seed: decides the values.
        schema: of the features.
        num_scores: given to each candidate.
    """

    def __init__(
        self, seed: int, schema: FeatureSchema = SCHEMA, num_scores: int = NUM_SCORES
    ) -> None:
        rng = np.random.default_rng(seed)
        self.context: Features = random_features(schema, "context", 3, rng)
        self.items: Features = random_features(schema, "candidate", 5, rng)
        self.candidates: IntArray = rng.integers(0, 5, (3, 4))
        self.given = rng.normal(size=(3, 4, num_scores)).astype(np.float32) if num_scores else None

    def scores(
        self, graph: RankingGraph, parameters: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.float64]:
        """(3, 4)."""
        return evaluate(graph, parameters, self.context, self.items, self.candidates, self.given)

    def assert_equal(self, before: Model, after: Model) -> None:
        """Both graphs give the same scores to 1e-9 of the largest."""
        expected = self.scores(*before)
        scale = max(1.0, float(np.abs(expected).max()))
        assert_allclose(self.scores(*after), expected, rtol=1e-9, atol=1e-9 * scale)
