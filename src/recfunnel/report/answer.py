"""What a run found, in sentences: the headline, the numbers under it, and why."""

import math
from dataclasses import dataclass
from typing import Literal

from recfunnel.core.pipeline import Path
from recfunnel.core.results import DesignPoint, Estimate, ServingPlan, Shortfall
from recfunnel.report.findings import PairedComparison, VerificationRow
from recfunnel.report.formatting import (
    MISSING,
    NOT_MEASURED,
    compact_name,
    count,
    duration,
    duration_estimate,
    estimate,
    percent,
    quantile_name,
    rate,
    signed_estimate,
    signed_percent,
    significant,
)
from recfunnel.report.summary import RunSummary

State = Literal["feasible", "infeasible", "pending"]


@dataclass(frozen=True, slots=True)
class KeyNumber:
    """One number that matters.

    Args:
        label: what it is.
        value: as people read it.
        note: what it is held against.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What stands at the top.

    Args:
        state: `pending` when nothing was planned yet.
        headline: the answer in a line.
        statement: the answer with all its numbers in one sentence, to be quoted.
        key_numbers: its figures.
        sentences: why, and what it rests on.
        remedies: what would help, when infeasible.
    """

    state: State
    headline: str
    statement: str
    key_numbers: tuple[KeyNumber, ...] = ()
    sentences: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


def answer(summary: RunSummary) -> Answer:
    """The answer of a run, whatever part of it has run."""
    plan = summary.plan
    if plan is None:
        return Answer("pending", "No plan yet", "Run `recfunnel plan` to find one.")
    if plan.shortfall is not None:
        return _infeasible(summary, plan, plan.shortfall)
    assert plan.chosen is not None  # a plan has one of the two
    return _feasible(summary, plan, plan.chosen)


def target(plan: ServingPlan) -> str:
    """What was asked, such as `p99 within 25.0 ms at 200 queries/s`."""
    level = plan.service_level
    return (
        f"{quantile_name(level.quantile)} within {duration(level.deadline_s)} "
        f"at {rate(plan.rate_qps)}"
    )


def short_name(path: Path) -> str:
    """The models of a path: `ease → rerank`, or `ease alone`."""
    models = path.pipeline.models
    return f"{models[0]} alone" if len(models) == 1 else " → ".join(models)


def _feasible(summary: RunSummary, plan: ServingPlan, chosen: DesignPoint) -> Answer:
    goals = chosen.objectives
    tail = quantile_name(plan.service_level.quantile)
    headroom = goals.capacity_qps.mean / plan.rate_qps
    numbers = (
        _quality(summary, chosen),
        KeyNumber(
            f"{tail} at {rate(plan.rate_qps)}",
            duration_estimate(goals.tail_latency_s),
            f"deadline {duration(plan.service_level.deadline_s)}",
        ),
        KeyNumber(
            "capacity", rate(goals.capacity_qps.mean), f"{significant(headroom)} times the load"
        ),
        _verified(summary),
        *_runtimes(chosen.path),
    )
    headline = f"Serve {chosen.path.pipeline.name}"
    return Answer(
        "feasible", headline, _statement(summary, plan, chosen), numbers, _why(summary, plan)
    )


def served_ndcg(summary: RunSummary, chosen: DesignPoint) -> Estimate:
    """NDCG of the chosen path on the test queries where it is known, else as it was planned."""
    parts = summary.attribution
    return chosen.objectives.ndcg if parts is None else parts.ndcg


def _quality(summary: RunSummary, chosen: DesignPoint) -> KeyNumber:
    note = "± one standard error"
    if summary.planned_on and summary.attribution is not None:
        note = f"on test; {summary.planned_on} {significant(chosen.objectives.ndcg.mean, 4)}"
    elif summary.planned_on:
        note = f"on the {summary.planned_on} queries"
    return KeyNumber(f"NDCG@{summary.k}", estimate(served_ndcg(summary, chosen)), note)


def _statement(summary: RunSummary, plan: ServingPlan, chosen: DesignPoint) -> str:
    goals = chosen.objectives
    row = closest_verification(summary)
    verified = (
        f"verification {NOT_MEASURED}"
        if row is None
        else f"verified at {rate(row.rate_qps)}: "
        f"p99 predicted {duration(row.predicted_p99_s.mean)}, "
        f"measured {duration(row.measured_p99_s.mean)}"
    )
    return (
        f"{chosen.path.name}: NDCG@{summary.k} {estimate(served_ndcg(summary, chosen))}, "
        f"{quantile_name(plan.service_level.quantile)} {duration(goals.tail_latency_s.mean)} "
        f"at {rate(plan.rate_qps)}, capacity {rate(goals.capacity_qps.mean)}; {verified}."
    )


