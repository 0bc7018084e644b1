"""How many lookups a second one core plays through each cache policy.

Run: python benchmarks/cache_speed.py [--json] [--rounds 3] [--lookups 10000000]

One trace: independent lookups of a million rows by Zipf's law with exponent 0.9. Each policy plays
it through one cache of 50,000 rows, and through 16 of 100 to 131,072 rows together; a lookup of one
cache counts once. Seconds are those of the one thread that works, the best of the rounds, in which
policies take turns; compiling is left out.
"""

import argparse
import json
import time

import numpy as np

from recfunnel.core.seeds import rng_for
from recfunnel.hardware.caches.base import cache_policies, count_hits
from recfunnel.hardware.caches.trace import RowTrace, row_trace
from recfunnel.workload.lookups import ZipfLookups

POLICIES = ("lru", "fifo", "lfu", "s3fifo", "belady", "static")
ONE = np.array([50_000])
MANY = np.unique(np.geomspace(100, 131_072, 16).astype(np.int64))


def seconds(kind: str, trace: RowTrace, capacities: np.ndarray) -> float:
    policy = cache_policies.parse({"kind": kind})
    start = time.thread_time()
    count_hits(policy, trace, capacities)
    return time.thread_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lookups", type=int, default=10_000_000)
    arguments = parser.parse_args()
    lookups = ZipfLookups(num_rows=1_000_000, exponent=0.9)
    ids = lookups.ids(arguments.lookups, rng_for(1, "cache speed"))
    cold = row_trace(ids)
    warm = cold.warmed_up_by(cold.rows.size // 2)
    short = RowTrace(cold.rows[:10_000], cold.num_rows, 5_000)
    for kind in POLICIES:
        for capacities in (ONE, MANY):
            seconds(kind, short, capacities)
    best: dict[str, float] = {}
    for _ in range(arguments.rounds):
        for kind in POLICIES:
            for name, capacities in (("one", ONE), ("many", MANY)):
                spent = seconds(kind, warm if kind == "static" else cold, capacities)
                best[f"{kind} {name}"] = min(spent, best.get(f"{kind} {name}", np.inf))
    rates = {
        case: cold.rows.size * (MANY.size if case.endswith("many") else 1) / spent / 1e6
        for case, spent in best.items()
    }
    if arguments.json:
        print(json.dumps(rates))
        return
    print("million lookups a second and core: one cache; 16 caches together (a lookup of each)")
    for kind in POLICIES:
        print(f"  {kind:8} {rates[f'{kind} one']:6.0f} {rates[f'{kind} many']:8.0f}")


if __name__ == "__main__":
    main()
