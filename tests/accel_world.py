"""A small accelerator, two published networks, and designs drawn at random, for tests."""

import numpy as np
from msgspec.structs import replace

from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import POLICIES, Design, StageUse, columns_of
from recfunnel.hardware.accel.rows import RowRates
from recfunnel.hardware.accel.times import UnitTimes, unit_times
from recfunnel.hardware.accel.work import QueryWork, dlrm_work
from recfunnel.hardware.memory.dram import Dram

SMALL = dlrm_work((13, 64, 4), (64, 1), 26, 512)
LARGE = dlrm_work((13, 512, 256, 128, 64, 32), (96, 1), 26, 64)
TWO_STAGES = QueryWork(num_in=4096, stages=(SMALL, LARGE))
HALF = tuple(RowRates(num_tables=26, hit_rate=0.5) for _ in range(2))

PROTOTYPE = Chip(clock_hz=1e9, dram=Dram(efficiency=1.0, banks=256), lanes=4096)
"""32 GB/s that random bursts use in full, and dots that cost next to nothing."""


def use(rows: int = 64, **changes: object) -> StageUse:
    """Square sub-arrays with 4 MiB to read ahead into."""
    return replace(StageUse(rows=rows, cols=rows, ahead_bytes=4 << 20), **changes)


def design(*stages: StageUse, **changes: object) -> Design:
    """Two stages of one sub-array each, unless told otherwise."""
    return replace(Design(stages=stages or (use(), use())), **changes)


def times_of(
    *designs: Design,
    chip: Chip = PROTOTYPE,
    work: QueryWork = TWO_STAGES,
    demands: tuple[RowRates, ...] = HALF,
) -> UnitTimes:
    """Unit times of designs with the same number of sub-batches."""
    return unit_times(chip, work, columns_of(work, designs), demands)


def random_design(rng: np.random.Generator, num_stages: int = 2, **changes: object) -> Design:
    """Any sub-arrays, buffers from none to ample, any policy on the chip and any overlap."""
    stages = [
        StageUse(
            rows=int(rng.choice([16, 32, 64])),
            cols=int(rng.choice([16, 32, 64])),
            copies=int(rng.integers(1, 5)),
            ahead_bytes=int(rng.choice([0, 1 << 14, 1 << 17, 1 << 22])),
            policy=POLICIES[rng.integers(0, 3)],
            margin=float(rng.choice([1.0, 1.25, np.inf])),
            overshoot=float(rng.choice([1.0, 1.15])),
        )
        for _ in range(num_stages)
    ]
    whole = Design(
        stages=tuple(stages),
        sub_batches=int(rng.choice([1, 2, 3, 4, 8, 16])),
        weights_preloaded=bool(rng.integers(2)),
        look_ahead=bool(rng.integers(2)),
        pipelined=bool(rng.integers(2)),
        dram="partitioned" if rng.integers(2) else "shared",
    )
    return replace(whole, **changes)
