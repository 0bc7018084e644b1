"""A model to measure: random parameters of a shape, in memory that every runtime shares.

Letters: N outputs and K inputs of a layer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.bench.graphs import dlrm_graph, feature_columns, neumf_graph
from recfunnel.bench.memory import check_memory, huge_array
from recfunnel.bench.shapes import (
    NUM_DENSE,
    DLRMShape,
    NeuMFShape,
    Setting,
    Shape,
    cardinalities,
)
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.features import Feature, FeatureSchema, Side
from recfunnel.core.graph import RankingGraph
from recfunnel.core.seeds import rng_for

FLOAT_BYTES = 4
ROWS_AT_ONCE = 1 << 20

Layers = list[tuple[FloatArray, FloatArray]]
"""Weight (N, K) and bias (N,) of each layer of a network."""


@dataclass(frozen=True, eq=False, slots=True)
class BenchModel:
    """A model to measure.

    Args:
        shape: widths.
        cardinalities: ids of each categorical feature.
        table: (rows, dim), all tables of a DLRM one after the other; (0, 0) for a NeuMF.
        parameters: by the names the graph uses; a DLRM's tables are parts of `table`.
    """

    shape: Shape
    cardinalities: tuple[int, ...]
    table: FloatArray
    parameters: dict[str, NDArray[Any]]

    @property
    def name(self) -> str:
        """Of its shape."""
        return self.shape.name

    def graph(self, setting: Setting) -> RankingGraph:
        """What it computes, as its paper writes it."""
        if isinstance(self.shape, DLRMShape):
            return dlrm_graph(self.shape, len(self.cardinalities), setting)
        return neumf_graph(self.shape)

    def schema(self, setting: Setting) -> FeatureSchema:
        """Its features, each of the side the setting says."""
        if isinstance(self.shape, NeuMFShape):
            users, items = self.cardinalities
            return FeatureSchema(
                features=(
                    Feature(name="user", side="context", kind="categorical", cardinality=users),
                    Feature(name="item", side="candidate", kind="categorical", cardinality=items),
                )
            )
        pairs = zip(self.cardinalities, self.columns(setting), strict=True)
        ids = tuple(
            Feature(name=f"id{i}", side=side, kind="categorical", cardinality=size)
            for i, (size, (side, _)) in enumerate(pairs)
        )
        whose: Side = "candidate" if setting == "plain" else "context"
        numbers = (Feature(name=f"number{i}", side=whose, kind="dense") for i in range(NUM_DENSE))
        return FeatureSchema(features=(*ids, *numbers))

    def columns(self, setting: Setting) -> tuple[tuple[Side, int], ...]:
        """Side of each categorical feature, and its column there."""
        if isinstance(self.shape, NeuMFShape):
            return ("context", 0), ("candidate", 0)
        return feature_columns(len(self.cardinalities), setting)

    def layers(self, part: str) -> Layers:
        """Weights and biases of one of its networks: bottom, top, tower or head."""
        found: Layers = []
        while (name := f"{part}.{len(found)}.weight") in self.parameters:
            bias = self.parameters[f"{part}.{len(found)}.bias"]
            found.append((self.parameters[name], bias))
        return found

    @property
    def offsets(self) -> IntArray:
        """Where each feature's rows begin in `table`."""
        return np.cumsum([0, *self.cardinalities[:-1]], dtype=np.int64)


def build_model(shape: Shape, *, num_rows: int | None, seed: int) -> BenchModel:
    """Draw the parameters.

    Args:
        shape: widths.
        num_rows: of all tables of a DLRM together, about; None for the full size.
        seed: of the parameters.

    Raises:
        StudyError: the tables do not fit into free memory.
    """
    if isinstance(shape, NeuMFShape):
        return _neumf(shape, rng_for(seed, "bench", shape.name))
    return build_dlrm(shape, cardinalities(num_rows), seed)


def build_dlrm(shape: DLRMShape, sizes: tuple[int, ...], seed: int) -> BenchModel:
    """Draw the parameters of a DLRM over any number of tables.

    Args:
        shape: widths.
        sizes: rows of each table.
        seed: of the parameters.

    Raises:
        StudyError: the tables do not fit into free memory.
    """
    rng = rng_for(seed, "bench", shape.name)
    needed = FLOAT_BYTES * shape.dim * sum(sizes)
    check_memory(f"{shape.name} ({needed / 2**30:.1f} GiB of tables)", 1.1 * needed, SMALLER)
    table = huge_array((sum(sizes), shape.dim))
    # So that dots are about as large as a trained model's.
    _fill(table, (12.0 / math.sqrt(shape.dim)) ** 0.5, rng)
    ends = np.cumsum(sizes)
    parameters: dict[str, NDArray[Any]] = {
        f"tables.{i}": table[end - size : end]
        for i, (size, end) in enumerate(zip(sizes, ends, strict=True))
    }
    num_vectors = len(sizes) + 1
    top_inputs = shape.dim + num_vectors * (num_vectors - 1) // 2
    parameters |= _layers("bottom", (NUM_DENSE, *shape.bottom), rng)
    parameters |= _layers("top", (top_inputs, *shape.top), rng)
    return BenchModel(shape, sizes, table, parameters)


SMALLER = "take fewer rows with --rows, such as --rows 1000000"
"""What to do when tables do not fit."""


def _neumf(shape: NeuMFShape, rng: np.random.Generator) -> BenchModel:
    sizes = shape.num_users, shape.num_items
    parameters: dict[str, NDArray[Any]] = {}
    for who, size in zip(("user", "item"), sizes, strict=True):
        for part, width in (("short", shape.mf_dim), ("long", shape.tower[0] // 2)):
            parameters[f"{who}.{part}"] = huge_array((size, width))
            _fill(parameters[f"{who}.{part}"], 1.0, rng)
    parameters |= _layers("tower", shape.tower, rng)
    parameters |= _layers("head", (shape.mf_dim + shape.tower[-1], 1), rng)
    return BenchModel(shape, sizes, np.zeros((0, 0), np.float32), parameters)


def _fill(table: FloatArray, width: float, rng: np.random.Generator) -> None:
    """Uniform numbers of that width around 0."""
    for start in range(0, len(table), ROWS_AT_ONCE):
        part = table[start : start + ROWS_AT_ONCE]
        rng.random(dtype=np.float32, out=part)
        part -= np.float32(0.5)
        part *= np.float32(width)


def _layers(
    part: str, widths: Sequence[int], rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Layers as Glorot draws them, by name."""
    found = {}
    for layer, (K, N) in enumerate(pairwise(widths)):
        weight = rng.normal(0, math.sqrt(2 / (K + N)), (N, K))
        found[f"{part}.{layer}.weight"] = weight.astype(np.float32)
        found[f"{part}.{layer}.bias"] = rng.normal(0, 0.1, N).astype(np.float32)
    return found
