"""`recfunnel bench`: how fast the engine is on this machine, other libraries beside it."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from recfunnel.cli.printing import emit_json, say, terminal
from recfunnel.cli.progress import reporting

if TYPE_CHECKING:
    from recfunnel.bench.engine import EngineRequest
    from recfunnel.bench.results import EngineResult

app = App(name="bench", help="Measure the engine on this machine, other libraries beside it.")

Several = Parameter(negative="", consume_multiple=True)
Part = Literal["plain", "catalogue", "largest", "scan", "cores"]


@app.command
def engine(
    *,
    model: Annotated[tuple[str, ...], Several] = (),
    part: Annotated[tuple[Part, ...], Several] = (),
    library: Annotated[tuple[str, ...], Several] = (),
    candidates: Annotated[tuple[int, ...], Several] = (),
    items: int | None = None,
    largest_items: int | None = None,
    rows: int | None = None,
    rounds: int | None = None,
    round_ms: float | None = None,
    seed: int | None = None,
    quick: Annotated[bool, Parameter(negative="")] = False,
    out: Annotated[Path, Parameter(alias="-o")] = Path("runs/bench-engine"),
    json: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(alias="-q", negative="")] = False,
) -> int:
    """Time the engine and every installed library on the same models, taking turns.

    Prints a table a model and what became of each target, and keeps engine.json and engine.csv.
    Ratios are of medians in the same rounds. The full size takes some minutes a model and 9 GiB.

    Args:
        model: RM_small, RM_med, RM_large or NeuMF_large; all when none is given.
        part: plain (every feature the candidate's own), catalogue (one context a query), largest
            (the largest catalogue), scan (a whole catalogue), cores (two against one).
        library: names of libraries; all that are installed when none is given, `none` for none.
        candidates: of a query.
        items: of the catalogue.
        largest_items: of the largest catalogue.
        rows: of a model's tables together, about; 33,762,577 when not given.
        rounds: of turns.
        round_ms: for each back-end in a round, milliseconds.
        seed: of parameters and queries.
        quick: a first look in less than a minute, on small tables.
        out: folder for the results and for what libraries compile.
        json: print JSON.
        quiet: no progress on standard error.
    """
    from recfunnel.bench.engine import measure_engine

    changes = {
        "models": model,
        "parts": part,
        "peers": library,
        "candidates": candidates,
        "num_items": items,
        "largest_items": largest_items,
        "num_rows": rows,
        "num_rounds": rounds,
        "round_s": None if round_ms is None else round_ms / 1e3,
        "seed": seed,
    }
    given = {name: value for name, value in changes.items() if value not in (None, ())}
    request = _request(quick, given)
    with reporting(quiet=quiet) as progress:
        result = measure_engine(request, out / "compiled", progress)
    _keep(result, out)
    if json:
        emit_json(_with_targets(result))
    else:
        _draw(result)
        say(f"kept in {out / 'engine.json'} and {out / 'engine.csv'}")
    return 0


def _request(quick: bool, changes: Mapping[str, object]) -> "EngineRequest":
    from recfunnel.bench.engine import QUICK, EngineRequest
    from recfunnel.core.spec import convert, to_builtins

    before = to_builtins(QUICK if quick else EngineRequest())
    return convert({**before, **changes}, EngineRequest, name="bench engine")


def _with_targets(result: "EngineResult") -> dict[str, object]:
    from recfunnel.bench.targets import verdicts
    from recfunnel.core.spec import to_builtins

    targets = [{**to_builtins(verdict), "met": verdict.met} for verdict in verdicts(result)]
    return {**to_builtins(result), "targets": targets}


def _keep(result: "EngineResult", out: Path) -> None:
    """Write both files."""
    from recfunnel.core.storage import replacing_file, write_json

    write_json(out / "engine.json", _with_targets(result))
    rows = [
        {
            "model": group.model,
            "setting": group.setting,
            "candidates": group.num_candidates,
            "items": group.num_items,
            "threads": group.num_threads,
            "backend": backend.name,
            "way": backend.way,
            "precision": backend.precision,
            "median_s": backend.timing.median_s,
            "p99_s": backend.timing.p99_s,
            "items_per_s": group.items_per_s(backend),
            "error": backend.error,
            "roof_share": backend.roof_share,
        }
        for group in result.groups
        for backend in group.backends
    ]
    with replacing_file(out / "engine.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["model"])
        writer.writeheader()
        writer.writerows(rows)


def _draw(result: "EngineResult") -> None:
    from recfunnel.report.engine_tables import (
        engine_tables,
        machine_line,
        missing_lines,
        noise_line,
    )
    from recfunnel.report.terminal import draw_table

    console = terminal()
    for table in engine_tables(result):
        console.print(draw_table(table))
    for line in (machine_line(result), noise_line(result), *missing_lines(result)):
        if line:
            say(line)
