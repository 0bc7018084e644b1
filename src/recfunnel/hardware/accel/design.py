"""How an accelerator is used: its parts given to stages, and what may overlap with what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.accel.work import QueryWork
from recfunnel.hardware.memory.checks import CAPACITY, COUNT, check
from recfunnel.hardware.systolic.sharing import Sharing

Policy = Literal["quota", "running", "global", "host"]
"""How a stage's best candidates reach the next one. `quota`, `running` and `global` are those of
the filter on the chip; with `host` all scores go to the host, which sorts and sends back."""

POLICIES: tuple[Policy, ...] = ("quota", "running", "global", "host")

QUOTA, RUNNING, GLOBAL, HOST = range(4)


class StageUse(Value, frozen=True):
    """What one stage is given.

    Args:
        rows: of each of its sub-arrays.
        cols: of each.
        copies: sub-arrays, which take its sub-batches in turn.
        static_bytes: of embedding SRAM, for its hottest rows.
        ahead_bytes: of embedding SRAM, for rows read ahead; 0 reads none ahead.
        policy: how its best candidates reach the next stage.
        margin: of `running`, see `TopKFilter`.
        overshoot: candidates passed for each one wanted, since whole bins are passed.
        shares_with: an earlier stage, from 0, on whose sub-arrays this one works too.
    """

    rows: int
    cols: int
    copies: int = 1
    static_bytes: int = 0
    ahead_bytes: int = 0
    policy: Policy = "quota"
    margin: float = 1.0
    overshoot: float = 1.0
    shares_with: int | None = None

    def __post_init__(self) -> None:
        for thing, value in (("rows", self.rows), ("columns", self.cols), ("copies", self.copies)):
            check(f"{thing} of a stage's sub-array", value, COUNT)
        check("static cache", self.static_bytes, (0, CAPACITY[1], "bytes"))
        check("look-ahead buffer", self.ahead_bytes, (0, CAPACITY[1], "bytes"))
        check("candidates passed for each one wanted", self.overshoot, (1.0, 1e6, ""))
        if not self.margin > 0:
            raise StudyError(f"margin of a running threshold is {self.margin:g}, must be above 0")


class Design(Value, frozen=True):
    """How all stages share a chip.

    Args:
        stages: one each.
        sub_batches: B, runs of equal length that a query's candidates are cut into.
        weights_preloaded: a fold's weights are loaded behind the one before, and streamed weights
            of a stage behind the stage before.
        look_ahead: rows are fetched as soon as their ids are known and the buffer has room; else
            only when a sub-array has nothing else to do.
        pipelined: a stage begins with the first sub-batch that the one before passes; else when
            that one has ended.
        dram: `shared` by all stages, or `partitioned` by their processing elements.
    """

    stages: tuple[StageUse, ...]
    sub_batches: int = 1
    weights_preloaded: bool = True
    look_ahead: bool = True
    pipelined: bool = True
    dram: Sharing = "shared"

    def __post_init__(self) -> None:
        if not self.stages:
            raise StudyError("a design without stages; give one use of the chip a stage")
        check("sub-batches", self.sub_batches, COUNT)
        for number, stage in enumerate(self.stages):
            with_stage = stage.shares_with
            if with_stage is None:
                continue
            if not 0 <= with_stage < number or self.stages[with_stage].shares_with is not None:
                raise StudyError(
                    f"stage {number} shares the sub-arrays of stage {with_stage}; it must be an "
                    "earlier one, counted from 0, that has its own"
                )
            other = self.stages[with_stage]
            if (stage.rows, stage.cols, stage.copies) != (other.rows, other.cols, other.copies):
                raise StudyError(
                    f"stage {number} shares the sub-arrays of stage {with_stage} but gives them "
                    "another shape or number; give both the same"
                )


@dataclass(frozen=True, eq=False, slots=True)
class DesignColumns:
    """D designs for the same S stages, all of B sub-batches, as columns.

    Args:
        kept: int64 (D, S + 1), candidates in front of each stage and wanted behind the last.
        rows: int64 (D, S), of a stage's sub-arrays.
        cols: int64 (D, S).
        copies: int64 (D, S).
        static_bytes: int64 (D, S).
        ahead_bytes: int64 (D, S).
        policy: int64 (D, S), place in `POLICIES`.
        margin: (D, S).
        overshoot: (D, S).
        group: int64 (D, S), the stage whose sub-arrays it works on, mostly itself.
        sub_batches: B.
        weights_preloaded: bool (D,).
        look_ahead: bool (D,).
        pipelined: bool (D,).
        partitioned: bool (D,), DRAM.
    """

    kept: IntArray
    rows: IntArray
    cols: IntArray
    copies: IntArray
    static_bytes: IntArray
    ahead_bytes: IntArray
    policy: IntArray
    margin: DoubleArray
    overshoot: DoubleArray
    group: IntArray
    sub_batches: int
    weights_preloaded: BoolArray
    look_ahead: BoolArray
    pipelined: BoolArray
    partitioned: BoolArray

    def __post_init__(self) -> None:
        shape = self.rows.shape
        for name in ("cols", "copies", "static_bytes", "ahead_bytes", "policy", "margin"):
            if getattr(self, name).shape != shape:
                raise StudyError(f"column {name!r} has shape {getattr(self, name).shape}, {shape}")
        if self.kept.shape != (shape[0], shape[1] + 1):
            raise StudyError(f"column 'kept' has shape {self.kept.shape} for designs of {shape}")

    @property
    def num_stages(self) -> int:
        """S."""
        return int(self.rows.shape[1])

    def __len__(self) -> int:
        return int(self.rows.shape[0])


def columns_of(work: QueryWork, designs: Sequence[Design]) -> DesignColumns:
    """Designs of the same work as columns.

    Args:
        work: what a query asks.
        designs: 1 or more, each with a use for every stage, all of one number of sub-batches.

    Returns:
        Their columns, in that order.

    Raises:
        StudyError: no design, stages missing or too many, or different numbers of sub-batches.
    """
    counts = sorted({each.sub_batches for each in designs})
    if len(counts) != 1:
        raise StudyError(f"designs of {counts} sub-batches in one table; give each its own")
    for each in designs:
        if len(each.stages) != len(work.stages):
            raise StudyError(
                f"a design for {len(each.stages)} stages, the query has {len(work.stages)}"
            )

    def ints(name: str) -> IntArray:
        return np.array([[getattr(s, name) for s in each.stages] for each in designs], np.int64)

    def flags(name: str) -> BoolArray:
        return np.array([getattr(each, name) for each in designs], np.bool_)

    def doubles(name: str) -> DoubleArray:
        return np.array([[getattr(s, name) for s in each.stages] for each in designs], np.float64)

    return DesignColumns(
        kept=np.tile(np.array(work.kept, np.int64), (len(designs), 1)),
        rows=ints("rows"),
        cols=ints("cols"),
        copies=ints("copies"),
        static_bytes=ints("static_bytes"),
        ahead_bytes=ints("ahead_bytes"),
        policy=np.array([[POLICIES.index(s.policy) for s in d.stages] for d in designs], np.int64),
        margin=doubles("margin"),
        overshoot=doubles("overshoot"),
        group=np.array([_groups(each) for each in designs], np.int64),
        sub_batches=counts[0],
        weights_preloaded=flags("weights_preloaded"),
        look_ahead=flags("look_ahead"),
        pipelined=flags("pipelined"),
        partitioned=np.array([each.dram == "partitioned" for each in designs], np.bool_),
    )


def _groups(design: Design) -> list[int]:
    return [n if s.shares_with is None else s.shares_with for n, s in enumerate(design.stages)]
