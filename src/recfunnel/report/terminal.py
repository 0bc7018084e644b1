"""A report in the terminal: fits 100 columns, and reads as well without colour."""

import io

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from recfunnel.report.answer import Answer, answer, target
from recfunnel.report.model_tables import models_table
from recfunnel.report.runtime_table import alone_table, runtimes_table
from recfunnel.report.summary import RunSummary
from recfunnel.report.table import Row, Table, Tone
from recfunnel.report.tables import (
    baselines_table,
    front_table,
    quality_table,
    verification_table,
)

WIDTH = 100
"""Columns a report needs at most."""

MAX_FRONT_ROWS = 12
"""Rows of the front a terminal shows; the page shows all."""

_STYLES: dict[Tone, str] = {
    "plain": "",
    "chosen": "bold",
    "good": "green",
    "bad": "bold red",
    "muted": "dim",
}


def draw_report(summary: RunSummary, console: Console) -> None:
    """Print the whole report: answer, models, front, baselines, quality, verification."""
    console.print(answer_panel(summary))
    front = front_table(summary)
    for table in (
        models_table(summary),
        *([runtimes_table(summary)] if summary.runtimes else []),
        *([alone_table(summary)] if summary.alone else []),
        shortened(front, MAX_FRONT_ROWS),
        baselines_table(summary),
        quality_table(summary),
        verification_table(summary),
    ):
        console.print(draw_table(table))
    for warning in summary.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))


def report_text(summary: RunSummary, width: int = WIDTH) -> str:
    """The same as plain text, for files and tests."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    draw_report(summary, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def answer_panel(summary: RunSummary) -> RenderableType:
    """Headline, key numbers and why."""
    found = answer(summary)
    return Padding(Group(*_answer_lines(summary, found)), (1, 0))


def _answer_lines(summary: RunSummary, found: Answer) -> list[RenderableType]:
    styles = {"feasible": "bold green", "infeasible": "bold red", "pending": "bold"}
    asked = "" if summary.plan is None else f" · asked: {target(summary.plan)}"
    lines: list[RenderableType] = [
        Text(f"{summary.study}{asked}", style="dim"),
        Text(found.headline, style=styles[found.state]),
    ]
    if found.key_numbers:
        lines.append(_key_numbers(found))
    lines.extend(Text(sentence) for sentence in found.sentences)
    if found.remedies:
        lines.append(Text("What would help:"))
    lines.extend(Text(f"  {i}. {text}") for i, text in enumerate(found.remedies, start=1))
    return lines


def _key_numbers(found: Answer) -> RenderableType:
    grid = RichTable.grid(padding=(0, 2))
    for number in found.key_numbers:
        grid.add_row(
            Text(f"  {number.label}"), Text(number.value, style="bold"), Text(number.note, "dim")
        )
    return grid


def draw_table(table: Table) -> RenderableType:
    """One table; says so when it is empty."""
    title = Text(table.title, style="bold")
    if not table.rows:
        return Padding(Group(title, Text(f"  {table.empty}", style="dim")), (0, 0, 1, 0))
    shown = [i for i, column in enumerate(table.columns) if column.in_terminal]
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for i in shown:
        column = table.columns[i]
        drawn.add_column(
            Text(column.title),
            justify="right" if column.is_number else "left",
            vertical="bottom",
            overflow="fold",
        )
    for row in table.rows:
        drawn.add_row(*_cells(row, shown), style=_STYLES[row.tone])
    caption = [Text(table.caption, style="dim")] if table.caption else []
    return Padding(Group(title, drawn, *caption), (0, 0, 1 if caption else 0, 0))


def _cells(row: Row, shown: list[int]) -> list[Text]:
    return [Text(row.cells[i].text, style=_STYLES[row.cells[i].tone]) for i in shown]


def shortened(table: Table, limit: int) -> Table:
    """The first rows and the chosen one, with the number left out in the caption."""
    if len(table.rows) <= limit:
        return table
    kept = tuple(row for i, row in enumerate(table.rows) if i < limit or row.tone == "chosen")
    caption = f"{len(table.rows) - len(kept)} more in the report page. {table.caption}".strip()
    return Table(table.name, table.title, table.columns, kept, caption, table.empty)
