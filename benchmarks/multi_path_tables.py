"""Tables of `multi_path_serving.py`: a row a policy, both measures of quality side by side."""

from collections.abc import Iterator

from recfunnel.core.results import Estimate
from recfunnel.report.table import Cell, Column, Row, Table
from recfunnel.simulate.paths_trial import OURS, LoadResult, PolicyResult, TrialResult

_COLUMNS = (
    Column("policy"),
    Column("NDCG", "mean over all queries, 0 where late or never answered", True),
    Column("below ours", "paired difference on the same queries, 95 % interval", True),
    Column("accuracy", "the same of accuracy", True),
    Column("late %", "queries late, never answered or turned away, 95 % interval", True),
    Column("shed %", "queries turned away, a part of those", True),
    Column("p99 ms", "99th percentile of latency", True),
    Column("goodput/s", "queries answered in time", True),
    Column("TCP/s", "samples answered a second times accuracy, late ones too", True),
    Column("TCP+/s", "those in time, above the accuracy of the trivial answer", True),
    Column("queries by path %", "share of all queries on each path, in the menu's order"),
)


def joint_tables(
    by_ndcg: TrialResult, by_accuracy: TrialResult, bounds: dict[float, float]
) -> Iterator[Table]:
    """One table a load.

    Args:
        by_ndcg: the runs, judged by NDCG.
        by_accuracy: the same runs, judged by accuracy.
        bounds: of delivered NDCG, by load, where known.
    """
    for load, other in zip(by_ndcg.loads, by_accuracy.loads, strict=True):
        rows = zip(load.policies, other.policies, strict=True)
        yield Table(
            f"multi-path-{load.load:g}",
            _title(by_ndcg, load),
            _COLUMNS,
            tuple(_row(ndcg, accuracy) for ndcg, accuracy in rows),
            _caption(load, bounds.get(load.load)),
        )


def _title(result: TrialResult, load: LoadResult) -> str:
    way = "executed" if result.executed else "simulated"
    return (
        f"{way} at {load.load:g} times what {result.best_static!r} carries alone: "
        f"{load.rate_qps:.0f} queries/s"
    )


def _caption(load: LoadResult, bound: float | None) -> str:
    ours = next(p for p in load.policies if p.policy == OURS)
    better = [p for p in load.policies if p.below_ours.mean < 0]
    found = ", ".join(f"{p.policy!r} by {_signed(p.below_ours)}" for p in better)
    words = [f"Better than {OURS}: {found or 'none'}."]
    if bound is not None:
        quality = ours.delivered.delivered_quality.mean
        words.append(f"No schedule delivers more than {bound:.4f}: regret {bound - quality:.4f}.")
    return " ".join(words)


def _row(by_ndcg: PolicyResult, by_accuracy: PolicyResult) -> Row:
    found, accuracy = by_ndcg.delivered, by_accuracy.delivered
    shares = " ".join(f"{100 * path.share_of_queries.mean:.0f}" for path in found.paths)
    ours = by_ndcg.policy == OURS
    late = found.violation_rate
    texts = (
        by_ndcg.policy,
        f"{found.delivered_quality.mean:.4f}",
        "" if ours else _signed(by_ndcg.below_ours),
        f"{accuracy.delivered_quality.mean:.4f}",
        f"{100 * late.mean:.2f} ±{100 * _half(late):.2f}",
        f"{100 * found.shed_rate.mean:.2f}",
        f"{1e3 * found.p99_s.mean:.1f}",
        f"{found.goodput_qps.mean:,.0f}",
        f"{accuracy.tcp_per_s.mean:,.0f}",
        f"{accuracy.corrected_tcp_per_s.mean:,.0f}",
        shares,
    )
    return Row(tuple(map(Cell, texts)), "chosen" if ours else "plain")


def _signed(estimate: Estimate) -> str:
    return f"{estimate.mean:+.4f} ±{_half(estimate):.4f}"


def _half(estimate: Estimate) -> float:
    if estimate.num_samples < 2:
        return float("nan")
    low, high = estimate.interval()
    return (high - low) / 2
