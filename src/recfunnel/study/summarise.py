"""Put what a study found into one value that a report can show."""

import math
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from msgspec import structs

from recfunnel.core.pipeline import stage_scorers
from recfunnel.core.results import DesignPoint, Estimate
from recfunnel.core.seeds import rng_for
from recfunnel.plan.planner import PlanResult
from recfunnel.plan.prediction import predict_path
from recfunnel.quality.attribution import LossAttribution, attribute_loss
from recfunnel.quality.compare import compare
from recfunnel.report.facts import DatasetFacts, MachineFacts, SearchCounts
from recfunnel.report.findings import LoadCurve, PairedComparison, Role, VerificationRow
from recfunnel.report.summary import RunSummary, thinned
from recfunnel.study.by_runtime import plans_by_runtime
from recfunnel.study.model_rows import model_rows, num_shortlist, runtime_rows
from recfunnel.study.planning import Planning
from recfunnel.study.prove import Proof

_CURVE_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.02)
_NUM_RIVAL_CURVES = 3
_LIBRARIES = ("recfunnel", "numpy", "numba", "torch", "implicit", "polars", "msgspec")


def summarise(planning: Planning, *, curves: bool = True) -> RunSummary:
    """Everything found so far; verification only when it has been done for the present plan.

    Args:
        planning: the study at work.
        curves: whether to simulate latency over load for the report's figure and to plan with each
            runtime alone, which takes seconds.

    Returns:
        The summary.
    """
    result = planning.plan()
    proof = planning.proof()
    return RunSummary(
        study=planning.study.name,
        command=planning.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seeds={"study": planning.study.seed},
        k=planning.study.space.num_answers,
        num_shortlist=num_shortlist(planning),
        dataset=_dataset(planning),
        machine=_machine(planning),
        models=model_rows(planning, result),
        runtimes=runtime_rows(planning),
        alone=plans_by_runtime(planning) if curves else (),
        plan=result.plan,
        evaluated=thinned(result.points),
        counts=_counts(result),
        attribution=_attribution(planning, result),
        comparison=_comparison(planning, result, proof),
        curves=_curves(planning, result) if curves else (),
        verification=_verification(proof),
        planned_on="validation",
        notes=_notes(planning, result),
        warnings=_warnings(planning, proof),
    )


def _dataset(planning: Planning) -> DatasetFacts:
    dataset = planning.steps.data()
    return DatasetFacts(
        name=dataset.name,
        num_users=len(dataset.context),
        num_items=len(dataset.items),
        num_interactions=len(dataset.train),
        num_queries=next(iter(planning.single_metrics().values())).num_queries,
        provenance=dataset.provenance,
        num_candidates=None if dataset.test.candidates is None else planning.num_candidates,
    )


def _machine(planning: Planning) -> MachineFacts:
    notes = {note for profile in planning.profile() for note in profile.notes}
    return MachineFacts(
        platforms=(planning.platform(),),
        operating_system=f"{platform.system()} {platform.release()}",
        versions={"python": sys.version.split()[0], **_versions()},
        notes=tuple(sorted(notes)),
    )


def _versions() -> dict[str, str]:
    found = {}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _counts(result: PlanResult) -> SearchCounts:
    counts = result.counts
    return SearchCounts(
        num_enumerated=counts.designs,
        num_pruned=counts.designs - len(result.points),
        num_simulated=len(result.points),
        seconds=result.seconds,
    )


def _attribution(planning: Planning, result: PlanResult) -> LossAttribution | None:
    if result.plan.chosen is None:
        return None
    return attribute_loss(planning.book("test"), result.plan.chosen.path.pipeline)


