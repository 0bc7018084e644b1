"""What is to be profiled, and where the answers lie."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Pipeline, stage_scorers
from recfunnel.core.spec import Value

HAND_OVER = "hand_over"
"""Name of the entry for what every query costs a station besides its stages: taking it, looking it
up, noting the answer."""

WAKE_UP = "wake_up"
"""Name of the entry for the delay of a query that finds its server at rest."""


METHOD = 2
"""Raised when the times of profiles come to mean something else: stored ones are measured anew."""


class Pace(Value, frozen=True):
    """How busy servers are while they are timed.

    A server that rested finds its caches cold and its neighbours quiet, so the same call takes
    another time at another load.

    Args:
        suffix: of the names of profiles taken at this pace.
        idle_ratio: mean pause after a few calls, in times they took.
    """

    suffix: str
    idle_ratio: float

    @property
    def utilisation(self) -> float:
        """Share of the time a server works."""
        return 1 / (1 + self.idle_ratio)

    def name(self, model: str) -> str:
        """Name of a model's profile at this pace."""
        return model + self.suffix


BUSY = Pace(suffix="", idle_ratio=0.15)
"""Near saturation: what capacity is decided by, and what a profile means without further words."""

RESTED = Pace(suffix=" (rested)", idle_ratio=2.5)
"""At a low load."""


class ProfileRequest(Value, frozen=True):
    """What to time.

    Args:
        sizes: for each model, rising numbers of candidates; the first and last bound what may be
            asked of the profile later.
        runtimes: for each model, the runtimes it is timed on; a model that is left out is timed on
            the engine's first.
        num_threads: cores a call may use, each value profiled on its own.
        platform: name the profiles carry.
        repetitions: queries each model and size is timed with, at most.
        seconds: rough limit on the whole measurement, loading models left out.
        seed: of the sample and its order.
    """

    sizes: dict[str, tuple[int, ...]]
    runtimes: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - msgspec copies the default
    num_threads: tuple[int, ...] = (1,)
    platform: str = "cpu"
    repetitions: int = 200
    seconds: float = 90.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sizes or not self.num_threads:
            raise StudyError("a profile needs at least one model and one number of threads")
        for model, sizes in self.sizes.items():
            if not sizes or sizes[0] < 1 or any(a >= b for a, b in pairwise(sizes)):
                raise StudyError(f"profiled sizes of {model!r} are {sizes}; they must rise from 1")
        if self.repetitions < 1 or self.seconds <= 0:
            raise StudyError("a profile needs repetitions and seconds above 0")

    def models_on(self, runtime: str, first: str) -> tuple[str, ...]:
        """The models timed on a runtime.

        Args:
            runtime: its name.
            first: name of the engine's first runtime.
        """
        return tuple(m for m in self.sizes if runtime in self.runtimes.get(m, (first,)))

    @property
    def all_sizes(self) -> tuple[int, ...]:
        """Sizes of all models together, rising."""
        return tuple(sorted({size for sizes in self.sizes.values() for size in sizes}))


def sizes_of(
    pipelines: Sequence[Pipeline],
    score_inputs: Mapping[str, tuple[str, ...]],
    smallest_fraction: float = 1.0,
) -> dict[str, tuple[int, ...]]:
    """The sizes at which pipelines call each model: what must be profiled to price them exactly.

    Args:
        pipelines: that will be priced.
        score_inputs: for each model, the models whose scores it reads.
        smallest_fraction: of the nominal candidates that a query may bring; below 1, a size for
            such queries is added to each model.

    Returns:
        Rising sizes of every model called.
    """
    sizes: dict[str, set[int]] = {}
    for pipeline in pipelines:
        fewest = max(1, int(smallest_fraction * pipeline.stages[0].num_in))
        for stage, calls in zip(
            pipeline.stages, stage_scorers(pipeline, score_inputs), strict=True
        ):
            for model in calls:
                found = sizes.setdefault(model, set())
                for size in (stage.num_in, min(fewest, stage.num_in)):
                    found.update({size, pipeline.run_length(size)})
    return {model: tuple(sorted(found)) for model, found in sizes.items()}
