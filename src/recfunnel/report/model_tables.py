"""The tables of single models: how well each ranks alone, and what it costs."""

import math

from recfunnel.report.facts import ModelRow
from recfunnel.report.formatting import MISSING, duration, short_count, significant, size
from recfunnel.report.summary import RunSummary
from recfunnel.report.table import Cell, Column, Row, Table
from recfunnel.report.tables import estimate_cell


def models_table(summary: RunSummary) -> Table:
    """Each model alone, best NDCG first."""
    k = summary.k
    catalogue = "catalogue" if summary.dataset is None else f"{summary.dataset.num_ranked:,} items"
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
        Column(catalogue, "mean time to score all that a query brings", True),
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
