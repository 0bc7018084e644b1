"""The tables of a report, built from a run summary."""

import math

from recfunnel.core.pipeline import Path
from recfunnel.core.results import DesignPoint, Estimate, ServingPlan
from recfunnel.quality.attribution import LossAttribution
from recfunnel.report.findings import VerificationRow
from recfunnel.report.formatting import (
    compact_name,
    count,
    duration_estimate,
    estimate,
    percent,
    quantile_name,
    signed_percent,
    significant,
)
from recfunnel.report.summary import RunSummary
from recfunnel.report.table import Cell, Column, Row, Table, Tone

CHOSEN_MARK = "▶"
"""Stands before the name of what was chosen, so that colour is not needed."""

LARGE_ERROR = 0.15
"""Relative error of a prediction beyond which a row is marked."""


def estimate_cell(value: Estimate | None) -> Cell:
    """A mean with its standard error, sorted by the mean."""
    return Cell(estimate(value), math.nan if value is None else value.mean)


def duration_cell(value: Estimate | None) -> Cell:
    """A time with its standard error, sorted by the mean."""
    order = math.nan if value is None else value.mean
    return Cell(duration_estimate(value), order, "muted" if math.isinf(order) else "plain")


def front_table(summary: RunSummary) -> Table:
    """The Pareto front, best NDCG first, the chosen path marked."""
    plan = summary.plan
    points = () if plan is None else plan.front.points
    return _points_table(summary, "front", "Pareto front", points)


def baselines_table(summary: RunSummary) -> Table:
    """The simple alternatives under the same load and service level."""
    plan = summary.plan
    points = () if plan is None else plan.baselines
    return _points_table(summary, "baselines", "Baselines under the same load", points)


def _points_table(
    summary: RunSummary, name: str, title: str, points: tuple[DesignPoint, ...]
) -> Table:
    plan = summary.plan
    tail = "tail latency" if plan is None else tail_title(plan)
    columns = (
        Column("pipeline", "stages in order: model and the number of items it keeps"),
        Column("runs on", "servers by threads of each station"),
        Column(f"NDCG@{summary.k}", "± one standard error", True),
        Column(tail, "at the planned load", True),
        Column("capacity, queries/s", "highest load within the service level", True),
    )
    ranked = sorted(points, key=lambda p: (-p.objectives.ndcg.mean, p.path.name))
    rows = tuple(_point_row(point, plan) for point in ranked)
    return Table(name, title, columns, rows, planned_on(summary))


def planned_on(summary: RunSummary) -> str:
    """On which queries the NDCG of paths was measured; empty when on the test queries."""
    if not summary.planned_on:
        return ""
    return f"NDCG on the {summary.planned_on} queries, on which paths were chosen."


def compact_pipeline(path: Path) -> str:
    """Models and what each keeps, `ease 256 · rerank 64`, or `ease alone`."""
    return compact_name(path.pipeline.name)


def compact_mapping(path: Path) -> str:
    """Stations in order, `2x1t cpu`; stages are counted only where there are several stations."""
    stations = path.mapping.stations
    return " → ".join(
        f"{s.num_servers}x{s.num_threads}t {s.platform}"
        + (f" [{s.num_stages}]" if len(stations) > 1 and s.num_stages > 1 else "")
        for s in stations
    )


def tail_title(plan: ServingPlan) -> str:
    """Such as `p99 at 200/s`."""
    return f"{quantile_name(plan.service_level.quantile)} at {significant(plan.rate_qps)}/s"


def _point_row(point: DesignPoint, plan: ServingPlan | None) -> Row:
    is_chosen = plan is not None and plan.chosen is not None and point.path == plan.chosen.path
    mark = f"{CHOSEN_MARK} " if is_chosen else ""
    return Row(
        (
            Cell(mark + compact_pipeline(point.path)),
            Cell(compact_mapping(point.path)),
            estimate_cell(point.objectives.ndcg),
            duration_cell(point.objectives.tail_latency_s),
            estimate_cell(point.objectives.capacity_qps),
        ),
        "chosen" if is_chosen else "plain",
    )


