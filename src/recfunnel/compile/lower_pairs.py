"""Which buffers of a block are kept as bfloat16: those whose every reader rounds them anyway.

They are rounded once, when they are written, and are half as long.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from recfunnel.compile.lower_tiles import Place
from recfunnel.compile.program import CopyTile, DotsAcross, DotsOfPairs, Layer, LookupRow

Fields = Mapping[str, Any]


def buffers_of_pairs(
    steps: Sequence[tuple[Any, Fields]],
    widths: Sequence[int],
    result: Place,
    bfloat16_dots: Collection[Place],
) -> set[int]:
    """Buffers whose numbers may lie in pairs of bfloat16.

    Every step that writes or reads such a buffer can do so in pairs, and meets whole pairs.

    Args:
        steps: of the block, as `Buffers` keeps them.
        widths: of all buffers.
        result: of the program, which stays float32.
        bfloat16_dots: results of dots that may read their vectors in bfloat16.
    """
    found = _used(steps)
    found.discard(result.buffer)
    for step, fields in steps:
        takes = _takes_pairs(step, fields, bfloat16_dots)
        for name, place in _places(fields):
            if name not in takes or not _is_whole(place, widths):
                found.discard(place.buffer)
    return _agreed(found, steps)


def _places(fields: Fields) -> Iterable[tuple[str, Place]]:
    return [(n, p) for n, p in fields.items() if isinstance(p, Place) and p.per_block]


def _used(steps: Iterable[tuple[Any, Fields]]) -> set[int]:
    return {place.buffer for _, fields in steps for _, place in _places(fields)}


def _is_whole(place: Place, widths: Sequence[int]) -> bool:
    """Whether rows begin with a pair and end with one, or with the buffer."""
    stop = place.start + place.width
    return place.start % 2 == 0 and (stop % 2 == 0 or stop == widths[place.buffer])


def _takes_pairs(step: Any, fields: Fields, bfloat16_dots: Collection[Place]) -> tuple[str, ...]:
    """Fields of a step that may be pairs."""
    if step is LookupRow:
        return ("out",)
    if step is CopyTile:
        return ("out", "x") if fields["x"].per_block else ()
    if step is Layer:
        return ("out", "x") if fields["precision"] == "bfloat16" else ("out",)
    if step in (DotsOfPairs, DotsAcross):
        rounds = fields["dim"] % 2 == 0 and fields["out"] in bfloat16_dots
        return ("out", "x", "y") if rounds else ("out",)
    return ()


def _agreed(found: set[int], steps: Sequence[tuple[Any, Fields]]) -> set[int]:
    """Without those a step must find alike and does not: both sides of a copy, vectors of dots."""
    alike = [
        {place.buffer for name, place in _places(fields) if step is CopyTile or name != "out"}
        for step, fields in steps
        if step in (CopyTile, DotsAcross)
    ]
    while apart := [each for each in alike if each & found and each - found]:
        found = found.difference(*apart)
    return found
