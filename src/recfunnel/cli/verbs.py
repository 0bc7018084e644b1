"""The verbs: each does its step and whatever must come before it, and prints what came out.

Rooms are imported inside the verbs, so that help and usage errors answer at once.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from recfunnel.cli.options import StudyOptions
from recfunnel.cli.progress import TerminalProgress
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.storage import to_json, write_json

if TYPE_CHECKING:
    from recfunnel.report.summary import RunSummary
    from recfunnel.study.planning import Planning
    from recfunnel.study.study import Study

app = App(
    name="recfunnel",
    help="Finds, proves and serves the best multi-stage recommender a machine can deliver in time.",
    version=lambda: version("recfunnel"),
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `main` says how to go on
)

DEFAULT_OPTIONS = StudyOptions()

Named = Annotated[str | None, Parameter(show_default=False)]


@app.command
def run(study: Named = None, /, options: StudyOptions = DEFAULT_OPTIONS) -> int:
    """Do all of it: data, models, quality, latency, plan, verification, report.

    Without arguments it runs on generated data in a few minutes. Killed at any moment, the same
    command goes on from the last complete step. Exit code 1: nothing meets the target, or the
    plan did not keep its promise when it was executed.

    Args:
        study: a recipe's name, a .toml or .py file, or a data folder such as ml-1m.
        options: what differs from run to run.
    """
    with working(study, options) as planning:
        planning.verify()
        show_report(planning, options)
        return 0 if planning.kept_promise() else 1


@app.command
def train(
    study: Named = None,
    /,
    *,
    model: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    options: StudyOptions = DEFAULT_OPTIONS,
) -> int:
    """Fit the study's models, or only some of them and what they read.

    Args:
        study: as for `run`.
        model: names of models; all when none is given.
        options: what differs from run to run.
    """
    from recfunnel.study.tables import fit_rows

    with working(study, options) as planning:
        planning.steps.train(model)
        emit(fit_rows(planning, model), options)
    return 0


@app.command
def score(study: Named = None, /, options: StudyOptions = DEFAULT_OPTIONS) -> int:
    """Score the query sets with every model and print how each ranks alone, on the test split.

    Args:
        study: as for `run`.
        options: what differs from run to run.
    """
    from recfunnel.study.tables import quality_rows

    with working(study, options) as planning:
        emit(quality_rows(planning), options)
    return 0


@app.command
def profile(study: Named = None, /, options: StudyOptions = DEFAULT_OPTIONS) -> int:
    """Measure (or model) the service time of every model over numbers of candidates.

    Args:
        study: as for `run`.
        options: what differs from run to run.
    """
    from recfunnel.study.tables import profile_rows

    with working(study, options) as planning:
        emit(profile_rows(planning), options)
    return 0


@app.command
def plan(study: Named = None, /, options: StudyOptions = DEFAULT_OPTIONS) -> int:
    """Search pipelines and mappings and choose what to deploy; writes plan.json, not the report.

    Exit code 1: nothing meets the target; the answer says what falls short and what would help.

    Args:
        study: as for `run`.
        options: what differs from run to run.
    """
    from recfunnel.study.summarise import summarise

    with working(study, options) as planning:
        show(summarise(planning, curves=False), options)
        return 0 if planning.plan().plan.chosen is not None else 1


@app.command
def verify(
    study: Named = None,
    /,
    options: StudyOptions = DEFAULT_OPTIONS,
    *,
    again: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Execute the plan and its baselines under open-loop load; predicted against measured.

    Exit code 1: the plan did not keep its promise.

    Args:
        study: as for `run`.
        options: what differs from run to run.
        again: Measure once more what was measured before, on a quieter machine, say.
    """
    with working(study, options) as planning:
        planning.verify(again=again)
        show_report(planning, options)
        return 0 if planning.kept_promise() else 1


@app.command
def report(study: Named = None, /, options: StudyOptions = DEFAULT_OPTIONS) -> int:
    """Write report.html from what the run folder holds, planning first where that is missing.

    Args:
        study: as for `run`.
        options: what differs from run to run.
    """
    with working(study, options) as planning:
        show_report(planning, options)
    return 0


