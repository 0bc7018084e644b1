"""The tables of a report, built from a run summary."""

import math

from recfunnel.core.pipeline import Path
from recfunnel.core.results import DesignPoint, Estimate, ServingPlan
from recfunnel.report.facts import ModelRow
from recfunnel.report.findings import QualityAttribution, VerificationRow
from recfunnel.report.formatting import (
    MISSING,
    compact_name,
    count,
    duration,
    duration_estimate,
    estimate,
    percent,
    quantile_name,
    short_count,
    signed_percent,
    significant,
    size,
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


def models_table(summary: RunSummary) -> Table:
    """Each model alone, best NDCG first."""
    k = summary.k
    catalogue = "catalogue" if summary.dataset is None else f"{summary.dataset.num_items:,} items"
    columns = (
        Column("model", "its name in the study"),
        Column("kind", "what network or rule it is", in_terminal=False),
        Column("parameters", "numbers in all tables and layers", True, in_terminal=False),
        Column("size", "memory of all parameters", True),
        Column("fit", "time to train", True),
        Column("validation", "the metric it was chosen by", True, in_terminal=False),
        Column(f"NDCG@{k}", "test queries, ± one standard error", True),
        Column(
            f"hit rate@{k}", "queries with a relevant item in the list", True, in_terminal=False
        ),
        Column(f"recall@{k}", "share of relevant items in the list", True, in_terminal=False),
        Column("MRR", "mean of 1 / rank of the first relevant item", True, in_terminal=False),
        Column(catalogue, "mean time to score the whole catalogue for one query", True),
        Column(f"{summary.num_shortlist} items", "mean time to score a short list", True),
        Column("alone, queries/s", "highest load within the service level", True),
    )
    ranked = sorted(summary.models, key=lambda m: -math.inf if m.ndcg is None else -m.ndcg.mean)
    return Table("models", "Models, each alone", columns, tuple(map(_model_row, ranked)))


def model_quality_table(summary: RunSummary) -> Table:
    """How well each model ranks alone."""
    picks = ("model", "kind", "validation", "NDCG@", "hit rate@", "recall@", "MRR")
    return _picked(models_table(summary), "model-quality", "How well each ranks", picks)


def model_cost_table(summary: RunSummary) -> Table:
    """What each model costs alone."""
    whole = models_table(summary)
    left_out = ("kind", "validation", "hit rate@", "recall@", "MRR", "NDCG@")
    picks = tuple(c.title for c in whole.columns if not c.title.startswith(left_out))
    return _picked(whole, "model-cost", "What each costs", picks)


def _picked(table: Table, name: str, title: str, picks: tuple[str, ...]) -> Table:
    """The columns whose titles begin with one of `picks`."""
    kept = [i for i, column in enumerate(table.columns) if column.title.startswith(picks)]
    return Table(
        name,
        title,
        tuple(table.columns[i] for i in kept),
        tuple(Row(tuple(row.cells[i] for i in kept), row.tone) for row in table.rows),
        table.caption,
        table.empty,
    )


def _model_row(model: ModelRow) -> Row:
    def cell(text: str, value: float | None) -> Cell:
        return Cell(text, math.nan if value is None else value)

    reads = f" (reads {', '.join(model.score_inputs)})" if model.score_inputs else ""
    validation = MISSING if model.validation is None else significant(model.validation, 4)
    return Row(
        (
            Cell(model.name),
            Cell(model.kind + reads),
            cell(short_count(model.num_parameters), model.num_parameters),
            cell(size(model.parameter_bytes), model.parameter_bytes),
            cell(duration(model.fit_seconds), model.fit_seconds),
            cell(validation, model.validation),
            estimate_cell(model.ndcg),
            estimate_cell(model.hit_rate),
            estimate_cell(model.recall),
            estimate_cell(model.mrr),
            cell(duration(model.service_catalogue_s), model.service_catalogue_s),
            cell(duration(model.service_shortlist_s), model.service_shortlist_s),
            estimate_cell(model.capacity_qps),
        )
    )


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
    notes = [
        f"{compact_name(row.name)} at {percent(row.load_fraction)}: {'; '.join(row.notes)}."
        for row in summary.verification
        if row.notes
    ]
    return " ".join([*marked, *notes])


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


def last_model(parts: QualityAttribution) -> str:
    """The model whose order is served."""
    return parts.stages[-1].stage.model if parts.stages else "the model"