def _comparison(planning: Planning, result: PlanResult, proof: Proof) -> PairedComparison | None:
    """Chosen against the best single model (chosen on validation), on the test queries."""
    chosen, versus = result.plan.chosen, result.versus_single
    if chosen is None or versus is None:
        return None
    book, rival = planning.book("test"), versus.single.path.pipeline
    found = compare(
        book.ndcg(rival),
        book.ndcg(chosen.path.pipeline),
        rng_for(planning.study.seed, "compare on test"),
        planning.study.target.tolerance,
    )
    return PairedComparison(
        rival=rival.name,
        difference=found.difference,
        low=found.interval[0],
        high=found.interval[1],
        confidence=found.confidence,
        tolerance=found.tolerance * found.reference.mean,
        verdict=found.verdict,
        capacity_ratio=versus.capacity_ratio,
        measured_capacity_ratio=_measured_ratio(proof, versus.single),
    )


def _measured_ratio(proof: Proof, rival: DesignPoint) -> Estimate | None:
    """Measured capacity of the chosen path over the rival's, where both were executed."""
    capacity = {found.path: found.capacity_qps for found in proof.capacities}
    if rival.path not in capacity or not capacity[rival.path].mean:
        return None
    ours, theirs = proof.capacities[0].capacity_qps, capacity[rival.path]
    ratio = ours.mean / theirs.mean
    relative = math.hypot(ours.stderr / ours.mean, theirs.stderr / theirs.mean) if ratio else 0.0
    return Estimate(mean=ratio, stderr=ratio * relative, num_samples=ours.num_samples)


def _curves(planning: Planning, result: PlanResult) -> tuple[LoadCurve, ...]:
    """The chosen path, the best single model and the two next best: more crowd the figure."""
    chosen = result.plan.chosen
    curves = [] if chosen is None else [_curve(planning, chosen, "chosen")]
    rivals = sorted(result.plan.baselines, key=lambda point: -point.objectives.ndcg.mean)
    for point in rivals[:_NUM_RIVAL_CURVES]:
        if chosen is None or point.path != chosen.path:
            curves.append(_curve(planning, point, "baseline"))
    return tuple(curves)


def _curve(planning: Planning, point: DesignPoint, role: Role) -> LoadCurve:
    scorers = stage_scorers(point.path.pipeline, planning.steps.score_inputs())
    load = predict_path(
        point.path, scorers, planning.fastest()[0], planning.study.workload(), planning.study.seed
    )
    limit_qps = float(np.min(load.stable_rates_qps))
    points = tuple(load.at(share * limit_qps) for share in _CURVE_SHARES)
    return LoadCurve(
        name=point.path.pipeline.name, role=role, points=points, saturation_qps=limit_qps
    )


def _verification(proof: Proof) -> tuple[VerificationRow, ...]:
    rows = []
    for number, verification in enumerate(proof.verifications):
        rows += [
            VerificationRow(
                name=verification.path.pipeline.name,
                role="baseline" if number else "chosen",
                **structs.asdict(load),
            )
            for load in verification.loads
        ]
    return tuple(rows)


def _notes(planning: Planning, result: PlanResult) -> tuple[str, ...]:
    judged = len(planning.steps.queries("validation"))
    notes = [
        f"Pipelines were chosen on {judged} validation queries; quality in the model table, the "
        "attribution and the comparison is measured on test queries that no choice has seen.",
    ]
    if planning.proof().verifications:
        notes.append(
            "The search adds up times of single calls. Predictions that are held against "
            "measurements come from the whole path's own service times, taken in a separate "
            "calibration at three loads."
        )
    if result.plan.profile_source == "modelled":
        notes.append("Service times are modelled, not measured: nothing was executed.")
    return tuple(notes)


def _warnings(planning: Planning, proof: Proof) -> tuple[str, ...]:
    warnings = []
    polluted = sum(load.polluted for v in proof.verifications for load in v.loads)
    if polluted:
        warnings.append(
            f"{polluted} verification loads were disturbed by other work on this machine and "
            "prove nothing; run `recfunnel verify --again` when it is quiet."
        )
    if proof.verifications and not planning.kept_promise():
        warnings.append("Executed at the promised load, the plan missed its deadline.")
    return tuple(warnings)
