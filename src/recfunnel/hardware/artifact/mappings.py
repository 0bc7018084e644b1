"""The published pipelines and the ways they are laid over parts of the chip."""

import itertools
from collections.abc import Sequence

from recfunnel.core.errors import StudyError
from recfunnel.hardware.artifact.constants import CRITEO, engine
from recfunnel.hardware.artifact.timing import Stage

PIPELINES = {
    1: (("L", 4096),),
    2: (("S", 4096), ("L", 512)),
    3: (("S", 4096), ("M", 512), ("L", 128)),
}
"""By number of stages: networks and the items each reads."""


def mapping(fission: Sequence[int], items: Sequence[int] | None = None) -> tuple[Stage, ...]:
    """A published pipeline whose every stage has an equal part of the area.

    Args:
        fission: for each of 1 to 3 stages, the size of its engines: 1, 4, 16 or 64.
        items: each stage reads, instead of the pipeline's own.

    Returns:
        Its stages; floor(fission / stages) engines each.

    Raises:
        StudyError: no such pipeline or engine, or an engine larger than a stage's part.
    """
    if len(fission) not in PIPELINES:
        raise StudyError(f"{len(fission)} stages; the published pipelines have 1, 2 or 3")
    own = PIPELINES[len(fission)]
    counts = [count for _, count in own] if items is None else list(items)
    if len(counts) != len(own):
        raise StudyError(f"items of {len(counts)} stages for a pipeline of {len(own)}")
    for part in fission:
        if part < len(fission):
            raise StudyError(
                f"each of {len(fission)} stages has 1/{len(fission)} of the chip, less than an "
                f"engine of 1/{part}; give 4, 16 or 64"
            )
    return tuple(
        Stage(CRITEO[name], count, engine(part), part // len(fission))
        for (name, _), count, part in zip(own, counts, fission, strict=True)
    )


def all_mappings() -> tuple[tuple[int, ...], ...]:
    """The 37 of figure 12: 1 of one stage, 9 of two, 27 of three."""
    parts = (4, 16, 64)
    two, three = (itertools.product(parts, repeat=n) for n in (2, 3))
    return ((1,), *two, *three)


def mapping_name(fission: Sequence[int]) -> str:
    """Such as `2 stages [4, 16]`."""
    stages = "1 stage" if len(fission) == 1 else f"{len(fission)} stages"
    return f"{stages} {list(fission)}"