@app.command
def recipes(*, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """List the built-in studies.

    Args:
        json: print JSON.
    """
    from recfunnel.recipes.catalogue import recipe_names, recipe_summary

    found = {name: recipe_summary(name) for name in recipe_names()}
    if json:
        emit_json(found)
    else:
        for name, line in found.items():
            say(f"{name:16} {line}")
    return 0


@app.command
def data(
    name: str | None = None,
    /,
    *,
    to: Path = Path("data"),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Fetch a public data set, or list those there are with their licences.

    Without a network it says which files to put where.

    Args:
        name: of the data set; without it all are listed.
        to: folder to put it in.
        json: print JSON.
    """
    from recfunnel.data.fetch import RECIPES, fetch

    if name is None:
        rows = {key: msgspec.to_builtins(found) for key, found in RECIPES.items()}
        if json:
            emit_json(rows)
        else:
            for key, found in RECIPES.items():
                say(f"{key:16} {found.title}\n{'':16} {found.licence}")
        return 0
    with reporting(quiet=json) as progress:
        folder = fetch(name, to, progress)
    if json:
        emit_json({"name": name, "folder": str(folder)})
    else:
        say(f"{name} is in {folder}; run: recfunnel run {folder}")
    return 0


@contextmanager
def working(named: str | None, options: StudyOptions) -> "Iterator[Planning]":
    """Open the run folder of the study the options describe, with progress on standard error."""
    from recfunnel.study.planning import Planning
    from recfunnel.study.run_folder import RunFolder

    study = chosen_study(named, options)
    out = options.out or Path("runs") / study.name
    with RunFolder(out) as folder, reporting(quiet=options.quiet) as progress:
        yield Planning(study, folder, progress, command=command_line())


def chosen_study(named: str | None, options: StudyOptions) -> "Study":
    """The study of a command line, changes applied."""
    from recfunnel.recipes.catalogue import recipe
    from recfunnel.study.choose import choose_study

    stored = None if options.out is None else options.out / "study.toml"
    return choose_study(
        named,
        recipe=recipe,
        data=options.data,
        changes=options.changes(),
        settings=options.set,
        stored=stored if stored is not None and stored.exists() else None,
    )


def reporting(*, quiet: bool) -> Any:
    """Context manager that yields where progress goes."""
    return nullcontext[Progress](SILENT) if quiet else TerminalProgress()


def command_line() -> str:
    """What the user typed, to print in the report."""
    return " ".join(["recfunnel", *sys.argv[1:]])


def show_report(planning: "Planning", options: StudyOptions) -> None:
    """Write summary.json and report.html, and print the same as tables or as JSON."""
    from recfunnel.report.html import write_html
    from recfunnel.study.summarise import summarise

    summary = summarise(planning)
    write_json(planning.path / "summary.json", summary)
    write_html(summary, planning.path / "report.html")
    show(summary, options)
    if not options.json:
        say(f"report: {planning.path / 'report.html'}")


def show(summary: "RunSummary", options: StudyOptions) -> None:
    """Print a run summary as tables or as JSON."""
    from recfunnel.report.terminal import draw_report

    if options.json:
        emit_json(summary)
    else:
        draw_report(summary, terminal())


def emit(rows: Sequence[Mapping[str, Any]], options: StudyOptions) -> None:
    """Print rows as JSON or as a table whose columns are the first row's keys."""
    if options.json:
        emit_json(rows)
        return
    table = RichTable(box=SIMPLE_HEAD, header_style="bold")
    for number, key in enumerate(rows[0] if rows else ()):
        table.add_column(key, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(readable(key, value) for key, value in row.items()))
    terminal().print(table)


def readable(key: str, value: object) -> str:
    """A cell: seconds as ms where small, other numbers with 4 digits, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float) and key.endswith("_s") and value < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def emit_json(value: object) -> None:
    """Print any value as JSON on standard output."""
    sys.stdout.write(to_json(value).decode())


def terminal() -> Console:
    """Standard output, 100 columns wide where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=100)


def say(text: str) -> None:
    """Print one line on standard output."""
    Console(soft_wrap=True).print(text, highlight=False, markup=False)
