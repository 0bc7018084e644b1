"""The report as one HTML file: no request to anywhere, readable on paper, every text escaped."""

import math
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from recfunnel.core.errors import MissingExtraError
from recfunnel.core.results import DesignPoint
from recfunnel.core.storage import replacing_file, to_json
from recfunnel.report import formatting
from recfunnel.report.answer import answer, target
from recfunnel.report.glossary import GLOSSARY
from recfunnel.report.model_tables import model_cost_table, model_quality_table
from recfunnel.report.runtime_table import alone_table, alone_words, runtimes_table
from recfunnel.report.summary import RunSummary
from recfunnel.report.table import Cell
from recfunnel.report.tables import (
    baselines_table,
    front_table,
    quality_table,
    verification_table,
)

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "report.html.j2"


def write_html(summary: RunSummary, path: Path) -> None:
    """Write `report.html`, whole or not at all.

    Raises:
        MissingExtraError: jinja2 or matplotlib is not installed.
        StorageError: no space, no permission.
    """
    text = render_html(summary)
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render_html(summary: RunSummary) -> str:
    """The page as text; parts that have not run say so.

    Raises:
        MissingExtraError: jinja2 or matplotlib is not installed.
    """
    from recfunnel.report.figures import all_figures

    environment = _environment()
    tables = (
        model_quality_table(summary),
        model_cost_table(summary),
        runtimes_table(summary),
        alone_table(summary),
        front_table(summary),
        baselines_table(summary),
        quality_table(summary),
        verification_table(summary),
    )
    return environment.get_template(TEMPLATE).render(
        summary=summary,
        answer=answer(summary),
        target=None if summary.plan is None else target(summary.plan),
        stages=_funnel(None if summary.plan is None else summary.plan.chosen),
        alone_words=alone_words(summary),
        tables={table.name: table for table in tables},
        figures={figure.name: figure for figure in all_figures(summary)},
        glossary=GLOSSARY,
        css=_package_text("report.css"),
        javascript=_package_text("report.js"),
        stored=_embedded_json(summary),
        not_measured=formatting.NOT_MEASURED,
    )


def _environment() -> "Environment":
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("jinja2", "report") from error
    environment = Environment(
        loader=FunctionLoader(_package_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "compact_name",
        "count",
        "duration",
        "estimate",
        "moment",
        "percent",
        "rate",
        "size",
        "significant",
    ):
        environment.filters[name] = getattr(formatting, name)
    environment.filters["order"] = _order
    environment.filters["unbroken"] = _unbroken
    return environment


def _package_text(name: str) -> str:
    return (resources.files("recfunnel.report") / "templates" / name).read_text(encoding="utf-8")


def _order(cell: Cell) -> str:
    """What the page sorts a cell by; empty sorts last, `inf` after every number."""
    if cell.order is None:
        return cell.text
    return "" if math.isnan(cell.order) else repr(cell.order)


def _unbroken(text: str) -> str:
    """A pipeline's name that only breaks between its stages."""
    if " · " not in text:
        return text
    return " · ".join(stage.replace(" ", "\N{NO-BREAK SPACE}") for stage in text.split(" · "))


def _funnel(chosen: DesignPoint | None) -> list[dict[str, Any]]:
    """Stages of the chosen path with the width of each cut, for the picture at the top."""
    if chosen is None:
        return []
    stages = chosen.path.pipeline.stages
    widest = math.log(stages[0].num_in + 1)
    return [
        {"model": s.model, "num_out": s.num_out, "share": math.log(s.num_out + 1) / widest}
        for s in stages
    ]


def _embedded_json(summary: RunSummary) -> str:
    """The summary as JSON that cannot end the script element it stands in."""
    text = msgspec.json.format(to_json(summary), indent=0).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
