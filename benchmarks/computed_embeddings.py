"""Deep hash embeddings on the native engine, against a plain PyTorch implementation.

    python benchmarks/computed_embeddings.py            # about a minute, 2 GB
    python benchmarks/computed_embeddings.py hybrid     # stored hybrid against one table a feature

A DLRM of RM_med's shape over Criteo-Kaggle's 26 features, each with a decoder of its own (1,024
codes, 512-512-16), is asked for 256 candidates that differ in every feature, ids by Zipf's law with
exponent 1.05. All back-ends take turns in one process, each on the same number of cores; ratios are
taken round by round.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import torch

import computed_embeddings_torch as plain
from recfunnel.bench.interleave import Call, interleave
from recfunnel.bench.model import BenchModel, build_dlrm
from recfunnel.bench.queries import Draw, Workload, plain_workload
from recfunnel.bench.results import Timing
from recfunnel.bench.shapes import CARDINALITIES, DLRMShape, cardinalities, shape_named
from recfunnel.compile.id_counts import count_ids
from recfunnel.compile.load import StoredGraph
from recfunnel.core.arrays import FloatArray
from recfunnel.core.codes import MultiplyShift
from recfunnel.core.computed import Decoded, DecoderLayer
from recfunnel.core.graph import Dense, Linear, Lookup, PairDots, RankingGraph, Relu
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.runtime.native import Native, NativeModel

NUM_CANDIDATES, NUM_CODES, WIDTHS, DIM = 256, 1024, (512, 512, 16), 16
PRECISIONS = ("float32", "bfloat16", "int8")
SMALL_BYTES = 20 * 2**20
"""Tables up to this are stored whole: all but the five largest, 36.5 MB together."""
HOT_BYTES = 16 * 2**20
WINDOW = Draw(NUM_CANDIDATES, num_pairs=1 << 20, seed=1)
SERVED = Draw(NUM_CANDIDATES, num_pairs=1 << 18, seed=2)
MPREC = DLRMShape(name="MP-Rec", dim=DIM, bottom=(512, 256, 64, DIM), top=(512, 256, 1))
"""The network of MP-Rec's artifact for Criteo-Kaggle."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", default="dhe", choices=["dhe", "hybrid"])
    parser.add_argument("--threads", type=int, default=1, help="cores of every back-end")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--round-s", type=float, default=0.3, help="of each back-end in each round")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    (dhe if options.part == "dhe" else hybrid)(options)


def dhe(options: argparse.Namespace) -> None:
    model = replace(
        build_dlrm(shape_named("RM_med"), (4,) * len(CARDINALITIES), 0), cardinalities=CARDINALITIES
    )
    stored = with_decoders(model)
    served, window = plain_workload(model, SERVED), plain_workload(model, WINDOW)
    counts = count_ids(stored.graph, window.context, window.items, window.candidates)
    stored = replace(stored, id_counts=counts)
    network = plain.PlainDHE(model, stored.graph.computed, stored.parameters)
    exact = network.scores(served, 0, dedup=True)
    calls: dict[str, Call] = dict(network.calls(served))
    for name, runtime in ways():
        ours = runtime.load_graph(stored, served.items, num_threads=options.threads)
        calls[name] = call_of(ours, served)
        error = np.abs(ours.score(*query(served, 0)) - exact).max() / np.abs(exact).max()
        print(f"{name:34s} error {error:.1e}")
    print(f"rows a query needs of different ids: {different(served):.0f} of {26 * NUM_CANDIDATES}")
    timings = measured(calls, options)
    for name, timing in timings.items():
        over = [ratio(timings[other], timing) for other in plain.NAMES]
        print(f"{name:34s}{1e3 * timing.median_s:9.2f} ms   {'   '.join(over)}")
    print(f"ratios over: {', '.join(plain.NAMES)}")


def ways() -> Iterator[tuple[str, Native]]:
    """Computed for each call; small tables stored whole; 16 MB of frequent rows kept as well."""
    for precision in PRECISIONS:
        base = Native(precision=precision, catalogue="hoisted")  # type: ignore[arg-type]
        some = msgspec.structs.replace(base, largest_computed_bytes=SMALL_BYTES)
        yield f"{precision}, computed", msgspec.structs.replace(base, largest_computed_bytes=0)
        if precision == "int8":
            yield f"{precision}, small stored", some
        hot = msgspec.structs.replace(some, hot_store_bytes=HOT_BYTES)
        yield f"{precision}, small stored, hot store", hot


def with_decoders(model: BenchModel) -> StoredGraph:
    """The model with a decoder for each of its tables."""
    rng = np.random.default_rng(0)
    parameters = {n: a for n, a in model.parameters.items() if not n.startswith("tables.")}
    computed = []
    for feature, size in enumerate(model.cardinalities):
        layers = tuple(_layers(f"dhe.{feature}", parameters, rng))
        codes = MultiplyShift(num_codes=NUM_CODES, seed=feature)
        name = f"tables.{feature}"
        computed.append(Decoded(name=name, num_ids=size, dim=DIM, codes=codes, layers=layers))
    graph = msgspec.structs.replace(model.graph("plain"), computed=tuple(computed))
    return StoredGraph("DHE", graph, parameters, model.schema("plain"), ())


