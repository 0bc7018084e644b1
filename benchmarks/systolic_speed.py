"""Layers, networks and filtered scores that the accelerator's models price in a second of one core.

    python benchmarks/systolic_speed.py [--rounds 5]

A million random layers (cycles of the overlapped form, and words of SRAM), and a filter over a
million scores. Rates are medians of rounds with their range, in processor time, so that a busy
machine blurs them less.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from recfunnel.hardware.systolic.cycles import gemm_cycles
from recfunnel.hardware.systolic.traffic import sram_words

NUM_LAYERS = 10**6


def rate(work: Callable[[], object], amount: int, rounds: int) -> str:
    """Median and range of amounts a second of processor time."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        found.append(amount / (time.process_time() - began) / 1e6)
    return f"{np.median(found):8.1f} M/s ({min(found):.1f} to {max(found):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)
    shape = [rng.integers(1, most, NUM_LAYERS) for most in (4097, 513, 513, 129, 129)]
    for name, work in {
        "layers, cycles": lambda: gemm_cycles(*shape, overlap=True),
        "layers, SRAM words": lambda: sram_words(*shape),
    }.items():
        print(f"{name:24s}{rate(work, NUM_LAYERS, rounds)}")


if __name__ == "__main__":
    main()
