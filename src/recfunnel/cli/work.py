"""A study at work for one command line: a step is done, shown, and answered with an exit code."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recfunnel.cli.options import StudyOptions
from recfunnel.cli.printing import emit_json, print_table, say, terminal
from recfunnel.cli.progress import reporting
from recfunnel.core.storage import write_json
from recfunnel.recipes.catalogue import recipe
from recfunnel.report.html import write_html
from recfunnel.report.summary import RunSummary
from recfunnel.report.terminal import draw_report
from recfunnel.study.choose import choose_study
from recfunnel.study.planning import Planning
from recfunnel.study.run_folder import RunFolder
from recfunnel.study.study import Study
from recfunnel.study.summarise import summarise
from recfunnel.study.tables import fit_rows, profile_rows, quality_rows


@contextmanager
def open_work(named: str | None, options: StudyOptions) -> Iterator["Work"]:
    """Open the run folder of the study the options describe, with progress on standard error."""
    study = chosen_study(named, options)
    out = options.out or Path("runs") / study.name
    command = " ".join(["recfunnel", *sys.argv[1:]])
    with RunFolder(out) as folder, reporting(quiet=options.quiet) as progress:
        yield Work(Planning(study, folder, progress, command=command), options)


def chosen_study(named: str | None, options: StudyOptions) -> Study:
    """The study of a command line, changes applied."""
    stored = None if options.out is None else options.out / "study.toml"
    return choose_study(
        named,
        recipe=recipe,
        data=options.data,
        changes=options.changes(),
        settings=options.set,
        stored=stored if stored is not None and stored.exists() else None,
    )


class Work:
    """The steps of an open study, as commands.

    Every method does what the verb of its name says, prints the result as tables or as JSON, and
    returns the exit code: 0, or 1 where the target is missed.

    Args:
        planning: the study in its run folder.
        options: say how to print.
    """

    def __init__(self, planning: Planning, options: StudyOptions) -> None:
        self._planning = planning
        self._options = options

    def train(self, only: tuple[str, ...]) -> int:
        """Fit all models, or only some and what they read."""
        self._planning.steps.train(only)
        return self._print_rows(fit_rows(self._planning, only))

    def score(self) -> int:
        """How each model ranks alone."""
        return self._print_rows(quality_rows(self._planning))

    def profile(self) -> int:
        """Service times of each model."""
        return self._print_rows(profile_rows(self._planning))

    def plan(self) -> int:
        """What to deploy, without the report's curves."""
        self._print_summary(summarise(self._planning, curves=False))
        return 0 if self._planning.plan().plan.chosen is not None else 1

    def verify(self, *, again: bool = False) -> int:
        """Execute the plan, then report."""
        self._planning.verify(again=again)
        self.report()
        return 0 if self._planning.kept_promise() else 1

    def report(self) -> int:
        """Write summary.json and report.html."""
        folder, summary = self._planning.path, summarise(self._planning)
        write_json(folder / "summary.json", summary)
        write_html(summary, folder / "report.html")
        self._print_summary(summary)
        if not self._options.json:
            say(f"report: {folder / 'report.html'}")
        return 0

    def _print_rows(self, rows: Sequence[Mapping[str, Any]]) -> int:
        if self._options.json:
            emit_json(rows)
        else:
            print_table(rows)
        return 0

    def _print_summary(self, summary: RunSummary) -> None:
        if self._options.json:
            emit_json(summary)
        else:
            draw_report(summary, terminal())