def _verified(summary: RunSummary) -> KeyNumber:
    row = closest_verification(summary)
    if row is None:
        return KeyNumber("verified p99", NOT_MEASURED, "the prediction was not held against a run")
    return KeyNumber(
        f"p99 measured at {rate(row.rate_qps)}",
        duration_estimate(row.measured_p99_s),
        f"predicted {duration(row.predicted_p99_s.mean)}, {signed_percent(row.p99_error)}",
    )


def _runtimes(path: Path) -> tuple[KeyNumber, ...]:
    """What runs the models of a path, where that was a choice."""
    if not path.runtimes:
        return ()
    by_runtime: dict[str, list[str]] = {}
    for model, runtime in path.runtimes:
        by_runtime.setdefault(runtime, []).append(model)
    if len(by_runtime) == 1:
        return (KeyNumber("runtime", next(iter(by_runtime)), "of every model"),)
    text = ", ".join(f"{name} ({', '.join(models)})" for name, models in by_runtime.items())
    return (KeyNumber("runtimes", text, "the fastest of each call"),)


def closest_verification(summary: RunSummary) -> VerificationRow | None:
    """The undisturbed measurement of the chosen path nearest to the planned load."""
    rows = [
        row
        for row in summary.verification
        if row.role == "chosen" and not row.polluted and not math.isnan(row.p99_error)
    ]
    if not rows or summary.plan is None:
        return None
    wanted = summary.plan.rate_qps
    return min(rows, key=lambda row: abs(row.rate_qps - wanted))


def _why(summary: RunSummary, plan: ServingPlan) -> tuple[str, ...]:
    found = [plan.reason] if plan.reason else []
    if summary.comparison is not None:
        found.append(_compared(summary.comparison, summary.k))
    return (*found, *_searched(summary, plan))


def _searched(summary: RunSummary, plan: ServingPlan) -> tuple[str, ...]:
    sentences = []
    if summary.counts is not None:
        counts = summary.counts
        spent = "" if counts.seconds is None else f" in {duration(counts.seconds)}"
        sentences.append(
            f"{count(counts.num_enumerated)} paths were considered{spent}: "
            f"{count(counts.num_pruned)} ruled out before simulation, "
            f"{count(counts.num_simulated)} simulated, "
            f"{count(len(plan.front.points))} on the Pareto front."
        )
    if plan.profile_source == "modelled":
        sentences.append("Latencies are modelled, not measured: no such machine was at hand.")
    return tuple(sentences)


def _compared(comparison: PairedComparison, k: int) -> str:
    verdicts = {
        "same": "the same quality within the tolerance",
        "better": "better",
        "worse": "worse",
        "undecided": "not decided by these queries",
    }
    tolerance = f", tolerance {significant(comparison.tolerance)}" if comparison.tolerance else ""
    text = (
        f"Against {compact_name(comparison.rival)}, query by query, NDCG@{k} differs by "
        f"{signed_estimate(comparison.difference)} ({percent(comparison.confidence)} interval "
        f"{comparison.low:+.4f} to {comparison.high:+.4f}{tolerance}): "
        f"{verdicts[comparison.verdict]}."
    ).replace(" -", " \N{MINUS SIGN}")
    ratios = [
        f"{estimate(ratio)} times ({how})"
        for ratio, how in (
            (comparison.capacity_ratio, "predicted"),
            (comparison.measured_capacity_ratio, "measured"),
        )
        if ratio is not None
    ]
    return f"{text} It carries {' and '.join(ratios)} the rival's load." if ratios else text


def _infeasible(summary: RunSummary, plan: ServingPlan, shortfall: Shortfall) -> Answer:
    numbers = (
        KeyNumber("asked for", _with_unit(shortfall.needed, shortfall.unit), shortfall.requirement),
        KeyNumber("best there is", _with_unit(shortfall.available, shortfall.unit), "of all paths"),
        KeyNumber("short by", _gap(shortfall), ""),
    )
    reason = (plan.reason,) if plan.reason else ()
    sentences = (*reason, *_searched(summary, plan))
    headline = f"Nothing meets {target(plan)}"
    statement = (
        f"{shortfall.requirement}: asked for {numbers[0].value}, best there is {numbers[1].value}."
    )
    return Answer("infeasible", headline, statement, numbers, sentences, shortfall.remedies)


def _gap(shortfall: Shortfall) -> str:
    low, high = sorted((shortfall.needed, shortfall.available))
    if not (low > 0 and math.isfinite(high)):
        return MISSING
    return f"a factor of {significant(high / low)}"


def _with_unit(value: float, unit: str) -> str:
    if unit == "s":
        return duration(value)
    return f"{significant(value, 4)} {unit}".rstrip()
