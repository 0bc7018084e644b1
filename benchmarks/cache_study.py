"""RecPipe's study of its two caches (figure 10c) again: 735 divisions of SRAM, in minutes.

Run: python benchmarks/cache_study.py [--samples 12800000] [--threads 2] [--out runs/cache-study]

Two stages share 1 to 16 MB; the back stage sees a share of the items. The published study played
256 million lookups (12.8 million samples of Criteo's five largest tables, four copies each)
through two FIFO caches at each of 735 points, after the same trace as warm-up: "up to 6 hours",
180 core-hours and more at the rate of its simulator. Its trace was not published. This one has
tables of the same sizes whose lookups are independent draws; their law (Zipf-Mandelbrot, exponent
1.08, shift 3) is the one whose FIFO hit rates come nearest to the published ones.

Only 97 cache sizes are different. Each policy takes them all in one pass over a part of the trace:
FIFO side by side, LRU by stack distances, and static rows, which are chosen on the first half and
counted on the second, by sums. Some sizes are played alone as well and must agree. The default is a
sixteenth of the published length, where the largest caches hold a good part of what the back stage
sees; at full length every point's mean access time is within 0.34 cycles of the published one.
"""

import argparse
import csv
import json
import time
from pathlib import Path

from recfunnel.hardware.caches.base import count_hits
from recfunnel.hardware.caches.fifo import Fifo
from recfunnel.hardware.caches.lru import lru_hits
from recfunnel.hardware.caches.trace import RowTrace
from recfunnel.study.recpipe.cache_study import (
    FILTER_RATIOS,
    LINES_PER_MB,
    POLICIES,
    PUBLISHED_SAMPLES,
    SIZES_MB,
    HitRates,
    all_lines,
    draw_trace,
    play,
    points,
    published,
    row_of,
    twice,
)


def check_alone(trace: RowTrace, fifo: HitRates, lru: HitRates) -> None:
    """Sizes played alone on the smallest part have the very hit rates of the shared passes."""
    ratio = FILTER_RATIOS[-1]
    played = twice(trace, ratio)
    for size in all_lines()[[0, 40, -1]].tolist():
        alone = int(count_hits(Fifo(), played, [size]).hits[0]) / played.num_counted
        assert alone == fifo[ratio, size], size
        assert lru_hits(played, size) / played.num_counted == lru[ratio, size], size


def print_against_published(rates: dict[str, HitRates], rows: list[dict[str, float]]) -> None:
    """Hit rates of the front stage, and how far our FIFO is from the published one."""
    theirs = published()
    for ours, row in zip(rows, theirs, strict=True):
        assert all(ours[key] == row[key] for key in ("size_mb", "front_lines", "back_lines"))
    for key in ("byte_hit_percent", "mean_cycles"):
        apart = max(abs(ours[key] - row[key]) for ours, row in zip(rows, theirs, strict=True))
        print(f"{key}: FIFO is at most {apart:.2f} from the published at {len(rows)} points")
    print("lines   published FIFO   FIFO    LRU     static   (hit percent, simulated)")
    percents = {int(row["front_lines"]): row["front_hit_percent"] for row in theirs}
    for size in [819, *(LINES_PER_MB * mb for mb in SIZES_MB)]:
        ours = (100 * rates[name][1.0, size] for name in ("fifo", "lru", "static"))
        print(f"{size:6}  {percents[size]:14.2f}   " + "   ".join(f"{hit:5.2f}" for hit in ours))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=PUBLISHED_SAMPLES // 16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/cache-study"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    trace = draw_trace(arguments.samples, arguments.threads)
    seconds = {"trace": time.perf_counter() - begin}
    print(f"{trace.rows.size} lookups of {trace.num_rows} rows, drawn in {seconds['trace']:.0f} s")
    rates: dict[str, HitRates] = {}
    for name, policy in POLICIES.items():
        start = time.perf_counter()
        rates[name] = play(policy, trace, arguments.threads)
        seconds[name] = time.perf_counter() - start
        rows = [row_of(point, rates[name]) for point in points()]
        with (arguments.out / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        best = {
            f"1/{round(1 / ratio)} {size} MB": min(
                (row["mean_cycles"], row["front_share"])
                for row in rows
                if (row["filter_ratio"], row["size_mb"]) == (ratio, size)
            )
            for ratio in FILTER_RATIOS
            for size in SIZES_MB
        }
        print(f"{name}: {len(rows)} points, {all_lines().size} sizes in {seconds[name]:.1f} s")
        for case in ("1/8 4 MB", "1/8 12 MB", "1/16 12 MB"):
            print(f"  {case}: {best[case][0]:.1f} cycles with {best[case][1]:.2f} for the front")
    seconds["all"] = time.perf_counter() - begin
    start = time.perf_counter()
    check_alone(trace, rates["fifo"], rates["lru"])
    seconds["check"] = time.perf_counter() - start
    print_against_published(rates, [row_of(point, rates["fifo"]) for point in points()])
    seconds["all, of cores"] = time.process_time()
    print(json.dumps({name: round(spent, 1) for name, spent in seconds.items()}))


if __name__ == "__main__":
    main()
