"""`recfunnel reproduce recpipe`: RecPipe's accelerator figures with ours beside them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from recfunnel.cli.printing import emit_json, say, terminal
from recfunnel.cli.progress import reporting
from recfunnel.cli.reproduce_claim import judge
from recfunnel.core.errors import MissingExtraError, StudyError

if TYPE_CHECKING:
    from recfunnel.report.recpipe import RecPipeReproduction


def recpipe(
    *,
    figure: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    all: Annotated[bool, Parameter(negative="")] = False,
    claim: Path | None = None,
    queries: int | None = None,
    replications: int | None = None,
    samples: int | None = None,
    judges: int | None = None,
    out: Annotated[Path, Parameter(alias="-o")] = Path("runs/reproduce-recpipe"),
    json: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(alias="-q", negative="")] = False,
) -> int:
    """RecPipe (MICRO 2021): its accelerator figures, logged, by its own model, and corrected.

    The timing model published with the paper is a compatibility mode whose faults are switches, so
    that the logged values, what its sleeping processes add to them, and what each correction
    changes stand side by side. Keeps recpipe.json, and each figure as .svg and .png.

    Args:
        figure: 10a, 10c, 11, 12, 13 or 14; may be repeated.
        all: every figure; about one and a half minutes of a core.
        claim: instead of figures, judge the claim of 3 times in latency and 6 times in throughput
            at equal NDCG, with the scores of this run folder (dlrm_small and dlrm_large); minutes.
        queries: simulated in each replication of figures 12 to 14; 10,000 when not given, and 1,500
            for the claim.
        replications: of each load; 5 when not given, 3 for the claim, at least 2.
        samples: of the trace of figure 10c; 800,000 when not given, the published study had
            12,800,000.
        judges: for the claim, test queries that judge quality; 300 when not given.
        out: folder for results and figures.
        json: print JSON.
        quiet: no progress on standard error.
    """
    from recfunnel.core.storage import write_json
    from recfunnel.study.recpipe.cache_study import PUBLISHED_SAMPLES
    from recfunnel.study.recpipe.reproduce import FIGURES, check_figures, reproduce_recpipe
    from recfunnel.study.recpipe.under_load import Effort

    if claim is not None:
        if figure or all:
            raise StudyError("--claim and figures are both asked for; run them one after the other")
        return judge(claim, queries, replications, judges, out, json=json, quiet=quiet)
    figures = FIGURES if all else figure
    check_figures(figures)
    usual = Effort()
    effort = Effort(
        num_queries=usual.num_queries if queries is None else queries,
        num_replications=usual.num_replications if replications is None else replications,
    )
    cache_samples = PUBLISHED_SAMPLES // 16 if samples is None else samples
    with reporting(quiet=quiet) as progress:
        result = reproduce_recpipe(figures, effort, cache_samples, progress)
    write_json(out / "recpipe.json", result)
    drawn = _draw_figures(result, out)
    if json:
        emit_json(result)
        return 0
    _print_tables(result)
    kept = f"kept in {out / 'recpipe.json'}"
    say(kept + (f", with {drawn} figures beside it" if drawn else ""))
    return 0


def _draw_figures(result: "RecPipeReproduction", out: Path) -> int:
    """Keep every figure; how many, 0 with a warning where nothing can draw."""
    from recfunnel.report.figure_recpipe import recpipe_figures

    try:
        figures = recpipe_figures(result)
    except MissingExtraError as error:
        say(f"warning: no figures: {error}")
        return 0
    for figure in figures:
        figure.save_svg(out / f"{figure.name}.svg")
        figure.save_png(out / f"{figure.name}.png")
    return len(figures)


def _print_tables(result: "RecPipeReproduction") -> None:
    from recfunnel.report.recpipe_tables import recpipe_tables
    from recfunnel.report.terminal import draw_table

    console = terminal()
    for table in recpipe_tables(result):
        console.print(draw_table(table))
    for note in result.notes:
        say(f"note: {note}")
