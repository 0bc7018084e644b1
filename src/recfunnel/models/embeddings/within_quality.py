"""The choice of a representation for each feature that loses least quality in so many bytes.

Quality of each is measured, one feature at a time (`recfunnel.study.compact` does that); here
measured changes are added up, which is an assumption, and the best sum is found exactly.

Letters: F features.
"""

from collections.abc import Mapping, Sequence

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value


class Option(Value, frozen=True):
    """One representation a feature could have.

    Args:
        size_bytes: that it takes.
        quality: measured with it, less that of the model it is held against; higher is better.
    """

    size_bytes: int
    quality: float


class _Partial(Value, frozen=True):
    """A choice for the features looked at so far."""

    size_bytes: int
    quality: float
    chosen: tuple[int, ...]


def best_within_bytes(options: Mapping[str, Sequence[Option]], max_bytes: int) -> dict[str, int]:
    """Choose one option for each feature: the greatest sum of quality that fits.

    Exact: feature by feature, every choice is kept that no other one so far equals in quality with
    no more bytes (Nemhauser and Ullmann, 1969). Among equals the one of fewest bytes wins.

    Args:
        options: of each of F features by name.
        max_bytes: of all features together.

    Returns:
        The place of each feature's option.

    Raises:
        StudyError: a feature has no option, a quality is not finite, or not even the smallest
            options fit.
    """
    _check(options, max_bytes)
    best = [_Partial(size_bytes=0, quality=0.0, chosen=())]
    for own in options.values():
        grown = [
            _Partial(
                size_bytes=before.size_bytes + option.size_bytes,
                quality=before.quality + option.quality,
                chosen=(*before.chosen, place),
            )
            for before in best
            for place, option in enumerate(own)
        ]
        best = _undominated([one for one in grown if one.size_bytes <= max_bytes])
    return dict(zip(options, best[-1].chosen, strict=True))


def _undominated(partial: list[_Partial]) -> list[_Partial]:
    """By rising bytes, each better than all smaller ones."""
    kept: list[_Partial] = []
    for one in sorted(partial, key=lambda p: (p.size_bytes, -p.quality)):
        if not kept or one.quality > kept[-1].quality:
            kept.append(one)
    return kept


def _check(options: Mapping[str, Sequence[Option]], max_bytes: int) -> None:
    for name, own in options.items():
        if not own:
            raise StudyError(f"feature {name!r} has no representation to choose; give at least one")
        for option in own:
            if not abs(option.quality) < float("inf"):
                raise StudyError(
                    f"the quality of feature {name!r} is {option.quality}; it must be a number"
                )
    least = sum(min(option.size_bytes for option in own) for own in options.values())
    if least > max_bytes:
        raise StudyError(
            f"the representations of {len(options)} features take {least:,} bytes at least, "
            f"{max_bytes:,} are allowed; make the compact one smaller, or leave features out"
        )
