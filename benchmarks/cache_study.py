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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recfunnel.core.seeds import rng_for
from recfunnel.hardware.caches.base import CachePolicySpec, count_hits
from recfunnel.hardware.caches.fifo import Fifo
from recfunnel.hardware.caches.lru import Lru, lru_hits
from recfunnel.hardware.caches.static import Static
from recfunnel.hardware.caches.trace import RowTrace, row_trace
from recfunnel.workload.lookups import ZipfLookups

PUBLISHED_SAMPLES = 12_800_000
TABLE_ROWS = (10_131_227, 8_351_593, 7_046_547, 5_461_306, 2_202_608)
NUM_COPIES = 4
EXPONENT, SHIFT = 1.08, 3.0

FILTER_RATIOS = (1 / 4, 1 / 5, 1 / 8, 1 / 10, 1 / 16)
SIZES_MB = (1, 2, 4, 6, 8, 12, 16)
SHARES = (
    *(0.0, 0.01, 0.03, 0.05, 0.07, 0.09, 0.1, 0.2, 0.3, 0.4, 0.5),
    *(0.6, 0.7, 0.8, 0.9, 0.91, 0.93, 0.95, 0.97, 0.99, 1.0),
)
LINES_PER_MB = 8192  # of 128 bytes, one row a line
VECTOR_BYTES = (16, 128)  # of the front stage's model and of the back stage's
MISS_CYCLES = 100  # a hit takes one

PUBLISHED_FILE = Path(__file__).parent / "data" / "recpipe_cache_study.csv"
"""The authors' logged results, FIFO, brought to the columns of ours."""


@dataclass(frozen=True, slots=True)
class Point:
    """One division of the SRAM; lines of the front and of the back stage."""

    filter_ratio: float
    size_mb: int
    share: float

    @property
    def lines(self) -> tuple[int, int]:
        """Of the front and of the back stage."""
        total = self.size_mb * LINES_PER_MB
        return int(total * self.share), int(total * (1 - self.share))


HitRates = dict[tuple[float, int], float]
"""(share of the trace, lines) -> hit rate."""


def points() -> Iterator[Point]:
    for ratio in FILTER_RATIOS:
        for size in SIZES_MB:
            yield from (Point(ratio, size, share) for share in SHARES)


def all_lines() -> np.ndarray:
    lines = {lines for point in points() for lines in point.lines}
    return np.array(sorted(lines - {0}))


def draw_trace(num_samples: int, num_threads: int) -> RowTrace:
    """Samples' lookups in 20 tables, side by side, in one address space."""
    addresses = np.empty((num_samples, len(TABLE_ROWS), NUM_COPIES), np.uint32)

    def draw(table: int) -> None:
        lookups = ZipfLookups(num_rows=TABLE_ROWS[table], exponent=EXPONENT, shift=SHIFT)
        ids = lookups.ids(num_samples * NUM_COPIES, rng_for(1, "cache study", table))
        firsts = NUM_COPIES * sum(TABLE_ROWS[:table]) + np.arange(NUM_COPIES) * TABLE_ROWS[table]
        addresses[:, table] = ids.reshape(num_samples, NUM_COPIES) + firsts.astype(np.uint32)

    with ThreadPoolExecutor(num_threads) as pool:
        list(pool.map(draw, range(len(TABLE_ROWS))))
    return row_trace(addresses.reshape(-1))


def part(trace: RowTrace, ratio: float) -> np.ndarray:
    """The first lookups, as many as a stage behind a filter sees."""
    return trace.rows[: round(trace.rows.size * ratio)]


def twice(trace: RowTrace, ratio: float) -> RowTrace:
    """A part of the trace, played once before it counts."""
    rows = part(trace, ratio)
    return RowTrace(np.concatenate([rows, rows]), trace.num_rows, rows.size)


def halves(trace: RowTrace, ratio: float) -> RowTrace:
    rows = part(trace, ratio)
    return RowTrace(rows, trace.num_rows, rows.size // 2)


def play(policy: CachePolicySpec, trace: RowTrace, num_threads: int) -> HitRates:
    """Hit rates of every size on every part of the trace."""
    prepare = halves if isinstance(policy, Static) else twice

    def play_part(ratio: float) -> HitRates:
        counts = count_hits(policy, prepare(trace, ratio), all_lines())
        pairs = zip(counts.capacities.tolist(), counts.hit_rates.tolist(), strict=True)
        return {(ratio, size): rate for size, rate in pairs}

    rates: HitRates = {}
    with ThreadPoolExecutor(num_threads) as pool:
        for found in pool.map(play_part, (1.0, *FILTER_RATIOS)):
            rates |= found
    return rates


def row_of(point: Point, rates: HitRates) -> dict[str, float]:
    """Hit rates in percent and mean access time of one point, as the published study has them."""
    shares, bytes_read = (1.0, point.filter_ratio), np.array(VECTOR_BYTES) * (1, point.filter_ratio)
    hit = np.array([rates.get(key, 0.0) for key in zip(shares, point.lines, strict=True)])
    byte_hit = float((hit * bytes_read).sum() / bytes_read.sum())
    return {
        "filter_ratio": point.filter_ratio,
        "size_mb": point.size_mb,
        "front_share": point.share,
        "front_lines": point.lines[0],
        "back_lines": point.lines[1],
        "front_hit_percent": 100 * hit[0],
        "back_hit_percent": 100 * hit[1],
        "hit_percent": 100 * float((hit * shares).sum() / sum(shares)),
        "byte_hit_percent": 100 * byte_hit,
        "mean_cycles": byte_hit + MISS_CYCLES * (1 - byte_hit),
    }


def check_alone(trace: RowTrace, fifo: HitRates, lru: HitRates) -> None:
    """Sizes played alone on the smallest part have the very hit rates of the shared passes."""
    ratio = FILTER_RATIOS[-1]
    played = twice(trace, ratio)
    for size in all_lines()[[0, 40, -1]].tolist():
        alone = int(count_hits(Fifo(), played, [size]).hits[0]) / played.num_counted
        assert alone == fifo[ratio, size], size
        assert lru_hits(played, size) / played.num_counted == lru[ratio, size], size


def published() -> list[dict[str, float]]:
    with PUBLISHED_FILE.open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


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
    for name, policy in {"fifo": Fifo(), "lru": Lru(), "static": Static()}.items():
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
