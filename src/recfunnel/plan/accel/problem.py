"""What an accelerator is to do, and within what."""

from collections.abc import Mapping
from dataclasses import dataclass

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import POLICIES, Policy
from recfunnel.hardware.accel.rows import RowDemand
from recfunnel.hardware.accel.work import QueryWork, StageWork

MIB = 2**20


@dataclass(frozen=True, eq=False, slots=True)
class AccelModel:
    """A model as a stage.

    Args:
        name: as in the score tables.
        work: of a stage of it; what it keeps is the pipeline's.
        demand: rows its sub-batches fetch.
    """

    name: str
    work: StageWork
    demand: RowDemand


class AccelPipeline(Value, frozen=True):
    """Models in order, and the candidates around them.

    Args:
        models: one a stage.
        kept: one more: candidates, each keep-count, answers.
    """

    models: tuple[str, ...]
    kept: tuple[int, ...]

    @property
    def name(self) -> str:
        """For people."""
        parts = zip(self.kept, self.models, strict=False)
        return " → ".join(f"{count} {model}" for count, model in parts) + f" → {self.kept[-1]}"

    def work(self, models: Mapping[str, AccelModel]) -> QueryWork:
        """What a query of it asks."""
        stages = [
            _keeping(models[name].work, kept)
            for name, kept in zip(self.models, self.kept[1:], strict=True)
        ]
        return QueryWork(num_in=self.kept[0], stages=tuple(stages))


def _keeping(work: StageWork, num_out: int) -> StageWork:
    return StageWork(
        shape=work.shape,
        num_tables=work.num_tables,
        vector_bytes=work.vector_bytes,
        num_out=num_out,
        num_dense=work.num_dense,
    )


class AccelSpace(Value, frozen=True):
    """Which designs are looked at.

    Args:
        max_stages: pipelines of 1 to so many, 3 at most.
        keep_counts: what a stage that is not the last may keep.
        array_sides: of square arrays.
        sub_array_sides: of the squares that they are cut into.
        sub_batches: that a query may be cut into.
        policies: of the filter behind each stage.
        row_sram_bytes: of embedding SRAM.
        weight_sram_bytes: of weight SRAM.
        static_eighths: of each stage's embedding SRAM, how many eighths hold its hottest rows; the
            rest is read ahead into.
        margin: of `running` thresholds.
    """

    max_stages: int = 2
    keep_counts: tuple[int, ...] = (128, 256, 512, 1024)
    array_sides: tuple[int, ...] = (64, 128)
    sub_array_sides: tuple[int, ...] = (16, 32, 64, 128)
    sub_batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    policies: tuple[Policy, ...] = ("quota", "running", "global", "host")
    row_sram_bytes: tuple[int, ...] = (4 * MIB, 16 * MIB)
    weight_sram_bytes: tuple[int, ...] = (4 * MIB,)
    static_eighths: tuple[int, ...] = (0, 4, 6, 8)
    margin: float = 1.25

    def __post_init__(self) -> None:
        if not 1 <= self.max_stages <= 3:
            raise StudyError(f"pipelines of up to {self.max_stages} stages; give 1 to 3")
        for what in ("array_sides", "sub_array_sides", "sub_batches", "policies", "row_sram_bytes"):
            values = getattr(self, what)
            if not values or len(set(values)) < len(values):
                raise StudyError(f"{what} {values} must name different values, at least one")
        for side in (*self.array_sides, *self.sub_array_sides):
            if side < 4 or side & (side - 1):
                raise StudyError(
                    f"an array of side {side}; arrays are cut into squares, so sides must be "
                    "powers of two of 4 or more"
                )
        if min(self.sub_array_sides) > max(self.array_sides):
            raise StudyError(
                f"sub-arrays of side {min(self.sub_array_sides)} and more do not fit an array of "
                f"side {max(self.array_sides)}"
            )
        if min(self.sub_batches) < 1 or not self.static_eighths:
            raise StudyError("sub_batches must be 1 or more, and static_eighths not empty")
        if not all(0 <= eighths <= 8 for eighths in self.static_eighths):
            raise StudyError(f"static_eighths {self.static_eighths} must be 0 to 8")


def policy_named(name: str) -> Policy:
    """A policy by its name.

    Raises:
        StudyError: there is none, with the known ones.
    """
    for policy in POLICIES:
        if policy == name:
            return policy
    raise StudyError(f"no filter policy {name!r}; known: {', '.join(POLICIES)}")


class AccelTarget(Value, frozen=True):
    """What a design has to hold; None is no bound.

    Args:
        rate_qps: load that p99 and energy are told at.
        max_area_mm2: of the chip.
        max_power_w: of the chip, at the activity of the published synthesis.
        max_p99_s: at the load.
        min_ndcg: of what is answered.
    """

    rate_qps: float = 1000.0
    max_area_mm2: float | None = None
    max_power_w: float | None = None
    max_p99_s: float | None = None
    min_ndcg: float | None = None

    def __post_init__(self) -> None:
        for what in ("rate_qps", "max_area_mm2", "max_power_w", "max_p99_s", "min_ndcg"):
            value = getattr(self, what)
            if value is not None and not 0 < value < float("inf"):
                raise StudyError(f"{what} is {value:g}, must be above 0 and finite")


@dataclass(frozen=True, eq=False, slots=True)
class AccelProblem:
    """A search.

    Args:
        chip: what all designs have; array and memories are the space's.
        models: by name, cheapest first.
        num_in: candidates of a query.
        num_answers: that it gets.
    """

    chip: Chip
    models: Mapping[str, AccelModel]
    num_in: int
    num_answers: int
