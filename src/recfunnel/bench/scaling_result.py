"""What a measurement of scaling found, as values to store and to draw."""

from typing import Literal

from recfunnel.bench.results import Machine, Missing, Timing
from recfunnel.core.spec import Value

Axis = Literal["candidates", "catalogue", "tables", "features", "threads"]
AXES: tuple[Axis, ...] = ("candidates", "catalogue", "tables", "features", "threads")


class ScalingPoint(Value, frozen=True):
    """One back-end at one place of an axis.

    Args:
        axis: which.
        at: how many.
        name: of the back-end.
        num_candidates: of a query.
        timing: of its calls.
    """

    axis: Axis
    at: int
    name: str
    num_candidates: int
    timing: Timing

    @property
    def items_per_s(self) -> float:
        """Candidates scored a second, by the median."""
        return self.num_candidates / self.timing.median_s


class ScalingResult(Value, frozen=True):
    """All that was measured.

    Args:
        model: name of the shape.
        machine: where.
        caches: bytes of each cache one core sees.
        dim: length of the model's vectors.
        record_bytes: of an item's record in bfloat16.
        points: in the order of measuring.
        missing: libraries and points that were left out.
    """

    model: str
    machine: Machine
    caches: dict[str, int]
    dim: int
    record_bytes: int
    points: tuple[ScalingPoint, ...]
    missing: tuple[Missing, ...]
