"""The models of `gpu_lane`: what is scored, whether it is right, how long it takes."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recfunnel.bench.graphs import feature_columns
from recfunnel.bench.queries import zipf_ids
from recfunnel.bench.shapes import NUM_DENSE, cardinalities
from recfunnel.compile.evaluate import evaluate
from recfunnel.compile.load import load_graph
from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import RecfunnelError
from recfunnel.core.features import Feature, Features, FeatureSchema
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.models.dlrm import RECPIPE_SHAPES
from recfunnel.models.neumf import SIZES as NEUMF_SIZES
from recfunnel.testing.model import fill_with_noise
from recfunnel.testing.runtime import RuntimeContract

SIZES = (1, 16, 64, 256, 1024, 4096, 16_384, 65_536)
QUICK_SIZES = (1, 64, 256, 1024)
CHECKED_SIZES = (1, 5, 8, 13, 100, 1000, 5000)
NUM_CONTEXTS = 64
ROUNDS = 3
TOLERANCE, LOW_TOLERANCE = 1e-5, 5e-2
"""Of a score, relative to the largest; the second where bfloat16 is used, on random networks."""

Specs = Mapping[str, Any]
Call = Callable[[int], Any]


@dataclass(frozen=True)
class Lane:
    """How much is measured.

    Args:
        quick: few sizes and queries.
        rows: of all tables of a DLRM together.
        items: in the catalogue.
        round_s: spent on each runtime in each round.
        until_s: on the monotonic clock, after which nothing new is begun.
    """

    quick: bool
    rows: int
    items: int
    round_s: float
    until_s: float

    def is_over(self) -> bool:
        """Whether to begin nothing new."""
        return time.monotonic() > self.until_s


def correctness(specs: Specs) -> list[dict[str, Any]]:
    """Every runtime on every kind of model, in calls of many sizes."""
    contract, rows = RuntimeContract(), []
    for model, (_, num_inputs) in contract.specs.items():
        with tempfile.TemporaryDirectory() as place:
            folder, items = contract.save(Path(place), model), contract.items()
            stored = load_graph(folder)
            for name, spec in specs.items():
                try:
                    loaded = spec.load(folder, items)
                except (RecfunnelError, RuntimeError) as error:
                    rows.append(_checked(model, name, spec, np.inf, str(error)))
                    continue
                rng, worst = np.random.default_rng(0), 0.0
                for size in CHECKED_SIZES:
                    context = contract.context().row(1 + size % 5)
                    wanted = rng.integers(0, len(items), (1, size))
                    shape = (1, size, num_inputs)
                    given = rng.normal(size=shape).astype(np.float32) if num_inputs else None
                    expected = evaluate(
                        stored.graph, stored.parameters, context, items, wanted, given
                    )
                    worst = max(worst, _error(loaded.score(context, wanted, given), expected))
                rows.append(_checked(model, name, spec, worst))
    return rows


def _error(scores: Any, expected: Any) -> float:
    largest = max(float(np.abs(expected).max()), np.finfo(np.float32).tiny)
    return float(np.abs(scores - expected).max()) / largest


def _checked(model: str, name: str, spec: Any, error: float, note: str = "") -> dict[str, Any]:
    right = error <= (TOLERANCE if spec.exact else LOW_TOLERANCE)
    known = error if np.isfinite(error) else None
    return {"model": model, "runtime": name, "error": known, "right": right, "note": note}


def measured_specs() -> dict[str, tuple[Any, str]]:
    """The measured networks, and what their features are."""
    found = {f"RM_{size}": (spec, "criteo") for size, spec in RECPIPE_SHAPES.items()}
    return found | {"NeuMF large": (NEUMF_SIZES["large"], "ids")}


def features_of(kind: str, lane: Lane) -> tuple[FeatureSchema, Features, Features]:
    """Schema, contexts and items: of Criteo's cardinalities, scaled, or two ids."""
    rng = np.random.default_rng(1)
    sizes, sides, num_dense = (6041, lane.items + 1), ("context", "candidate"), 0
    if kind == "criteo":
        sizes, num_dense = cardinalities(lane.rows), NUM_DENSE
        sides = tuple(side for side, _ in feature_columns(len(sizes), "catalogue"))
    features = [
        Feature(name=f"id{i}", side=side, kind="categorical", cardinality=size)
        for i, (size, side) in enumerate(zip(sizes, sides, strict=True))
    ]
    features += [Feature(name=f"n{i}", side="context", kind="dense") for i in range(num_dense)]

    def rows(side: str, count: int, width: int) -> Features:
        columns = [
            zipf_ids(size, count, rng) for size, of in zip(sizes, sides, strict=True) if of == side
        ]
        dense = rng.normal(size=(count, width)).astype(np.float32)
        return Features(np.stack(columns, axis=1), dense)

    context, items = rows("context", NUM_CONTEXTS, num_dense), rows("candidate", lane.items, 0)
    return FeatureSchema(features=tuple(features)), context, items


