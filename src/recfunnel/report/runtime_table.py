"""The tables of runtimes: a call of each model on each, and the best plan with each alone."""

import math

from recfunnel.core.results import DesignPoint
from recfunnel.report.facts import RuntimePlan, RuntimeRow
from recfunnel.report.formatting import MISSING, duration, estimate, rate, significant
from recfunnel.report.summary import RunSummary
from recfunnel.report.table import Cell, Column, Row, Table
from recfunnel.report.tables import (
    CHOSEN_MARK,
    compact_mapping,
    compact_pipeline,
    duration_cell,
    estimate_cell,
    planned_on,
    tail_title,
)


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


def alone_table(summary: RunSummary) -> Table:
    """The best plan with each runtime alone, most capacity first; above them the plan with all."""
    tail = "tail latency" if summary.plan is None else tail_title(summary.plan)
    columns = (
        Column("runtime", "what runs every model; all: each call its fastest"),
        Column("best pipeline", "stages in order: model and the number of items it keeps"),
        Column("runs on", "servers by threads of each station", in_terminal=False),
        Column(f"NDCG@{summary.k}", "± one standard error", True),
        Column(tail, "predicted, at the planned load", True),
        Column("capacity, queries/s", "predicted: highest load within the service level", True),
        Column(
            "over one stage", "capacity over that of the model that ranks best alone", True, False
        ),
    )
    ranked = sorted(summary.alone, key=lambda entry: -_capacity_qps(entry))
    rows = tuple(map(_alone_row, ranked))
    chosen = None if summary.plan is None else summary.plan.chosen
    if chosen is not None:
        ratio = None if summary.comparison is None else summary.comparison.capacity_ratio
        cells = (Cell(f"{CHOSEN_MARK} all"), *_point_cells(chosen))
        rows = (Row((*cells, estimate_cell(ratio)), "chosen"), *rows)
    return Table(
        "alone",
        "The best plan with each runtime alone",
        columns,
        rows if summary.alone else (),
        caption=planned_on(summary),
        empty="one runtime only",
    )


def alone_words(summary: RunSummary) -> str:
    """What changes with the runtime, in a sentence; empty where nothing can be compared."""
    able = sorted((e for e in summary.alone if e.chosen is not None), key=_capacity_qps)
    if len(able) < 2 or not _capacity_qps(able[0]):
        return ""
    slow, fast = able[0], able[-1]
    gain = significant(_capacity_qps(fast) / _capacity_qps(slow))
    first, last = _pipeline(slow), _pipeline(fast)
    words = "the same pipeline" if first == last else f"another pipeline, {last},"
    return (
        f"With {slow.runtime} alone the search chooses {first} for {rate(_capacity_qps(slow))}; "
        f"with {fast.runtime} alone {words} for {rate(_capacity_qps(fast))}, {gain} times as many."
    )


def _pipeline(entry: RuntimePlan) -> str:
    return MISSING if entry.chosen is None else compact_pipeline(entry.chosen.path)


def _capacity_qps(entry: RuntimePlan) -> float:
    return 0.0 if entry.chosen is None else entry.chosen.objectives.capacity_qps.mean


def _alone_row(entry: RuntimePlan) -> Row:
    if entry.chosen is None:
        nothing = (Cell(MISSING, math.nan),) * 4
        return Row((Cell(entry.runtime), Cell("nothing meets the target"), Cell(MISSING), *nothing))
    gain = Cell(estimate(entry.gain), math.nan if entry.gain is None else entry.gain.mean)
    return Row((Cell(entry.runtime), *_point_cells(entry.chosen), gain))


def _point_cells(point: DesignPoint) -> tuple[Cell, ...]:
    goals = point.objectives
    return (
        Cell(compact_pipeline(point.path)),
        Cell(compact_mapping(point.path)),
        estimate_cell(goals.ndcg),
        duration_cell(goals.tail_latency_s),
        estimate_cell(goals.capacity_qps),
    )
