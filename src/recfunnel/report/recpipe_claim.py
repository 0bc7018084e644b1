"""RecPipe's claim about its accelerator, and what our model says of it, as values and tables."""

from recfunnel.core.results import Estimate
from recfunnel.core.spec import Value
from recfunnel.report.table import Cell, Column, Row, Table

CLAIMED_LATENCY, CLAIMED_THROUGHPUT = 3.0, 6.0
"""Times better than the prior art, as the paper has it, at equal quality."""


class ClaimRow(Value, frozen=True):
    """One design; ratios are how many times better than the prior art.

    Args:
        name: short.
        pipeline: models and keep-counts.
        cut: of the array.
        sub_batches: of a query.
        policy: how its best candidates are found.
        ndcg: of what is answered.
        ndcg_difference: bounds of the relative difference to the prior art's, paired over queries.
        equal: whether a loss above the tolerance is excluded.
        alone_s: latency of a query alone.
        p99_s: at the world's load.
        saturated_qps: of queries that always wait.
        held_qps: highest load within the world's deadline.
        alone_ratio: of latency alone.
        p99_ratio: of p99 at the load.
        saturated_ratio: of saturated throughput.
        held_ratio: of load within the deadline.
        area_mm2: of the chip.
        energy_j: of a query at the load.
    """

    name: str
    pipeline: str
    cut: str
    sub_batches: int
    policy: str
    ndcg: Estimate
    ndcg_difference: tuple[float, float]
    equal: bool
    alone_s: float
    p99_s: Estimate
    saturated_qps: Estimate
    held_qps: Estimate
    alone_ratio: float
    p99_ratio: Estimate
    saturated_ratio: Estimate
    held_ratio: Estimate
    area_mm2: float
    energy_j: float


class ClaimWorld(Value, frozen=True):
    """The claim on one chip with models of one size.

    Args:
        name: of both.
        rate_qps: load that p99 is of: half of what saturates the prior art.
        deadline_s: the prior art's p99 there.
        tolerance: largest relative loss of NDCG that counts as equal.
        num_queries: that judge.
        designs: the prior art first.
        features: RPAccel with one feature switched off in each, itself first.
        num_searched: designs that the best ones were searched among.
    """

    name: str
    rate_qps: float
    deadline_s: float
    tolerance: float
    num_queries: int
    designs: tuple[ClaimRow, ...]
    features: tuple[ClaimRow, ...]
    num_searched: int


class RecPipeClaim(Value, frozen=True):
    """The claim in every world; all of it simulated.

    Args:
        worlds: chips and sizes.
        notes: what must be known to read the numbers.
        simulated: always; no such chip exists.
    """

    worlds: tuple[ClaimWorld, ...]
    notes: tuple[str, ...]
    simulated: bool = True


_DESIGN_COLUMNS = (
    Column(title="design (simulated)"),
    Column(title="pipeline", in_terminal=False),
    Column(title="cut"),
    Column(title="runs", is_number=True),
    Column(title="NDCG", is_number=True),
    Column(title="equal"),
    Column(title="alone ms", is_number=True),
    Column(title="x", is_number=True, explanation="latency alone, times better"),
    Column(title="p99 x", is_number=True, explanation="p99 at the load, times better"),
    Column(title="max x", is_number=True, explanation="saturated throughput, times better"),
    Column(title="held x", is_number=True, explanation="load in the deadline, times better"),
    Column(title="mm2", is_number=True),
    Column(title="mJ", is_number=True),
)


def claim_tables(claim: RecPipeClaim) -> tuple[Table, ...]:
    """Two tables a world: the designs, and RPAccel without each of its features."""
    return tuple(
        table
        for number, world in enumerate(claim.worlds)
        for table in (_designs(world, number), _features(world, number))
    )


def _designs(world: ClaimWorld, number: int) -> Table:
    return Table(
        name=f"claim-{number}",
        title=f"{world.name}: times better than the prior art; claimed {CLAIMED_LATENCY:g} in "
        f"latency, {CLAIMED_THROUGHPUT:g} in throughput",
        columns=_DESIGN_COLUMNS,
        rows=tuple(_row(each) for each in world.designs),
        caption=f"p99 at {world.rate_qps:.4g} queries/s, half of what saturates the prior art; "
        f"held within its p99 there, {world.deadline_s * 1e3:.3g} ms; ± 95 %; equal: a loss of "
        f"NDCG above {world.tolerance:.1%} is excluded, {world.num_queries} queries; best designs "
        f"among {world.num_searched:,}, at no more than RPAccel's area",
    )


def _features(world: ClaimWorld, number: int) -> Table:
    whole = world.features[0]
    return Table(
        name=f"features-{number}",
        title=f"{world.name}: RPAccel without each feature",
        columns=(
            Column(title="without (simulated)"),
            Column(title="runs", is_number=True),
            Column(title="alone ms", is_number=True),
            Column(title="bought, latency", is_number=True),
            Column(title="p99 ms", is_number=True),
            Column(title="max queries/s", is_number=True),
            Column(title="bought, throughput", is_number=True),
        ),
        rows=tuple(
            Row(
                cells=(
                    Cell(each.name),
                    Cell(str(each.sub_batches)),
                    Cell(f"{each.alone_s * 1e3:.3g}"),
                    Cell(f"{each.alone_s / whole.alone_s:.2f}"),
                    Cell(_near(each.p99_s, 1e3)),
                    Cell(f"{each.saturated_qps.mean:.0f}"),
                    Cell(f"{whole.saturated_qps.mean / each.saturated_qps.mean:.2f}"),
                )
            )
            for each in world.features
        ),
        caption="bought: how many times worse it is without",
    )


def _row(each: ClaimRow) -> Row:
    return Row(
        cells=(
            Cell(each.name),
            Cell(each.pipeline),
            Cell(each.cut),
            Cell(str(each.sub_batches)),
            Cell(f"{each.ndcg.mean:.4f}"),
            Cell("yes" if each.equal else "no"),
            Cell(f"{each.alone_s * 1e3:.3g}"),
            Cell(f"{each.alone_ratio:.2f}"),
            Cell(_near(each.p99_ratio)),
            Cell(_near(each.saturated_ratio)),
            Cell(_near(each.held_ratio)),
            Cell(f"{each.area_mm2:.1f}"),
            Cell(f"{each.energy_j * 1e3:.3g}"),
        )
    )


def _near(found: Estimate, scale: float = 1.0) -> str:
    if found.mean == float("inf"):
        return "not steady"
    low, high = found.interval()
    return f"{found.mean * scale:.2f} ± {(high - low) / 2 * scale:.2f}"
