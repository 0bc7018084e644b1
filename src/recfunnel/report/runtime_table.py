"""The table of runtimes: what one call of each model takes on each."""

import math

from recfunnel.report.facts import RuntimeRow
from recfunnel.report.formatting import MISSING, duration, significant
from recfunnel.report.summary import RunSummary
from recfunnel.report.table import Cell, Column, Row, Table


def runtimes_table(summary: RunSummary) -> Table:
    """Each model on each runtime, in the order of the study."""
    items = "catalogue" if summary.dataset is None else f"{summary.dataset.num_ranked:,} items"
    columns = (
        Column("model", "its name in the study"),
        Column("runtime", "what ran it"),
        Column(items, "mean time to score all that a query brings", True),
        Column(f"{summary.num_shortlist} items", "mean time to score a short list", True),
        Column("speed-up", "over the slowest runtime of the model, whole catalogue", True),
    )
    return Table(
        "runtimes",
        "Runtimes",
        columns,
        tuple(map(_row, summary.runtimes)),
        caption="Of runtimes that rank alike, each call uses the fastest (bold: on the catalogue).",
        empty="one runtime only",
    )


def _row(row: RuntimeRow) -> Row:
    def cell(text: str, value: float | None) -> Cell:
        return Cell(text, math.nan if value is None else value)

    speedup = MISSING if row.speedup is None else f"{significant(row.speedup)}x"
    cells = (
        Cell(row.model),
        Cell(row.runtime),
        cell(duration(row.catalogue_s), row.catalogue_s),
        cell(duration(row.shortlist_s), row.shortlist_s),
        cell(speedup, row.speedup),
    )
    return Row(cells, "chosen" if row.fastest else "plain")
