"""Options every verb shares, and how they become a study and a run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from recfunnel.core.errors import StudyError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What differs from run to run; everything else is in the study."""

    out: Annotated[Path | None, Parameter(alias="-o")] = None
    """Run folder; everything is kept there, and the same command goes on from it.
    Default: runs/NAME."""
    data: Path | None = None
    """Folder or file of the data set, for recipes that read one."""
    rate: float | None = None
    """Offered load to plan for, queries a second."""
    deadline_ms: float | None = None
    """Latency the quantile must not exceed, milliseconds."""
    quantile: float | None = None
    """Quantile of latency that is promised, such as 0.99."""
    objective: Literal["quality", "capacity"] | None = None
    """quality: best ranking inside the deadline at this load.
    capacity: most load at a ranking equal to the best."""
    seed: int | None = None
    """Seed of everything random."""
    set: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """Change any key of the study, such as --set space.max_stages=2. May be repeated."""
    json: Annotated[bool, Parameter(negative="")] = False
    """Print the result as JSON on standard output."""
    quiet: Annotated[bool, Parameter(alias="-q", negative="")] = False
    """No progress on standard error."""

    def changes(self) -> dict[str, Any]:
        """The flags given, as changes to a study's plain data.

        Raises:
            StudyError: a number is not above 0.
        """
        target: dict[str, Any] = {}
        if self.rate is not None:
            target["rate_qps"] = _positive("--rate", self.rate)
        if self.deadline_ms is not None:
            target["deadline_s"] = _positive("--deadline-ms", self.deadline_ms) / 1e3
        if self.quantile is not None:
            target["quantile"] = self.quantile
        if self.objective is not None:
            target["objective"] = self.objective
        changed: dict[str, Any] = {"target": target} if target else {}
        if self.seed is not None:
            changed["seed"] = self.seed
        return changed


def _positive(flag: str, value: float) -> float:
    if not value > 0:
        raise StudyError(f"{flag} is {value:g}, must be above 0")
    return value
