"""`recfunnel reproduce recpipe --claim RUN`: its claim about the accelerator, judged."""

from pathlib import Path
from typing import TYPE_CHECKING

from recfunnel.cli.printing import emit_json, say, terminal
from recfunnel.cli.progress import reporting
from recfunnel.core.errors import MissingExtraError

if TYPE_CHECKING:
    from recfunnel.report.recpipe_claim import RecPipeClaim


def judge(
    run: Path,
    queries: int | None,
    replications: int | None,
    judges: int | None,
    out: Path,
    *,
    json: bool,
    quiet: bool,
) -> int:
    """Judge the claim on a run's scores; keeps claim.json, and a figure a world.

    Args:
        run: folder with scores.
        queries: simulated in each replication; the usual number when None.
        replications: of each load; the usual number when None.
        judges: test queries that judge quality; the usual number when None.
        out: folder for results.
        json: print JSON.
        quiet: no progress on standard error.
    """
    from recfunnel.core.storage import write_json
    from recfunnel.study.accel.claim import ClaimEffort, judge_claim

    usual = ClaimEffort()
    effort = ClaimEffort(
        num_queries=usual.num_queries if queries is None else queries,
        num_replications=usual.num_replications if replications is None else replications,
        num_judges=usual.num_judges if judges is None else judges,
    )
    with reporting(quiet=quiet) as progress:
        claim = judge_claim(run, effort, progress)
    write_json(out / "claim.json", claim)
    drawn = _draw(claim, out)
    if json:
        emit_json(claim)
        return 0
    _print(claim)
    say(f"kept in {out / 'claim.json'}" + (f", with {drawn} figures beside it" if drawn else ""))
    return 0


def _draw(claim: "RecPipeClaim", out: Path) -> int:
    from recfunnel.report.figure_recpipe_claim import claim_figures

    try:
        figures = claim_figures(claim)
    except MissingExtraError as error:
        say(f"warning: no figures: {error}")
        return 0
    for figure in figures:
        figure.save_svg(out / f"{figure.name}.svg")
        figure.save_png(out / f"{figure.name}.png")
    return len(figures)


def _print(claim: "RecPipeClaim") -> None:
    from recfunnel.report.recpipe_claim import claim_tables
    from recfunnel.report.terminal import draw_table

    console = terminal()
    for table in claim_tables(claim):
        console.print(draw_table(table))
    for note in claim.notes:
        say(f"note: {note}")
