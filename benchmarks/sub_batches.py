"""Sub-batches of a query against stages split over the same cores: 4096 → small → 256 → large.

python benchmarks/sub_batches.py            # a catalogue of 200,000 items, some seconds a row
"""

import argparse
from collections.abc import Callable
from itertools import product

import numpy as np

from recfunnel.bench.interleave import interleave
from recfunnel.bench.model import BenchModel, build_model
from recfunnel.bench.ours import make_records
from recfunnel.bench.queries import Draw, Workload, catalogue_items, catalogue_workload
from recfunnel.bench.shapes import SHAPES
from recfunnel.compile.lower import lower
from recfunnel.compile.passes import CompileOptions, compile_graph
from recfunnel.core.features import Features
from recfunnel.runtime import _native
from recfunnel.runtime.native_machine import MachineOptions, NativeMachine

SIZES = (4096, 256, 64)
COUNTS = (2, 4, 8)


def machine(
    model: BenchModel, items: Features, size: int, threads: int, records: bool
) -> NativeMachine:
    """A model in bfloat16 for queries of a size, on item records or hoisted only."""
    options = CompileOptions(
        num_candidates=size, layers="bfloat16", without=() if records else ("catalogue",)
    )
    compiled = compile_graph(model.graph("catalogue"), model.parameters, options)
    schema = model.schema("catalogue")
    chosen = compiled.precisions
    program = lower(
        compiled.pair_graph, compiled.pair_parameters, schema, chosen.layers, chosen.tables
    )
    run = MachineOptions(num_threads=threads)
    if compiled.split is None:
        return NativeMachine(model.name, program, items, options=run)
    stored = make_records(compiled.split, schema, items, "bfloat16")
    return NativeMachine(model.name, program, items, stored, "bfloat16", options=run)


def cascade_call(
    machines: list[NativeMachine], workload: Workload, sub_batches: int, shares: bool
) -> Callable[[int], object]:
    """Ranks the query of a number."""
    stages = [
        ([(each.native, [], slot)], keep)
        for slot, (each, keep) in enumerate(zip(machines, SIZES[1:], strict=True))
    ]
    cascade = _native.Cascade(stages, 2, True, [("scores", 1)], sub_batches, shares)
    contexts = [workload.context.row(i) for i in range(workload.num_queries)]

    def answer(number: int) -> object:
        query = number % len(contexts)
        context, rows = contexts[query], workload.candidates[query]
        return cascade.run(
            context.categorical, context.dense, [], rows.size, None, rows, [], None, rows.size
        )

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each model's tables")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round-s", type=float, default=0.05)
    chosen = parser.parse_args()
    shapes = {shape.name: shape for shape in SHAPES}
    models = [
        build_model(shapes[name], num_rows=chosen.rows, seed=0) for name in ("RM_small", "RM_large")
    ]
    items = catalogue_items(models[0], chosen.items, 0)
    workload = catalogue_workload(models[0], items, Draw(num_candidates=SIZES[0]))
    for records in (True, False):
        calls: dict[str, Callable[[int], object]] = {}
        for threads in (1, 2):
            pair = [
                machine(model, items, size, threads, records)
                for model, size in zip(models, SIZES, strict=False)
            ]
            calls[f"{threads} cores, not cut"] = cascade_call(pair, workload, 1, False)
            for count, shares in product(COUNTS, (False, True)):
                if threads > 1:
                    name = f"{count} sub-batches, {'share' if shares else 'all'}"
                    calls[name] = cascade_call(pair, workload, count, shares)
        found = interleave(calls, num_rounds=chosen.rounds, round_s=chosen.round_s, seed=0)
        print("compiled catalogue" if records else "hoisted")
        for name, timing in found.timings.items():
            rounds = 1e6 * np.asarray(timing.rounds_s)
            ends = f"{rounds.min():.1f} to {rounds.max():.1f}"
            print(f"  {name:22} {np.median(rounds):8.1f} us  ({ends})")


if __name__ == "__main__":
    main()