def verification_table(summary: RunSummary) -> Table:
    """Predicted against measured, one row a path and load."""
    columns = (
        Column("path", "what was served"),
        Column("load", "offered load over predicted capacity", True),
        Column("offered/s", "queries a second sent", True, in_terminal=False),
        Column("answered/s", "queries a second answered, measured", True, in_terminal=False),
        Column("rate error", "predicted over measured throughput, less 1", True),
        Column("p50 predicted", "simulated median", True, in_terminal=False),
        Column("p50 measured", "served for real", True, in_terminal=False),
        Column("p50 error", "predicted over measured, less 1", True),
        Column("p99 predicted", "simulated", True),
        Column("p99 measured", "served for real", True),
        Column("p99 error", "predicted over measured, less 1", True),
    )
    rows = tuple(map(_verification_row, summary.verification))
    return Table(
        "verification", "Predicted against measured", columns, rows, _verification_notes(summary)
    )


def _verification_notes(summary: RunSummary) -> str:
    polluted = sum(row.polluted for row in summary.verification)
    total = len(summary.verification)
    marked = [f"* disturbed, proves nothing: {polluted} of {total} rows."] if polluted else []
    said: dict[str, list[VerificationRow]] = {}
    for row in summary.verification:
        for note in row.notes:
            said.setdefault(note, []).append(row)
    notes = [f"{_whose(rows, total)}: {note}." for note, rows in said.items()]
    return " ".join([*marked, *notes])


def _whose(rows: list[VerificationRow], total: int) -> str:
    """What a note is about: paths, each with its loads."""
    if len(rows) == total > 1:
        return "Every run"
    loads: dict[str, list[str]] = {}
    for row in rows:
        loads.setdefault(compact_name(row.name), []).append(percent(row.load_fraction))
    return "; ".join(f"{name} at {', '.join(at)}" for name, at in loads.items())


def _verification_row(row: VerificationRow) -> Row:
    return Row(
        (
            Cell(compact_name(row.name) + (" *" if row.polluted else "")),
            Cell(percent(row.load_fraction), row.load_fraction),
            Cell(significant(row.rate_qps), row.rate_qps),
            Cell(significant(row.measured_throughput_qps.mean), row.measured_throughput_qps.mean),
            _error_cell(row.throughput_error, row.polluted),
            duration_cell(row.predicted_p50_s),
            duration_cell(row.measured_p50_s),
            _error_cell(row.p50_error, row.polluted),
            duration_cell(row.predicted_p99_s),
            duration_cell(row.measured_p99_s),
            _error_cell(row.p99_error, row.polluted),
        ),
        "muted" if row.polluted else "plain",
    )


def _error_cell(error: float, polluted: bool) -> Cell:
    tone: Tone = "plain"
    if not polluted and not math.isnan(error):
        tone = "bad" if abs(error) > LARGE_ERROR else "good"
    return Cell(signed_percent(error), error, tone)


def quality_table(summary: RunSummary) -> Table:
    """What each stage of the chosen pipeline costs in NDCG."""
    columns = (
        Column("step", "what happens to the list"),
        Column(f"best possible NDCG@{summary.k}", "everything kept, in perfect order", True),
        Column("lost here", "the value before less the value after", True),
    )
    parts = summary.attribution
    if parts is None:
        return Table("quality", "Quality lost by stage", columns, ())
    rows = [
        Row(
            (
                Cell(f"{s.stage.model} keeps {count(s.stage.num_out)} of {count(s.stage.num_in)}"),
                estimate_cell(s.ideal_ndcg),
                estimate_cell(s.loss),
            )
        )
        for s in parts.stages
    ]
    order = Cell(f"{last_model(parts)} orders what is left"), estimate_cell(parts.ndcg)
    rows.append(Row((*order, estimate_cell(parts.ordering_loss))))
    return Table("quality", "Quality lost by stage", columns, tuple(rows))


def last_model(parts: LossAttribution) -> str:
    """The model whose order is served."""
    return parts.stages[-1].stage.model if parts.stages else "the model"