class Loaded:
    """One measured network in all runtimes that take it, each held against float64 once.

    Args:
        name: of the network.
        spec: of it.
        kind: of its features.
        specs: runtimes.
        lane: how large.
    """

    def __init__(self, name: str, spec: Any, kind: str, specs: Specs, lane: Lane) -> None:
        self.name = name
        self.models: dict[str, Any] = {}
        self.checks: list[dict[str, Any]] = []
        schema, self.contexts, self.items = features_of(kind, lane)
        self.rng = np.random.default_rng(2)
        module = spec.build(schema)
        fill_with_noise(module)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / name
            save_checkpoint(folder, spec, schema, module, name=name)
            del module
            for runtime, runtime_spec in specs.items():
                self._load(runtime, runtime_spec, folder)

    def _load(self, runtime: str, spec: Any, folder: Path) -> None:
        wanted = np.arange(0, len(self.items), max(1, len(self.items) // 200))
        stored, context = load_graph(folder), self.contexts.row(0)
        expected = evaluate(stored.graph, stored.parameters, context, self.items.take(wanted))
        try:
            self.models[runtime] = spec.load(folder, self.items)
        except (RecfunnelError, RuntimeError) as error:
            print(f"{self.name} on {runtime}: {error}")
            self.checks.append(_checked(self.name, runtime, spec, np.inf, str(error)))
            return
        error = _error(self.models[runtime].score(context, wanted[None]), expected)
        self.checks.append(_checked(self.name, runtime, spec, error))

    def candidates(self, size: int) -> IntArray:
        """(NUM_CONTEXTS, size), different for each query."""
        return self.rng.integers(0, len(self.items), (NUM_CONTEXTS, size))

    def call(self, runtime: str, size: int) -> Call:
        """Answers the query of a number."""
        model, wanted = self.models[runtime], self.candidates(size)
        rows = [self.contexts.row(i) for i in range(NUM_CONTEXTS)]

        def score(number: int) -> Any:
            i = number % NUM_CONTEXTS
            return model.score(rows[i], wanted[i : i + 1])

        return score


def take_turns(calls: Mapping[str, Call], round_s: float) -> dict[str, dict[str, Any]]:
    """Time of a call of each, in rounds of random order."""
    rounds: dict[str, list[list[float]]] = {name: [] for name in calls}
    rng = np.random.default_rng(3)
    for _ in range(ROUNDS):
        for name in rng.permutation(list(calls)):
            rounds[str(name)].append(_timings(calls[str(name)], round_s))
    return {
        name: {
            "median_s": float(np.median([np.median(timings) for timings in taken])),
            "p99_s": float(np.quantile(np.concatenate(taken), 0.99)),
            "num_calls": sum(map(len, taken)),
        }
        for name, taken in rounds.items()
    }


def _timings(call: Call, round_s: float) -> list[float]:
    timings: list[float] = []
    for number in range(3):
        call(number)
    end = time.perf_counter() + round_s
    while time.perf_counter() < end or len(timings) < 3:
        began = time.perf_counter()
        call(len(timings))
        timings.append(time.perf_counter() - began)
    return timings


def latencies(loaded: Loaded, lane: Lane) -> list[dict[str, Any]]:
    """Median and p99 of a call for each runtime and size."""
    rows: list[dict[str, Any]] = []
    for size in QUICK_SIZES if lane.quick else SIZES:
        if lane.is_over():
            print(f"out of time: {loaded.name} with {size} candidates and more is left out")
            break
        calls = {runtime: loaded.call(runtime, size) for runtime in loaded.models}
        for runtime, timing in take_turns(calls, lane.round_s).items():
            rows.append({"model": loaded.name, "candidates": size, "runtime": runtime} | timing)
            print(
                f"{loaded.name:12}{size:8,}  {runtime:30}{1e6 * timing['median_s']:12,.1f} us"
                f"{1e6 * timing['p99_s']:12,.1f} p99",
                flush=True,
            )
    return rows
