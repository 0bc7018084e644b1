"""Speed of each native kernel on one core, for each instruction set this processor runs.

    python benchmarks/native_kernels.py [SET ...]

Shapes of RecPipe's ranking models, blocks of 48 candidates and single ones; operands in the first
two cache levels. Best of five timings: others on the machine can only make one longer. The roof is
numpy's float32 matrix product on one core, twice that for bfloat16 and four times for int8 where
the set has instructions for them.
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from recfunnel.core.arrays import FloatArray
from recfunnel.hardware.peaks import compute_flops_per_s
from recfunnel.runtime._native import kernels

NUM_TIMINGS = 5
SECONDS_PER_TIMING = 0.004
LANES = 48
PRECISIONS = {"float32": 1, "bfloat16": 2, "int8": 4}
VALUE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
rng = np.random.default_rng(0)


def main() -> None:
    roof = compute_flops_per_s(1, 0.5)
    print(f"numpy's float32 product: {roof / 1e9:.0f} GFLOP/s")
    for isa in sys.argv[1:] or kernels.available():
        print(f"\n{isa}")
        linear_layers(isa, roof)
        dots(isa, roof)
        query_matrices(isa, roof)
        rows(isa)


def linear_layers(isa: str, roof: float) -> None:
    for lanes in (LANES, 16, 1):
        for num_inputs, num_outputs in ((355, 64), (512, 256), (40, 64), (13, 64), (64, 1)):
            for precision, speedup in PRECISIONS.items():
                weight, x = normal(num_outputs, num_inputs), normal(num_inputs, lanes)
                packed = kernels.pack(isa, weight, precision)
                call_s = seconds(
                    lambda repeat, x=x, packed=packed, n=num_outputs, p=precision: kernels.linear(
                        isa, packed, n, p, x, repeat=repeat
                    )
                )
                flops = 2 * num_inputs * num_outputs * lanes
                of_roof = roof * (speedup if isa == "avx512_bf16" else 1)
                name = f"linear {num_inputs} to {num_outputs}, lanes {lanes}, {precision}"
                extra = f"{packed.nbytes / call_s / 1e9:6.0f} GB/s" if lanes == 1 else ""
                print_speed(name, call_s, flops, of_roof, extra)


def dots(isa: str, roof: float) -> None:
    for dim in (4, 16, 32):
        for lanes in (LANES, 1):
            x, y = normal(27 * dim, lanes), normal(17 * dim, 1)
            call_s = seconds(lambda repeat, x=x, d=dim: kernels.pair_dots(isa, x, d, repeat=repeat))
            print_speed(f"pair_dots 27 x {dim}, lanes {lanes}", call_s, 27 * 26 * dim * lanes, roof)
            part = np.ascontiguousarray(x[: 10 * dim])
            call_s = seconds(
                lambda repeat, x=part, y=y, d=dim: kernels.cross_dots(isa, x, y, d, repeat=repeat)
            )
            name = f"cross_dots 10 and 17 x {dim}, lanes {lanes}"
            print_speed(name, call_s, 2 * 10 * 17 * dim * lanes, roof)


def query_matrices(isa: str, roof: float) -> None:
    for num_outputs, dim in ((64, 4), (64, 16), (96, 32)):
        for precision in PRECISIONS:
            weight, y = normal(num_outputs, 10 * 17), normal(17, dim)
            call_s = seconds(
                lambda repeat, w=weight, y=y, p=precision: kernels.build_cross(
                    isa, w, y, p, repeat=repeat
                )
            )
            flops = 2 * num_outputs * 10 * 17 * dim
            print_speed(f"build_cross {num_outputs} x 10 x {dim}, {precision}", call_s, flops, roof)


def rows(isa: str) -> None:
    num_rows = 200
    for storage, value_bytes in VALUE_BYTES.items():
        for dim in (4, 16, 32):
            row_bytes = dim * value_bytes + (4 if storage == "int8" else 0)
            table = np.zeros((num_rows, row_bytes), np.uint8)
            chosen, weights = rng.integers(0, num_rows, LANES), normal(LANES)
            gather_s = seconds(
                lambda repeat, t=table, d=dim, s=storage, c=chosen: kernels.gather(
                    isa, t, d, s, c, repeat=repeat
                )
            )
            pool_s = seconds(
                lambda repeat, t=table, d=dim, s=storage, c=chosen, w=weights: kernels.pool(
                    isa, t, d, s, c, w, repeat=repeat
                )
            )
            print(
                f"  rows of {dim} {storage}".ljust(44),
                f"gather {gather_s / LANES * 1e9:5.2f} ns a row,",
                f"pool {pool_s / LANES * 1e9:5.2f} ns a row",
            )


def normal(*shape: int) -> FloatArray:
    return rng.standard_normal(shape).astype(np.float32)


def seconds(call: Callable[[int], object]) -> float:
    """Seconds a call, without what it takes to come from Python: the best of some timings."""
    start = time.perf_counter()
    call(100)
    repeat = 1 + int(100 * SECONDS_PER_TIMING / (time.perf_counter() - start))
    timings = []
    for _ in range(NUM_TIMINGS):
        start = time.perf_counter()
        call(repeat)
        timings.append(time.perf_counter() - start)
    return min(timings) / repeat


def print_speed(name: str, call_s: float, flops: float, roof: float, extra: str = "") -> None:
    rate = flops / call_s
    print(
        f"  {name}".ljust(44),
        f"{call_s * 1e6:8.2f} us {rate / 1e9:7.1f} GFLOP/s {rate / roof:5.0%} of roof {extra}",
    )


if __name__ == "__main__":
    main()
