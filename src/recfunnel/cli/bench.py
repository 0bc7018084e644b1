"""`recfunnel bench`: how fast the engine is on this machine, other libraries beside it."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cyclopts import App, Parameter

from recfunnel.cli.printing import emit_json, say, terminal
from recfunnel.cli.progress import reporting

if TYPE_CHECKING:
    from recfunnel.bench.results import EngineResult

app = App(name="bench", help="Measure the engine on this machine, other libraries beside it.")

Several = Parameter(negative="", consume_multiple=True)
Part = Literal["plain", "catalogue", "largest", "scan", "cores", "cascade", "steady", "memory"]
Axis = Literal["candidates", "catalogue", "tables", "features", "threads"]
T = TypeVar("T")


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
    Ratios are of medians in the same rounds. The full size takes some minutes a model and up to
    15 GiB; what does not fit is left out and listed.

    Args:
        model: RM_small, RM_med, RM_large or NeuMF_large; all when none is given.
        part: plain (every feature the candidate's own), catalogue (one context a query), largest
            (the largest catalogue), scan (a whole catalogue), cores (two against one), cascade
            (two stages in one call), steady (the slowest of many calls, and what they allocate),
            memory (of a process that serves).
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
    from recfunnel.bench.request import QUICK, EngineRequest

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
    request = _changed(QUICK if quick else EngineRequest(), changes)
    with reporting(quiet=quiet) as progress:
        result = measure_engine(request, out / "compiled", progress)
    _keep(result, out)
    if json:
        emit_json(_with_targets(result))
    else:
        _draw(result)
        say(f"kept in {out / 'engine.json'} and {out / 'engine.csv'}")
    return 0


@app.command
def scaling(
    *,
    model: str | None = None,
    axis: Annotated[tuple[Axis, ...], Several] = (),
    library: Annotated[tuple[str, ...], Several] = (),
    items: int | None = None,
    rows: int | None = None,
    most: int | None = None,
    rounds: int | None = None,
    round_ms: float | None = None,
    seed: int | None = None,
    out: Annotated[Path, Parameter(alias="-o")] = Path("runs/bench-scaling"),
    json: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(alias="-q", negative="")] = False,
) -> int:
    """Time the engine over candidates, catalogue, tables, features and cores; draws a figure each.

    Keeps scaling.json and, for each axis, scaling-AXIS.svg and .png.

    Args:
        model: RM_small, RM_med or RM_large.
        axis: candidates, catalogue, tables, features or threads; all when none is given.
        library: beside ours; torch eager and OpenVINO when none is given, `none` for none.
        items: of the catalogue where it is not the axis.
        rows: of all tables together where they are not the axis.
        most: leave out points above so many candidates, items, rows or features.
        rounds: of turns.
        round_ms: for each back-end in a round, milliseconds.
        seed: of parameters and queries.
        out: folder for results, figures and what libraries compile.
        json: print JSON.
        quiet: no progress on standard error.
    """
    from recfunnel.bench.scaling import ScalingRequest, measure_scaling
    from recfunnel.core.storage import write_json
    from recfunnel.report.figure_scaling import scaling_figures

    changes = {
        "model": model,
        "axes": axis,
        "peers": library,
        "num_items": items,
        "num_rows": rows,
        "most": most,
        "num_rounds": rounds,
        "round_s": None if round_ms is None else round_ms / 1e3,
        "seed": seed,
    }
    request = _changed(ScalingRequest(), changes)
    with reporting(quiet=quiet) as progress:
        result = measure_scaling(request, out / "compiled", progress)
    write_json(out / "scaling.json", result)
    for figure in scaling_figures(result):
        (out / f"{figure.name}.svg").write_text(figure.svg())
        figure.save_png(out / f"{figure.name}.png")
    if json:
        emit_json(result)
    else:
        for figure in scaling_figures(result):
            say(f"{figure.title}\n  {figure.description}\n  {out / figure.name}.svg")
        for left in result.missing:
            say(f"not measured: {left.name} ({left.why})")
    return 0


@app.command
def paths(
    menu: Path,
    *,
    deadline_ms: float | None = None,
    load: Annotated[tuple[float, ...], Several] = (),
    queries: int | None = None,
    replications: int | None = None,
    mean_size: float | None = None,
    size_sigma: float | None = None,
    trivial_quality: float | None = None,
    no_bound: Annotated[bool, Parameter(negative="")] = False,
    seed: int | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(alias="-q", negative="")] = False,
) -> int:
    """Simulate ways to choose each query's path: every static plan, switching, greedy, ours.

    All see the same queries. What no schedule can exceed is found as well.

    Args:
        menu: JSON file of the paths that may be chosen from, with their profiles.
        deadline_ms: from arrival to answer; 10 when not given.
        load: in times of what the best static plan carries; 0.3 to 1.5 when none is given.
        queries: of a replication; 10,000 when not given.
        replications: independent ones; 3 when not given.
        mean_size: mean number of candidates; 128 when not given.
        size_sigma: standard deviation of its logarithm; 0.7 when not given.
        trivial_quality: accuracy of always giving the more common answer.
        no_bound: skip the bound, which takes most of the time.
        seed: of queries and service times.
        json: print JSON.
        quiet: no progress on standard error.
    """
    from recfunnel.core.servable import PathMenu
    from recfunnel.core.storage import read_json
    from recfunnel.report.paths_tables import trial_tables
    from recfunnel.report.terminal import draw_table
    from recfunnel.simulate.paths_trial import PathsTrial, run_trial, simulated, usual_policies

    changes = {
        "deadline_s": None if deadline_ms is None else deadline_ms / 1e3,
        "loads": load,
        "num_queries": queries,
        "num_replications": replications,
        "mean_size": mean_size,
        "size_sigma": size_sigma,
        "trivial_quality": trivial_quality,
        "bound": False if no_bound else None,
        "seed": seed,
    }
    trial = _changed(PathsTrial(), changes)
    known = read_json(menu, PathMenu)
    with reporting(quiet=quiet) as progress:
        result = run_trial(
            known, trial, usual_policies(known), simulated(known, trial), progress=progress
        )
    if json:
        emit_json(result)
    else:
        for table in trial_tables(result):
            terminal().print(draw_table(table))
    return 0


def _changed(value: T, changes: Mapping[str, object]) -> T:
    """A request with what was given on the command line, checked."""
    from recfunnel.core.spec import convert, to_builtins

    given = {name: change for name, change in changes.items() if change not in (None, ())}
    return convert({**to_builtins(value), **given}, type(value), name="bench")


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
            console.print(line, markup=False, highlight=False)
