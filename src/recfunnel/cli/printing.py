"""What commands print on standard output: lines, tables, JSON and CSV."""

import csv
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from recfunnel.core.storage import to_json


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table whose columns are the first row's keys.

    What is too wide for the terminal goes on in the next line; no digit is left out.
    """
    table = Table(box=SIMPLE_HEAD, header_style="bold")
    for number, key in enumerate(rows[0] if rows else ()):
        table.add_column(key, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(readable(key, value) for key, value in row.items()))
    terminal().print(table)


def readable(key: str, value: object) -> str:
    """A cell: seconds as ms where small, other numbers with 4 digits, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float) and key.endswith("_s") and value < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def emit_json(value: object) -> None:
    """Print any value as JSON."""
    sys.stdout.write(to_json(value).decode())


def emit_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as CSV under the first row's keys."""
    writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def terminal() -> Console:
    """Standard output, 100 columns wide where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=100)


def say(text: str) -> None:
    """Print one line."""
    Console(soft_wrap=True).print(text, highlight=False, markup=False)