def _layers(
    name: str, parameters: dict[str, Any], rng: np.random.Generator
) -> Iterator[DecoderLayer]:
    for number, (inputs, width) in enumerate(pairwise((NUM_CODES, *WIDTHS))):
        last = number == len(WIDTHS) - 1
        weight = rng.standard_normal((width, inputs), np.float32) * (2 / inputs) ** 0.5
        parameters[f"{name}.{number}.weight"] = weight.astype(np.float32)
        parameters[f"{name}.{number}.bias"] = np.zeros(width, np.float32)
        yield DecoderLayer(
            weight=f"{name}.{number}.weight",
            bias=f"{name}.{number}.bias",
            activation="sigmoid" if last else "relu",
        )


def hybrid(options: argparse.Namespace) -> None:
    """Two stored vectors a feature against one: what a hybrid costs when it is served."""
    for shape in (MPREC, shape_named("RM_med")):
        assert isinstance(shape, DLRMShape)
        model = build_dlrm(shape, cardinalities(1_000_000), 0)
        served = plain_workload(model, SERVED)
        rng = np.random.default_rng(0)
        for interaction in ("dot", "concat"):
            calls: dict[str, Call] = {}
            for name, num_vectors in (("table", 1), ("hybrid", 2)):
                graph, parameters = several_tables(model, num_vectors, interaction, rng)
                stored = StoredGraph(name, graph, parameters, model.schema("plain"), ())
                for precision in PRECISIONS:
                    runtime = Native(precision=precision, catalogue="hoisted")  # type: ignore[arg-type]
                    ours = runtime.load_graph(stored, served.items, num_threads=options.threads)
                    calls[f"{name} {precision}"] = call_of(ours, served)
            timings = measured(calls, options)
            for precision in PRECISIONS:
                table, both = timings[f"table {precision}"], timings[f"hybrid {precision}"]
                print(
                    f"{shape.name:8s}{interaction:8s}{precision:10s}"
                    f"table {1e6 * table.median_s:8.0f} us   hybrid {1e6 * both.median_s:8.0f} us"
                    f"   {ratio(both, table)}",
                    flush=True,
                )


def several_tables(
    model: BenchModel, num_vectors: int, interaction: str, rng: np.random.Generator
) -> tuple[RankingGraph, dict[str, Any]]:
    """A DLRM with one or two stored vectors a feature."""
    shape = model.shape
    assert isinstance(shape, DLRMShape)
    builder, parameters = GraphBuilder(), dict(model.parameters)
    x = builder.add(Dense(side="candidate", columns=tuple(range(13))))
    for layer in range(len(shape.bottom)):
        weight, bias = f"bottom.{layer}.weight", f"bottom.{layer}.bias"
        x = builder.add(Relu(x_of=builder.add(Linear(x_of=x, weight=weight, bias=bias))))
    vectors = [x]
    for feature in range(len(model.cardinalities)):
        for number in range(num_vectors):
            name = f"tables.{feature}" + "'" * number
            parameters.setdefault(name, parameters[f"tables.{feature}"][::-1].copy())
            vectors.append(builder.add(Lookup(side="candidate", column=feature, table=name)))
    y = builder.concat(vectors)
    width = DIM * len(vectors)
    if interaction == "dot":
        y = builder.concat([x, builder.add(PairDots(x_of=y, dim=DIM))])
        width = DIM + len(vectors) * (len(vectors) - 1) // 2
    for layer, size in enumerate(shape.top):
        name = f"top.{layer}.weight"
        parameters[name] = rng.standard_normal((size, width), np.float32) * width**-0.5
        parameters[name] = parameters[name].astype(np.float32)
        y = builder.add(Linear(x_of=y, weight=name, bias=f"top.{layer}.bias"))
        if layer < len(shape.top) - 1:
            y = builder.add(Relu(x_of=y))
        width = size
    return builder.finish(y), parameters


def measured(calls: dict[str, Call], options: argparse.Namespace) -> dict[str, Timing]:
    found = interleave(calls, num_rounds=options.rounds, round_s=options.round_s, seed=0)
    return found.timings


def call_of(model: NativeModel, workload: Workload) -> Call:
    return lambda number: model.score(*query(workload, number))


def query(workload: Workload, number: int) -> tuple[Any, Any]:
    row = number % workload.num_queries
    return workload.context.row(row), workload.candidates[row : row + 1]


def ratio(slow: Timing, fast: Timing) -> str:
    rounds = [a / b for a, b in zip(slow.rounds_s, fast.rounds_s, strict=True)]
    return f"{np.median(rounds):6.2f}x ({min(rounds):.2f} to {max(rounds):.2f})"


def different(workload: Workload) -> float:
    """Different ids of a query, over all features, in the mean of 100."""
    rows: list[FloatArray] = [workload.items.categorical[c] for c in workload.candidates[:100]]
    return float(np.mean([sum(np.unique(ids).size for ids in each.T) for each in rows]))


if __name__ == "__main__":
    main()
