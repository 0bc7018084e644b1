"""RecPipe's published grids as numbers: service times, engines, loads, and what to expect of them.

Figures only, from the authors' public logs and constants (github.com/harvard-acc/RecPipe). S, M and
L are its small, medium and large Criteo models. All service times are constants.

`data/recpipe_stage_times.csv` holds, for each of the 134 CPU/GPU configurations in the logs of its
figures 7 and 8, the mean time of each stage at the lowest load (67 queries/s nominal) and NDCG@64.
"""

import csv
import itertools
from dataclasses import dataclass
from pathlib import Path

from recfunnel.hardware.artifact.mappings import mapping
from recfunnel.hardware.artifact.timing import service_times

CPU_GPU_FILE = Path(__file__).parent / "data" / "recpipe_stage_times.csv"

CPU_GPU_GAPS_MS = (0.5, 1, 1.5, 2, 3, 4, 5, 6, 7.5, 10, 12, 15)
ACCELERATOR_GAPS_MS = (0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 10)

NUM_CPU_CORES = 32
"""Engines of all CPU stages together; a GPU stage is one engine."""

ORIGINAL_HOURS = 10.9 + 4.2
"""Wall time in the authors' logs: figures 7 and 8 in 10 h 54 min, figure 12 in 4 h 11 min."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One pipeline on one mapping: the constant service time and the engines of each stage."""

    name: str
    service_s: tuple[float, ...]
    num_servers: tuple[int, ...]

    @property
    def capacity_qps(self) -> float:
        """The slowest stage's engines over its service time."""
        return min(c / s for c, s in zip(self.num_servers, self.service_s, strict=True))


def accelerator(*fission: int) -> Configuration:
    """Stages on engines of 1/fission size; the area is split equally among the stages."""
    return _on_accelerator(f"{len(fission)}-stage {list(fission)}", fission)


def host_sort() -> Configuration:
    """The baseline accelerator, whose candidates are sorted on the host."""
    return _on_accelerator("baseline + host sort", (1,), host_sort=True)


def _on_accelerator(
    name: str, fission: tuple[int, ...], *, host_sort: bool = False
) -> Configuration:
    """By the published timing model."""
    stages = mapping(fission)
    times = service_times(stages, host_sort=host_sort)
    return Configuration(
        name=name,
        service_s=tuple(time.total_s for time in times),
        num_servers=tuple(stage.num_engines for stage in stages),
    )


def accelerator_mappings() -> tuple[Configuration, ...]:
    """The 37 mappings of figure 12, the 3 fissioned single stages, and the baseline."""
    several = [
        accelerator(*fission)
        for num_stages in (2, 3)
        for fission in itertools.product((4, 16, 64), repeat=num_stages)
    ]
    return (host_sort(), *(accelerator(f) for f in (1, 4, 16, 64)), *several)


def cpu_gpu_configurations() -> tuple[Configuration, ...]:
    """The 134 configurations of figures 7 and 8: models, items and a platform for each stage."""
    with CPU_GPU_FILE.open(newline="") as lines:
        return tuple(_configuration(row) for row in csv.DictReader(lines))


def _configuration(row: dict[str, str]) -> Configuration:
    platforms = row["platforms"].split("/")
    cpu_engines = NUM_CPU_CORES // max(1, platforms.count("C"))
    return Configuration(
        name=f"{row['models']} {row['items']} on {row['platforms']}",
        service_s=tuple(float(ms) / 1000 for ms in row["stage_ms"].split("/")),
        num_servers=tuple(cpu_engines if p == "C" else 1 for p in platforms),
    )


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an independent exact simulation gives: one run of 20,000 queries, exponential arrivals.

    `p99_ms` and `p95_ms` are None where that run was unstable.
    """

    rate_qps: int
    configuration: Configuration
    p99_ms: float | None
    p95_ms: float | None


_RATES_QPS = (100, 200, 333, 400, 500, 1000, 2000, 2500)

_BASELINE = ((6.60, 4.82), (10.40, 7.33), (31.6, 21.5), None, None)
_MONOLITH = ((5.17, 3.92), (7.59, 5.45), (15.3, 10.6), (28.3, 19.2), None)
_FISSIONED = (
    ((4.68, 4.68), (5.20, 4.68), (7.02, 5.35), (7.68, 6.15)),
    ((8.86, 7.23), (24.6, 20.5), None),
)
_TWO_STAGES = (
    ((1.39, 1.39), (1.48, 1.39), (1.79, 1.39), (1.88, 1.39)),
    ((1.96, 1.55), (2.39, 2.00), (3.98, 3.55), (4.92, 4.17)),
)
_THREE_STAGES = (
    ((1.71, 1.28), (1.78, 1.57), (2.01, 1.71), (2.10, 1.75)),
    ((2.25, 1.80), (2.84, 2.84), (3.39, 3.05), (3.64, 3.30)),
)


def expectations() -> tuple[Expectation, ...]:
    """The table, column by column; each cell names the configuration that was best by p99."""
    by_4, by_16 = accelerator(4), accelerator(16)
    two, two_wide = accelerator(4, 4), accelerator(4, 16)
    three, three_wide = accelerator(4, 4, 4), accelerator(16, 16, 16)
    columns = (
        ((host_sort(),) * 5, _BASELINE),
        ((accelerator(1),) * 5, _MONOLITH),
        ((by_4,) * 5 + (by_16,) * 2, itertools.chain(*_FISSIONED)),
        ((two,) * 6 + (two_wide,) * 2, itertools.chain(*_TWO_STAGES)),
        ((three,) * 5 + (three_wide,) * 3, itertools.chain(*_THREE_STAGES)),
    )
    return tuple(
        Expectation(rate_qps, configuration, *(cell or (None, None)))
        for configurations, cells in columns
        for rate_qps, configuration, cell in zip(_RATES_QPS, configurations, cells, strict=False)
    )


def rivals(configuration: Configuration) -> tuple[Configuration, ...]:
    """The mappings a cell's configuration was best of: as many stages, fissioned as well."""
    if configuration.num_servers == (1,):
        return (configuration,)
    num_stages = len(configuration.service_s)
    return tuple(
        mapping
        for mapping in accelerator_mappings()
        if len(mapping.service_s) == num_stages and mapping.num_servers != (1,)
    )


PUBLISHED_CAPACITY_QPS = {
    host_sort(): 403,
    accelerator(1): 478,
    accelerator(4): 854,
    accelerator(16): 1169,
    accelerator(64): 680,
    accelerator(4, 4): 2389,
    accelerator(4, 16): 3428,
    accelerator(16, 16): 3428,
    accelerator(16, 4): 2389,
    accelerator(4, 4, 4): 1795,
    accelerator(16, 4, 16): 3809,
}
