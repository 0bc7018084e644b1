"""RecPipe's study of its two caches (figure 10c): 735 divisions of memory between two stages.

The published study played 256 million lookups (12.8 million samples of Criteo's five largest
tables, four copies each) through two caches at each point. Its trace was not published; this one
has tables of the same sizes whose lookups are independent draws, by the law (Zipf-Mandelbrot,
exponent 1.08, shift 3) whose FIFO hit rates come nearest to the published ones.

Faults of the published study that the FIFO here keeps, to be comparable: the cache called LRU is
FIFO; the back stage sees the first lookups of the front stage's trace instead of those of the items
that pass the filter; the trace that is counted is the one that filled the cache; every row has a
line of 128 bytes, also the front stage's of 16 bytes; every table is there four times.

Only 97 cache sizes are different. Each policy takes them all in one pass over a part of the trace:
FIFO side by side, LRU by stack distances, and static rows, chosen on the first half and counted on
the second, by sums.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.seeds import rng_for
from recfunnel.hardware.caches.base import CachePolicySpec, count_hits
from recfunnel.hardware.caches.fifo import Fifo
from recfunnel.hardware.caches.lru import Lru
from recfunnel.hardware.caches.static import Static
from recfunnel.hardware.caches.trace import Rows, RowTrace, row_trace
from recfunnel.report.recpipe import CachePoint
from recfunnel.study.recpipe.published import rows_of
from recfunnel.workload.lookups import ZipfLookups

PUBLISHED_SAMPLES = 12_800_000
TABLE_ROWS = (10_131_227, 8_351_593, 7_046_547, 5_461_306, 2_202_608)
NUM_COPIES = 4
LOOKUPS_PER_SAMPLE = len(TABLE_ROWS) * NUM_COPIES
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

POLICIES: dict[str, CachePolicySpec] = {"fifo": Fifo(), "lru": Lru(), "static": Static()}

HitRates = dict[tuple[float, int], float]
"""(share of the trace, lines) -> hit rate."""


@dataclass(frozen=True, slots=True)
class Point:
    """One division of the memory."""

    filter_ratio: float
    size_mb: int
    share: float

    @property
    def lines(self) -> tuple[int, int]:
        """Of the front and of the back stage."""
        total = self.size_mb * LINES_PER_MB
        return int(total * self.share), int(total * (1 - self.share))


def points() -> Iterator[Point]:
    """All 735, in the order of the published ones."""
    for ratio in FILTER_RATIOS:
        for size in SIZES_MB:
            yield from (Point(ratio, size, share) for share in SHARES)


def all_lines() -> IntArray:
    """Every size a cache has anywhere, rising."""
    lines = {lines for point in points() for lines in point.lines}
    return np.array(sorted(lines - {0}), np.int64)


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


def part(trace: RowTrace, ratio: float) -> Rows:
    """The first lookups, as many as a stage behind a filter sees."""
    return trace.rows[: round(trace.rows.size * ratio)]


def twice(trace: RowTrace, ratio: float) -> RowTrace:
    """A part of the trace, played once before it counts."""
    rows = part(trace, ratio)
    return RowTrace(np.concatenate([rows, rows]), trace.num_rows, rows.size)


def halves(trace: RowTrace, ratio: float) -> RowTrace:
    """A part of the trace whose first half is not counted."""
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


def published() -> list[dict[str, float]]:
    """The authors' logged results, brought to the columns of ours."""
    return [{key: float(value) for key, value in row.items()} for row in rows_of("cache_study.csv")]


def study_caches(
    num_samples: int = PUBLISHED_SAMPLES // 16,
    num_threads: int = 2,
    progress: Progress = SILENT,
) -> tuple[CachePoint, ...]:
    """All points with every policy, beside the published ones.

    Args:
        num_samples: of 20 lookups each; short traces favour large caches, and the published one had
            12.8 million.
        num_threads: at work.
        progress: told about policies.

    Returns:
        In the order of the published ones.

    Raises:
        StudyError: fewer than 1,000 samples.
    """
    if num_samples < 1000:
        raise StudyError(f"a trace of {num_samples} samples; give 1,000 or more")
    trace = draw_trace(num_samples, num_threads)
    rates = {
        name: play(POLICIES[name], trace, num_threads)
        for name in progress.track(list(POLICIES), "policies of caches")
    }
    return tuple(
        CachePoint(
            filter_ratio=point.filter_ratio,
            size_mb=point.size_mb,
            front_share=point.share,
            published_cycles=logged["mean_cycles"],
            fifo_cycles=row_of(point, rates["fifo"])["mean_cycles"],
            lru_cycles=row_of(point, rates["lru"])["mean_cycles"],
            static_cycles=row_of(point, rates["static"])["mean_cycles"],
        )
        for point, logged in zip(points(), published(), strict=True)
    )
