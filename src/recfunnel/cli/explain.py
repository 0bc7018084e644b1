"""`recfunnel explain`: what compiling a trained model does, and what that saves."""

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.table import Table

from recfunnel.cli.printing import emit_json, say, terminal
from recfunnel.core.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recfunnel.compile.explain import Explanation, NodeWords
    from recfunnel.compile.passes import PassReport
    from recfunnel.compile.work import Work

HEADINGS = (
    "FLOPs\na query",
    "FLOPs a\ncandidate",
    "bytes\na query",
    "bytes a\ncandidate",
    "parameters",
)

LEAST_CHANGE = 0.005
"""Smaller relative changes are called none."""


def explain(
    model: str,
    /,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    candidates: int = 512,
    without: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    layers: Literal["float32", "bfloat16", "int8"] = "float32",
    tables: Literal["float32", "float16", "bfloat16", "int8"] = "float32",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Say what compiling a trained model does, and what that saves.

    Args:
        model: its name in the run.
        out: run folder it was trained in.
        candidates: how many a query usually has; some choices depend on it.
        without: a pass to leave out; may be repeated.
        layers: precision of long layers.
        tables: storage of embedding tables.
        json: print JSON.
    """
    from recfunnel.compile.explain import explain as explain_model
    from recfunnel.compile.passes import CompileOptions

    options = CompileOptions(
        without=without, num_candidates=candidates, layers=layers, tables=tables
    )
    folder = model_folder(out, model)
    found = explain_model(folder, options)
    if json:
        emit_json(found)
    else:
        draw(found)
        draw_kept(folder)
    return 0


def model_folder(run: Path, name: str) -> Path:
    """Where a run keeps a trained model.

    Raises:
        StudyError: no such model, or no such run.
    """
    folder = run / "models"
    known = sorted(path.name for path in folder.glob("*") if (path / "manifest.json").exists())
    if name in known:
        return folder / name
    if not known:
        raise StudyError(f"{run} holds no trained models; train some: recfunnel train --out {run}")
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    raise StudyError(f"{run} has no trained model {name!r}; {hint}")


def draw(found: "Explanation") -> None:
    """Print an explanation."""
    from recfunnel.report.formatting import short_count, size

    table = Table(box=SIMPLE_HEAD, header_style="bold")
    table.add_column("pass")
    table.add_column("what it did", ratio=1)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)

    def row(name: str, did: str, work: "Work") -> None:
        table.add_row(
            name,
            did,
            short_count(work.flops_per_query),
            short_count(work.flops_per_candidate),
            short_count(work.bytes_per_query),
            short_count(work.bytes_per_candidate),
            size(work.parameter_bytes),
        )

    row("(as trained)", "", found.trained)
    for report in found.passes:
        row(report.name, in_words(report), report.after)
    say(f"{found.model}, compiled for {found.num_candidates:,} candidates a query")
    terminal().print(table)
    draw_savings(found)
    draw_computed(found)
    draw_nodes("Once an item, stored as its record:", found.item)
    draw_nodes("Once a query:", found.query)
    draw_nodes("For each candidate:", found.candidate)


def in_words(report: "PassReport") -> str:
    """What a pass did."""
    if report.name == "precision":
        if not report.lower_layers and not report.lower_tables:
            return "all stays float32"
        told = f"{report.lower_layers} layers and {report.lower_tables} tables in fewer bits"
        wide = f"; {report.too_wide} in bfloat16: too many inputs for int8"
        return told + (wide if report.too_wide else "")
    if report.name == "catalogue":
        if not report.record_bytes:
            return "nothing of the item to store"
        return f"one record an item, {report.record_bytes:,} bytes in float32"
    changes = [
        f"{count:+d} {op}".replace("-", "\N{MINUS SIGN}") for op, count in report.nodes.items()
    ]
    if changes:
        return ", ".join(changes)
    return "nothing" if report.before == report.after else "the same nodes on other parameters"


def draw_savings(found: "Explanation") -> None:
    """Print what a query costs before and after."""
    from recfunnel.report.formatting import short_count, significant

    num, before, after = found.num_candidates, found.trained, found.compiled
    flops = [work.flops_per_query + num * work.flops_per_candidate for work in (before, after)]
    traffic = [work.bytes_per_query + num * work.bytes_per_candidate for work in (before, after)]
    for what, (was, now) in (("FLOPs", flops), ("bytes read", traffic)):
        change = ""
        if now and abs(was / now - 1) >= LEAST_CHANGE:
            ratio, word = (was / now, "fewer") if now < was else (now / max(was, 1), "as many")
            change = f" ({significant(ratio)} times {word})"
        say(f"{what} in a query: {short_count(was)} as trained, {short_count(now)} now{change}")


def draw_computed(found: "Explanation") -> None:
    """Print which tables were trained computed, and what storing them costs and saves."""
    from recfunnel.report.formatting import short_count, size

    for table in found.computed:
        cost = f"{size(table.stored_bytes)} instead of {size(table.parameter_bytes)}"
        saved = f"{short_count(table.flops_per_row)} FLOPs a lookup"
        if table.is_stored:
            did = f"all {table.num_ids:,} rows are stored: {cost}, saves {saved}"
        else:
            did = f"stays computed, {saved}; storing all {table.num_ids:,} rows would take {cost}"
        say(f"\n{', '.join(table.features)} ({table.name}): {table.text}; {did}")


def draw_nodes(heading: str, nodes: "Sequence[NodeWords]") -> None:
    """Print nodes in words."""
    if not nodes:
        return
    say(f"\n{heading}")
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(justify="right", style="dim")
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    for node in nodes:
        lower = "" if node.precision == "float32" else f" ({node.precision})"
        table.add_row(node.name, node.text + lower, f"{node.width:,} wide")
    terminal().print(table)


def draw_kept(folder: Path) -> None:
    """Print which compiled forms a model's folder keeps, and whether there are huge pages."""
    from recfunnel.report.formatting import size
    from recfunnel.runtime.native_compile import huge_page_refusal
    from recfunnel.runtime.native_files import kept_forms

    for name, size_bytes in kept_forms(folder).items():
        say(f"\nKept compiled, shared by all processes: {name}, {size(size_bytes)}")
    try:
        refusal = huge_page_refusal()
    except ImportError as error:
        refusal = f"the extension module is not built ({error})"
    if refusal:
        say(f"\nNo huge pages for records: {refusal}")
