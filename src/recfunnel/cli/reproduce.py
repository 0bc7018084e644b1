"""`recfunnel reproduce`: a paper's tables with ours beside them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from recfunnel.cli.printing import emit_json, say, terminal
from recfunnel.cli.progress import reporting
from recfunnel.cli.reproduce_recpipe import recpipe
from recfunnel.core.errors import MissingExtraError

if TYPE_CHECKING:
    from recfunnel.report.mprec import MPRecReproduction

app = App(name="reproduce", help="A paper's tables, with ours beside them.")
app.command(recpipe)


@app.command
def mprec(
    *,
    set: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    quality: Path | None = None,
    queries: int | None = None,
    replications: int | None = None,
    out: Annotated[Path, Parameter(alias="-o")] = Path("runs/reproduce-mprec"),
    json: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(alias="-q", negative="")] = False,
) -> int:
    """MP-Rec (ASPLOS 2023): sizes, accuracies, design points and ratios, published and ours.

    Service times are modelled from datasheets, policies are simulated on them, and every assumption
    is varied to say what each ratio hangs on. Keeps mprec.json, and each figure as .svg and .png.

    Args:
        set: change an assumption, such as cpu_efficiency=0.5; may be repeated.
        quality: folder with results of benchmarks/representations_quality.py, shown beside the
            published accuracies.
        queries: simulated in each replication of the serving experiment; 10,000 when not given,
            which takes some minutes, 0 for none.
        replications: of each policy; 3 when not given.
        out: folder for results and figures.
        json: print JSON.
        quiet: no progress on standard error.
    """
    from recfunnel.core.storage import write_json
    from recfunnel.study.mprec.assumptions import assumptions_of
    from recfunnel.study.mprec.reproduce import Serving, reproduce_mprec

    assumptions, usual = assumptions_of(set), Serving()
    serving = Serving(
        num_queries=usual.num_queries if queries is None else queries,
        num_replications=usual.num_replications if replications is None else replications,
    )
    with reporting(quiet=quiet) as progress:
        result = reproduce_mprec(assumptions, serving, quality, progress)
    write_json(out / "mprec.json", result)
    drawn = _draw_figures(result, out)
    if json:
        emit_json(result)
        return 0
    _print_tables(result)
    say(f"kept in {out / 'mprec.json'}" + (f", with {drawn} figures beside it" if drawn else ""))
    return 0


def _draw_figures(result: "MPRecReproduction", out: Path) -> int:
    """Keep every figure; how many, 0 with a warning where nothing can draw."""
    from recfunnel.report.figure_mprec import mprec_figures

    try:
        figures = mprec_figures(result)
    except MissingExtraError as error:
        say(f"warning: no figures: {error}")
        return 0
    for figure in figures:
        figure.save_svg(out / f"{figure.name}.svg")
        figure.save_png(out / f"{figure.name}.png")
    return len(figures)


def _print_tables(result: "MPRecReproduction") -> None:
    from recfunnel.report.mprec_tables import mprec_tables
    from recfunnel.report.terminal import draw_table

    console = terminal()
    for table in mprec_tables(result):
        console.print(draw_table(table))
    for note in result.notes:
        say(f"note: {note}")
