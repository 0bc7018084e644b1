"""What RecPipe's authors published or logged of their accelerator figures.

Facts from their public logs and figures (github.com/harvard-acc/RecPipe): `figure12.csv` and
`figure13.csv` have a line for every run of their emulation. Its p95 is over 10,000 queries of one
run. `cache_study.csv` has their study of caches.
"""

import csv
import functools
from dataclasses import dataclass
from importlib.resources import files

GAPS_MS = (0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 10.0)
"""Mean gaps between queries in figure 12."""

NUM_QUERIES = 10_000
EMULATED_HOURS = 4 + 11 / 60
"""Wall time of figure 12 in the authors' logs."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One run of the authors' emulation.

    Args:
        items: each stage reads.
        fission: of each stage.
        gap_ms: mean gap between queries that was set.
        achieved_qps: queries over the run's time.
        mean_s: mean latency.
        p95_s: 95th percentile of the latency.
    """

    items: tuple[int, ...]
    fission: tuple[int, ...]
    gap_ms: float
    achieved_qps: float
    mean_s: float
    p95_s: float

    @property
    def rate_qps(self) -> float:
        """That was set."""
        return 1000 / self.gap_ms

    @property
    def saturated(self) -> bool:
        """Whether fewer than 85 % of the queries that were set were answered, or seconds late."""
        return self.achieved_qps < 0.85 * self.rate_qps or self.p95_s > 0.1


@functools.cache
def logged(figure: int) -> tuple[Logged, ...]:
    """Every logged run of figure 12 or 13."""
    return tuple(
        Logged(
            items=_whole(row["items"]),
            fission=_whole(row["fission"]),
            gap_ms=float(row["gap_ms"]),
            achieved_qps=float(row["achieved_qps"]),
            mean_s=float(row["mean_ms"]) / 1000,
            p95_s=float(row["p95_ms"]) / 1000,
        )
        for row in rows_of(f"figure{figure}.csv")
    )


def _whole(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("/")))


@functools.cache
def rows_of(name: str) -> tuple[dict[str, str], ...]:
    """A stored table of this package, every cell a string."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


NDCG_BY_ITEMS = {4096: 92.47, 6140: 93.96, 8192: 94.92, 10_240: 95.82, 12_288: 96.57}
"""NDCG@64 of RM_large alone by candidates, measured by the authors on a CPU; the pipelines' own was
never measured above 4096."""

OTHER_PLATFORMS_MS: dict[str, dict[str, tuple[float | None, ...]]] = {
    "low, 67 queries/s": {"CPU": (68.49, 40.78, 47.63), "GPU": (15.85, 17.78)},
    "medium, 400 queries/s": {"CPU": (88.39, 48.07, 63.80), "GPU": (None, None)},
    "high, 2000 queries/s": {"CPU": (None, None, None), "GPU": (None, None)},
}
"""Figure 14's best p95 by number of stages, from 1; None where none holds the load. Pipelines of
three stages never ran with a GPU. Those at 400 are of runs that were set to 500 queries/s or more
and answered 271 to 290."""

ACCELERATOR_MS: dict[str, tuple[float | None, ...]] = {
    "low, 67 queries/s": (2.50, 1.91, 2.17),
    "medium, 400 queries/s": (13.95, 2.88, 3.41),
    "high, 2000 queries/s": (None, 6.33, 6.32),
}

SYSTOLIC_CYCLES: dict[str, dict[int, tuple[int | None, float | None]]] = {
    "S": {128: (17_015, 0.126), 64: (21_175, 0.396), 32: (54_273, 0.607), 16: (165_596, 0.788)},
    "M": {128: (30_155, 0.263), 64: (42_635, 0.725), 32: (138_153, 0.876), 16: (497_196, 0.963)},
    "L": {128: (93_122, 0.771), 64: (None, None), 32: (1_098_011, 0.983), 16: (None, None)},
}
"""Figure 10a: cycles and utilisation by the SCALE-Sim (version 1) that the artifact carries,
weights staying, 4096 items; None where the run was not finished."""
