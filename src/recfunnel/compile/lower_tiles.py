"""Where values live: buffers while a graph is lowered, rows of two arenas in the end.

Buffers that are never needed at once share rows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from recfunnel.compile.program import AnyStep, Tile

QUERY_ALIGNMENT = 16
"""Query tiles begin at a multiple of so many numbers: a cache line."""


@dataclass(frozen=True, slots=True)
class Place:
    """Rows of a buffer.

    Args:
        buffer: its number.
        per_block: of the block's arena; false means the query's.
        start: first row within the buffer.
        width: how many.
    """

    buffer: int
    per_block: bool
    start: int
    width: int

    def part(self, start: int, width: int) -> "Place":
        """Some of these rows."""
        return Place(self.buffer, self.per_block, self.start + start, width)


@dataclass(slots=True)
class Buffers:
    """Buffers handed out so far, and the steps that use them.

    A step is kept as its class and its fields, with places where tiles will be.
    """

    widths: list[int] = field(default_factory=list)
    per_block: list[bool] = field(default_factory=list)
    steps: dict[bool, list[tuple[Callable[..., AnyStep], dict[str, Any]]]] = field(
        default_factory=lambda: {False: [], True: []}
    )
    pairs: set[int] = field(default_factory=set)
    """Buffers kept as bfloat16, two numbers a row."""

    def new(self, width: int, *, per_block: bool) -> Place:
        """A new buffer, whole."""
        self.widths.append(width)
        self.per_block.append(per_block)
        return Place(len(self.widths) - 1, per_block, 0, width)

    def emit(self, step: Callable[..., AnyStep], *, per_block: bool, **fields: Any) -> None:
        """Append a step to one of the lists."""
        self.steps[per_block].append((step, fields))

    def finish(self, result: Place) -> "Arenas":
        """Give every buffer its rows and every step its tiles.

        Args:
            result: what is read when a block has run.
        """
        rows, sizes = [0] * len(self.widths), {}
        for per_block in (False, True):
            sizes[per_block] = self._share_rows(rows, result, per_block=per_block)

        def tile(place: Place) -> Tile:
            pairs = place.buffer in self.pairs
            return Tile(
                per_block=place.per_block,
                row=rows[place.buffer] + (place.start // 2 if pairs else place.start),
                width=place.width,
                pairs=pairs,
            )

        def finished(step: Callable[..., AnyStep], fields: dict[str, Any]) -> AnyStep:
            return step(**{k: tile(v) if isinstance(v, Place) else v for k, v in fields.items()})

        return Arenas(
            tuple(finished(*step) for step in self.steps[False]),
            tuple(finished(*step) for step in self.steps[True]),
            sizes[False],
            sizes[True],
            tile(result),
        )

    def _share_rows(self, rows: list[int], result: Place, *, per_block: bool) -> int:
        """Fill in the first row of each buffer of an arena; returns how many rows it takes."""
        lives = self._lives(result, per_block=per_block)
        align = 1 if per_block else QUERY_ALIGNMENT
        placed: list[tuple[int, int, int]] = []  # first row, one past the last, last step
        size = 0
        for buffer, (first, last) in sorted(lives.items(), key=lambda item: item[1]):
            placed = [taken for taken in placed if taken[2] >= first]
            width = self.widths[buffer]
            num_rows = (width + 1) // 2 if buffer in self.pairs else width
            row = _first_gap(((s, e) for s, e, _ in sorted(placed)), num_rows, align)
            rows[buffer] = row
            placed.append((row, row + num_rows, last))
            size = max(size, row + num_rows)
        return size

    def _lives(self, result: Place, *, per_block: bool) -> dict[int, tuple[int, int]]:
        """First and last step of an arena's list at which each of its buffers is in use."""
        lives: dict[int, tuple[int, int]] = {}
        own = self.steps[per_block]
        for number, (_, fields) in enumerate(own):
            for place in fields.values():
                if isinstance(place, Place) and place.per_block == per_block:
                    lives[place.buffer] = (lives.get(place.buffer, (number, 0))[0], number)
        kept = [result]
        if not per_block:
            read = (place for _, fields in self.steps[True] for place in fields.values())
            kept += [p for p in read if isinstance(p, Place)]
        for place in kept:
            if place.per_block == per_block:
                first = lives.get(place.buffer, (len(own), 0))[0]
                lives[place.buffer] = (first, len(own))
        return lives


@dataclass(frozen=True, slots=True)
class Arenas:
    """Finished lists of steps, and how large their arenas are."""

    query: tuple[AnyStep, ...]
    block: tuple[AnyStep, ...]
    query_rows: int
    block_rows: int
    result: Tile


def _first_gap(taken: Iterable[tuple[int, int]], width: int, align: int) -> int:
    """The lowest aligned row from which `width` rows are free; `taken` rises."""
    row = 0
    for start, stop in taken:
        if row + width <= start:
            break
        row = max(row, -(-stop // align) * align)
    return row
