"""The verbs: each does its step and whatever must come before it, and prints what came out.

Rooms are imported inside the verbs, so that help and usage errors answer at once.
"""

from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from recfunnel.cli.options import StudyOptions
from recfunnel.cli.printing import emit_json, say
from recfunnel.cli.progress import reporting

if TYPE_CHECKING:
    from recfunnel.cli.work import Work

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
    with working(study, options) as work:
        return work.verify()


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
    with working(study, options) as work:
        return work.train(model)


@app.command
def score(study: Named = None, /, options: StudyOptions = DEFAULT_OPTIONS) -> int:
    """Score the query sets with every model and print how each ranks alone, on the test split.

    Args:
        study: as for `run`.
        options: what differs from run to run.
    """
    with working(study, options) as work:
        return work.score()


@app.command
def profile(study: Named = None, /, options: StudyOptions = DEFAULT_OPTIONS) -> int:
    """Measure (or model) the service time of every model over numbers of candidates.

    Args:
        study: as for `run`.
        options: what differs from run to run.
    """
    with working(study, options) as work:
        return work.profile()


@app.command
def plan(study: Named = None, /, options: StudyOptions = DEFAULT_OPTIONS) -> int:
    """Search pipelines and mappings and choose what to deploy; writes plan.json, not the report.

    Exit code 1: nothing meets the target; the answer says what falls short and what would help.

    Args:
        study: as for `run`.
        options: what differs from run to run.
    """
    with working(study, options) as work:
        return work.plan()


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
    with working(study, options) as work:
        return work.verify(again=again)


@app.command
def report(study: Named = None, /, options: StudyOptions = DEFAULT_OPTIONS) -> int:
    """Write report.html from what the run folder holds, planning first where that is missing.

    Args:
        study: as for `run`.
        options: what differs from run to run.
    """
    with working(study, options) as work:
        return work.report()


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


def working(study: str | None, options: StudyOptions) -> "AbstractContextManager[Work]":
    """The chosen study, its run folder open; every step of it shows its result and gives a code."""
    from recfunnel.cli.work import open_work

    return open_work(study, options)
