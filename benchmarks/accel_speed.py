"""How fast one core evaluates the simulated accelerator: layers, whole designs, queries under load.

Run: python benchmarks/accel_speed.py [--json] [--rounds 5]

Layers: cycles of products of random sizes, in one call. Designs: 2,000 of two stages, drawn at
random (sub-arrays, copies, buffers, policies, overlaps), from their columns to the latency of a
query: every unit's time of every sub-batch, then the recurrence. Queries: one design, 8 sub-batches
and two stages, at 80 % of what it can do; with warm-up, of one replication. Seconds are those of
the one thread that works, the best of the rounds; compiling is left out.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from recfunnel.core.arrays import IntArray
from recfunnel.core.seeds import rng_for
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import Design, DesignColumns, StageUse, columns_of
from recfunnel.hardware.accel.rows import RowRates
from recfunnel.hardware.accel.times import unit_times
from recfunnel.hardware.accel.work import QueryWork, dlrm_work
from recfunnel.hardware.systolic.cycles import gemm_cycles
from recfunnel.simulate.accel_load import AccelLoad, accel_load
from recfunnel.simulate.accel_query import query_latency_s
from recfunnel.workload.poisson import Poisson

NUM_LAYERS = 200_000
NUM_DESIGNS = 2_000
NUM_QUERIES = 20_000
SUB_BATCHES = (1, 4, 8, 16)

WORK = QueryWork(
    num_in=4096,
    stages=(
        dlrm_work((13, 64, 4), (64, 1), 26, 512),
        dlrm_work((13, 512, 256, 128, 64, 32), (96, 1), 26, 64),
    ),
)
DEMANDS = tuple(RowRates(num_tables=26, hit_rate=0.5) for _ in WORK.stages)
CHIP = Chip()


def random_columns(sub_batches: int, rng: np.random.Generator) -> DesignColumns:
    shape = (NUM_DESIGNS, len(WORK.stages))

    def flags() -> np.ndarray:
        return rng.integers(0, 2, NUM_DESIGNS).astype(bool)

    return DesignColumns(
        kept=np.tile(np.array(WORK.kept), (NUM_DESIGNS, 1)),
        rows=rng.choice([16, 32, 64], shape),
        cols=rng.choice([16, 32, 64], shape),
        copies=rng.integers(1, 9, shape),
        static_bytes=np.zeros(shape, np.int64),
        ahead_bytes=rng.choice([0, 1 << 17, 1 << 20, 1 << 22], shape),
        policy=rng.integers(0, 3, shape),
        margin=np.ones(shape),
        overshoot=np.full(shape, 1.08),
        group=np.tile(np.arange(shape[1]), (NUM_DESIGNS, 1)),
        sub_batches=sub_batches,
        weights_preloaded=flags(),
        look_ahead=flags(),
        pipelined=flags(),
        partitioned=flags(),
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def price(columns: DesignColumns) -> None:
    query_latency_s(unit_times(CHIP, WORK, columns, DEMANDS))


def one_design() -> AccelLoad:
    use = StageUse(rows=64, cols=64, copies=2, ahead_bytes=4 << 20)
    columns = columns_of(WORK, [Design(stages=(use, use), sub_batches=8)])
    times = unit_times(CHIP, WORK, columns, DEMANDS)
    return accel_load(times, Poisson(), num_queries=NUM_QUERIES, num_replications=1)


def layers(rng: np.random.Generator) -> tuple[IntArray, ...]:
    sizes = [rng.integers(1, 1025, NUM_LAYERS) for _ in range(3)]
    return *sizes, *(rng.choice([8, 16, 32, 64, 128], NUM_LAYERS) for _ in range(2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rng = rng_for(1, "accelerator speed")
    shapes, load = layers(rng), one_design()
    tables = {number: random_columns(number, rng) for number in SUB_BATCHES}
    rate_qps = 0.8 * load.saturated().mean
    cases: dict[str, tuple[int, Callable[[], object]]] = {
        "layers": (NUM_LAYERS, lambda: gemm_cycles(*shapes, overlap=True)),
        "queries under load": (NUM_QUERIES, lambda: load.run_one(0, rate_qps)),
    }
    for number, columns in tables.items():
        cases[f"designs, {number} sub-batches"] = (NUM_DESIGNS, lambda c=columns: price(c))
    for _, work in cases.values():
        work()
    best: dict[str, float] = {}
    for _ in range(arguments.rounds):
        for name, (_, work) in cases.items():
            best[name] = min(seconds(work), best.get(name, np.inf))
    rates = {name: cases[name][0] / spent for name, spent in best.items()}
    if arguments.json:
        print(json.dumps(rates))
        return
    for name, rate in rates.items():
        print(f"{name:24} {rate:12,.0f} a second")


if __name__ == "__main__":
    main()
