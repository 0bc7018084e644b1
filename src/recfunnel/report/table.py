"""A table as a value: built once, drawn by the terminal and by the HTML page."""

from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "chosen", "good", "bad", "muted"]
"""How a cell or row stands out; every tone is also said in words or by a mark."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        title: short, with the unit where all cells share one.
        explanation: a sentence for people who hover or look below the table.
        is_number: aligned right, sorted by value.
        in_terminal: false for columns that would not fit 100 characters.
    """

    title: str
    explanation: str = ""
    is_number: bool = False
    in_terminal: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """What one cell says.

    Args:
        text: as people read it.
        order: what it is sorted by; None sorts by the text, nan always last.
        tone: how it stands out.
    """

    text: str
    order: float | None = None
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Args:
        cells: one a column.
        tone: of the whole row.
    """

    cells: tuple[Cell, ...]
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows.

    Args:
        name: identifier, unique in a report.
        title: what the rows are.
        columns: from left to right.
        rows: in the order that is read first.
        caption: what must be known to read the numbers.
        empty: said instead when there is no row.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    empty: str = "not measured yet"
