"""Tables of what policies over several paths delivered."""

from collections.abc import Iterator

from recfunnel.core.results import Estimate
from recfunnel.report.table import Cell, Column, Row, Table
from recfunnel.simulate.paths_trial import OURS, LoadResult, PolicyResult, TrialResult

_COLUMNS = (
    Column("policy"),
    Column("delivered", "mean quality over all queries, 0 where late or never answered", True),
    Column("below ours", "paired difference on the same queries, 95 % interval", True),
    Column("late %", "queries late, never answered or turned away", True),
    Column("shed %", "queries turned away, a part of those", True),
    Column("p99 ms", "99th percentile of latency", True),
    Column("TCP/s", "samples answered a second times accuracy, late ones too", True),
    Column("TCP+/s", "those in time, above the accuracy of the trivial answer", True),
    Column("queries by path %", "share of all queries on each path, in the menu's order"),
)


def trial_tables(result: TrialResult) -> Iterator[Table]:
    """One table a load.

    Args:
        result: of a trial.
    """
    for load in result.loads:
        yield _table(result, load)


def _table(result: TrialResult, load: LoadResult) -> Table:
    bound = ""
    if load.bound is not None and load.regret is not None:
        bound = (
            f"No schedule can deliver more than {load.bound:.4f}; {OURS} is {load.regret:.4f} "
            "below that (first replication)."
        )
    return Table(
        f"paths-{load.load:g}",
        f"{'executed' if result.executed else 'simulated'} at {load.load:g} times what "
        f"{result.best_static!r} carries alone: {load.rate_qps:.0f} queries/s",
        _COLUMNS,
        tuple(_row(policy) for policy in load.policies),
        bound,
    )


def _row(result: PolicyResult) -> Row:
    found = result.delivered
    shares = " ".join(f"{100 * path.share_of_queries.mean:.0f}" for path in found.paths)
    p99_ms = 1e3 * found.p99_s.mean
    cells = (
        Cell(result.policy),
        Cell(f"{found.delivered_quality.mean:.4f}", found.delivered_quality.mean),
        Cell(_difference(result), result.below_ours.mean),
        Cell(f"{100 * found.violation_rate.mean:.2f}", found.violation_rate.mean),
        Cell(f"{100 * found.shed_rate.mean:.2f}", found.shed_rate.mean),
        Cell(f"{p99_ms:.1f}", p99_ms),
        Cell(f"{found.tcp_per_s.mean:,.0f}", found.tcp_per_s.mean),
        Cell(f"{found.corrected_tcp_per_s.mean:,.0f}", found.corrected_tcp_per_s.mean),
        Cell(shares),
    )
    return Row(cells, "chosen" if result.policy == OURS else "plain")


def _difference(result: PolicyResult) -> str:
    if result.policy == OURS:
        return ""
    return f"{result.below_ours.mean:+.4f} ±{_half(result.below_ours):.4f}"


def _half(estimate: Estimate) -> float:
    low, high = estimate.interval()
    return (high - low) / 2
