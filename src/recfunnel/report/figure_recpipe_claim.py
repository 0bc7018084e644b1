"""RecPipe's claim as a picture: how many times better each design is than the prior art."""

from recfunnel.report.figure import BASELINES, CHOSEN, MUTED, Figure, house_style, new_axes, settle
from recfunnel.report.figure_legends import legend
from recfunnel.report.recpipe_claim import (
    CLAIMED_LATENCY,
    CLAIMED_THROUGHPUT,
    ClaimWorld,
    RecPipeClaim,
)


def claim_figures(claim: RecPipeClaim) -> tuple[Figure, ...]:
    """A figure a world.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return tuple(_figure(world, number) for number, world in enumerate(claim.worlds, 1))


def _figure(world: ClaimWorld, number: int) -> Figure:
    rows = world.designs[::-1]
    places = range(len(rows))
    canvas, axes = new_axes(height_in=1.6 + 0.34 * len(rows))
    with house_style():
        for shift, colour, mark, name, values in (
            (0.14, BASELINES[0], "o", "p99 at the load", [row.p99_ratio for row in rows]),
            (-0.14, CHOSEN, "s", "load within the deadline", [row.held_ratio for row in rows]),
        ):
            axes.errorbar(
                [value.mean for value in values],
                [place + shift for place in places],
                xerr=[1.96 * value.stderr for value in values],
                fmt=mark,
                color=colour,
                markersize=5,
                label=name,
            )
        for claimed, colour in ((CLAIMED_LATENCY, BASELINES[0]), (CLAIMED_THROUGHPUT, CHOSEN)):
            axes.axvline(claimed, color=colour, linestyle=(0, (4, 3)), linewidth=1.1)
        axes.axvline(1, color=MUTED, linewidth=0.8)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_yticks(list(places), [f"{row.name} ({row.cut})" for row in rows])
        axes.set_xlabel("times better than the prior art; dashed: claimed")
        legend(axes, 2)
        settle(canvas)
    told = "; ".join(
        f"{row.name}: {row.p99_ratio.mean:.1f} in latency, {row.held_ratio.mean:.1f} in throughput"
        for row in world.designs
    )
    return Figure(
        f"recpipe-claim-{number}",
        f"The claim of 3 times in latency and 6 times in throughput: {world.name} (simulated)",
        told,
        canvas,
    )
