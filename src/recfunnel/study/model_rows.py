"""What each model alone is like, and on each runtime: rows of the report's model tables."""

from typing import Any

from recfunnel.core.pipeline import base_name
from recfunnel.core.results import Estimate, LatencyProfile
from recfunnel.core.spec import kind_of
from recfunnel.core.storage import MANIFEST, read_json
from recfunnel.plan.planner import PlanResult
from recfunnel.profile.request import RESTED
from recfunnel.report.facts import ModelRow, RuntimeRow
from recfunnel.study.planning import Planning

SHORTLIST = 256
"""Candidates of the second service time in the model table."""


def model_rows(planning: Planning, result: PlanResult | None = None) -> tuple[ModelRow, ...]:
    """Each model alone: size, fit, quality on test, service times, and capacity when planned."""
    costs, single = planning.costs(), planning.single_metrics()
    capacity = {} if result is None else _single_capacity(result)
    profiles = {} if result is None else _one_thread(planning.fastest()[0])
    rows = []
    for name in planning.steps.served():
        entry = planning.study.models[base_name(name)]
        fit = _fit_report(planning, base_name(name))
        history = fit.get("history") or [None]
        metrics = single[name]
        rows.append(
            ModelRow(
                name=name,
                kind=kind_of(entry.model),
                parameter_bytes=costs[name].parameter_bytes,
                num_parameters=costs[name].parameter_bytes // 4,
                fit_seconds=fit.get("seconds"),
                validation_metric=fit.get("metric", ""),
                validation=history[fit.get("best_epoch", -1)],
                ndcg=metrics.ndcg_linear,
                hit_rate=metrics.hit_rate,
                recall=metrics.recall,
                mrr=metrics.mrr,
                service_catalogue_s=_mean_s(profiles.get(name), planning.num_candidates),
                service_shortlist_s=_mean_s(profiles.get(name), num_shortlist(planning)),
                capacity_qps=capacity.get(name),
                score_inputs=entry.score_inputs,
                notes=tuple(fit.get("notes", ())),
            )
        )
    return tuple(rows)


def runtime_rows(planning: Planning) -> tuple[RuntimeRow, ...]:
    """Calls of one thread on each runtime; none where there is nothing to choose."""
    if len(planning.study.runtimes) == 1:
        return ()
    timed = [p for p in planning.profile() if p.runtime and p.num_threads == 1]
    timed = [p for p in timed if not p.model.endswith(RESTED.suffix)]
    items, shortlist = planning.num_candidates, num_shortlist(planning)
    slowest_s: dict[str, float] = {}
    for profile in timed:
        whole_s = _mean_s(profile, items) or 0.0
        slowest_s[profile.model] = max(whole_s, slowest_s.get(profile.model, 0.0))
    fastest = planning.fastest()[1].fastest
    rows = []
    for profile in sorted(timed, key=lambda p: list(slowest_s).index(p.model)):
        taken_s = _mean_s(profile, items)
        key = profile.model, profile.platform, 1, items
        rows.append(
            RuntimeRow(
                model=profile.model,
                runtime=profile.runtime,
                catalogue_s=taken_s,
                shortlist_s=_mean_s(profile, shortlist),
                speedup=slowest_s[profile.model] / taken_s if taken_s else None,
                fastest=fastest.get(key) == profile.runtime,
            )
        )
    return tuple(rows)


def num_shortlist(planning: Planning) -> int:
    """Candidates of the second service time: 256 where a stage may keep so many."""
    keeps = sorted(planning.study.space.keep_counts)
    if not keeps:
        return planning.num_candidates
    return SHORTLIST if SHORTLIST in keeps else keeps[len(keeps) // 2]


def _fit_report(planning: Planning, name: str) -> dict[str, Any]:
    manifest = read_json(planning.steps.models_folder / name / MANIFEST, dict[str, Any])
    report: dict[str, Any] = manifest.get("report", {})
    return report


def _one_thread(profiles: tuple[LatencyProfile, ...]) -> dict[str, LatencyProfile]:
    return {p.model: p for p in profiles if p.num_threads == 1}


def _mean_s(profile: LatencyProfile | None, num_items: int) -> float | None:
    if profile is None or not profile.batch_sizes[0] <= num_items <= profile.batch_sizes[-1]:
        return None
    return profile.mean_s(num_items)


def _single_capacity(result: PlanResult) -> dict[str, Estimate]:
    return {
        point.path.pipeline.stages[0].model: point.objectives.capacity_qps
        for point in result.plan.baselines
    }
