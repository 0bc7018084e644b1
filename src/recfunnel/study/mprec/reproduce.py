"""All of MP-Rec's tables beside ours, put together."""

import dataclasses
from pathlib import Path
from typing import Any

from recfunnel.core.errors import StudyError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.spec import to_builtins
from recfunnel.core.storage import read_json
from recfunnel.hardware.cost import fits
from recfunnel.hardware.datasheets import DATASHEETS, SYSTEMS
from recfunnel.plan.paths.problem import PathProblem
from recfunnel.report.mprec import (
    CallRow,
    DatasheetRow,
    MeasuredQuality,
    MPRecReproduction,
    PolicyRow,
    QualityRow,
    SizeRow,
)
from recfunnel.study.mprec.assumptions import BOUND, Assumptions
from recfunnel.study.mprec.design_points import (
    EXACT,
    EXACT_OURS,
    PLANNED_LOADS,
    Choice,
    DesignPointSpec,
    choices,
    correct_per_s,
    exact_choice,
    full_problem,
    paper_problem,
    reference_qps,
)
from recfunnel.study.mprec.published import (
    ACCURACY,
    HW_MEMORY_BYTES,
    MEAN_SIZE,
    SIZE_BYTES,
    TRIVIAL_ACCURACY,
)
from recfunnel.study.mprec.ratios import ratio_rows, sensitivity_rows
from recfunnel.study.mprec.service import call_roofs, call_s, machine
from recfunnel.study.mprec.shapes import NETWORKS, PAPER, STORED, Network, Representation, cost

PLATFORMS = ("broadwell", "v100", "tpu_v3_core", "ipu_gc200", "ipu_m2000", "h200")
"""Whose calls are shown; larger systems make the same calls, more of them at once."""

NOTES = (
    "Published figures are read in the abstract, or recalled; the paper's text could not be had.",
    "No service time below was measured: rooflines of datasheets with the assumptions listed, "
    "which were set before they were compared with the paper and not fitted to it.",
    "Accuracies of the design points are the paper's own, so quality says nothing about ours; "
    "for that see our own study of representations.",
    "The paper's TCP counts late answers as well; delivered quality counts them as nothing.",
    "What several chips exchange is not charged.",
    "At saturation every policy serves tables only, so all of the TCP gain of HW-1 is that of "
    "switching between CPU and GPU; computed representations add quality below saturation.",
    "At the 1,000 queries/s recalled of the paper, a gain of 2.49 needs a CPU that carries at most "
    "402 queries/s of the table; loads are therefore stated in what our CPU carries.",
)


def reproduce_mprec(
    assumptions: Assumptions,
    quality_folder: Path | None = None,
    progress: Progress = SILENT,
) -> MPRecReproduction:
    """Price, map and compare.

    Args:
        assumptions: of service times.
        quality_folder: with results of `benchmarks/representations_quality.py`; None for none.
        progress: told about steps.

    Returns:
        The whole, apart by how each figure came about.

    Raises:
        StudyError: there is no such folder.
        StorageError: a result there is damaged.
    """
    measured = () if quality_folder is None else measured_quality(quality_folder)
    specs = [
        DesignPointSpec(name, network, assumptions)
        for name in HW_MEMORY_BYTES
        for network in NETWORKS
    ]
    policies = [row for spec in progress.track(specs, "design points") for row in policies_of(spec)]
    progress.log("sensitivity of the ratios")
    return MPRecReproduction(
        assumptions=dict(to_builtins(assumptions)),
        sizes=tuple(_size_row(n, r) for n in NETWORKS for r in (*PAPER, *STORED)),
        quality=tuple(_quality_row(*key) for key in ACCURACY),
        measured_quality=measured,
        calls=tuple(
            _call_row(n, p, r, assumptions) for n in NETWORKS for p in PLATFORMS for r in PAPER
        ),
        policies=tuple(policies),
        sweeps=(),
        ratios=ratio_rows(assumptions),
        sensitivity=sensitivity_rows(assumptions),
        datasheets=_datasheet_rows(),
        notes=NOTES,
    )


def _size_row(network: Network, representation: Representation) -> SizeRow:
    work, table = cost(network, representation), cost(network, PAPER[0])
    return SizeRow(
        network=network.name,
        representation=representation.name,
        published_bytes=SIZE_BYTES.get((network.name, representation.name)),
        parameter_bytes=work.parameter_bytes,
        flops_per_item=work.flops_per_item,
        over_table=work.flops_per_item / table.flops_per_item,
    )


def _quality_row(network: str, representation: str) -> QualityRow:
    accuracy = ACCURACY[network, representation]
    return QualityRow(
        network=network,
        representation=representation,
        accuracy=accuracy,
        above_trivial=accuracy.value - TRIVIAL_ACCURACY[network].value,
    )


def _call_row(
    network: Network, platform: str, representation: Representation, assumptions: Assumptions
) -> CallRow:
    work = cost(network, representation)
    bare = machine(SYSTEMS[platform], work, BOUND)
    roofs = call_roofs(bare, work, MEAN_SIZE)
    on = machine(SYSTEMS[platform], work, assumptions)
    return CallRow(
        network=network.name,
        platform=platform,
        representation=representation.name,
        num_chips=on.group,
        num_items=MEAN_SIZE,
        bound_s=roofs.total_s,
        expected_s=call_s(on, network, representation, MEAN_SIZE, assumptions),
        bound_by=roofs.bound_by,
        fits=fits(work, on.platform) is None,
    )


def policies_of(spec: DesignPointSpec) -> list[PolicyRow]:
    """Every policy of one design point."""
    reference = reference_qps(spec)
    rates_qps = [share * reference for share in PLANNED_LOADS[spec.name]]
    paper, full = paper_problem(spec, rates_qps), full_problem(spec, rates_qps)
    roomy = paper_problem(dataclasses.replace(spec, name="HW-1"))
    base = correct_per_s(roomy, (0,))[2]
    found = [(paper, choice) for choice in choices(paper)]
    found += [(paper, exact_choice(paper, EXACT)), (full, exact_choice(full, EXACT_OURS))]
    return [_policy_row(spec, problem, choice, base) for problem, choice in found]


def _policy_row(
    spec: DesignPointSpec, problem: PathProblem, choice: Choice, base: float
) -> PolicyRow:
    capacity, quality, correct = correct_per_s(problem, choice.chosen)
    return PolicyRow(
        design_point=spec.name,
        network=spec.network.name,
        policy=choice.policy,
        paths=problem.names(choice.chosen),
        memory_bytes=sum(problem.bytes_of(choice.chosen).values()),
        capacity_qps=capacity,
        quality_at_capacity=quality,
        tcp_ratio=correct / base if correct else None,
        why_not=choice.why_not,
    )


def _datasheet_rows() -> tuple[DatasheetRow, ...]:
    return tuple(
        DatasheetRow(
            product=sheet.product,
            figure=name,
            value=figure.value,
            known=figure.known,
            source=figure.source,
        )
        for sheet in DATASHEETS.values()
        for name, figure in sheet.figures()
    )


def measured_quality(folder: Path) -> tuple[MeasuredQuality, ...]:
    """Results of our own study of representations, one file a world.

    Raises:
        StudyError: no such folder, or no result in it.
        StorageError: a file is damaged.
    """
    files = sorted(f for f in folder.glob("**/*.json") if _is_result(f)) if folder.is_dir() else []
    if not files:
        raise StudyError(
            f"{folder} holds no result of representations; run "
            "benchmarks/representations_quality.py first, or leave the option out"
        )
    found = [(file, read_json(file, dict[str, Any])) for file in files]
    return tuple(_measured(world, one) for _, world in found for one in world["variants"])


def _is_result(file: Path) -> bool:
    """Whether a file is a world's result, by its keys; other JSON lies beside them."""
    head = file.read_bytes()[:4096]
    return b'"world"' in head and b'"variants"' in head


def _measured(world: dict[str, Any], one: dict[str, Any]) -> MeasuredQuality:
    against = one["against"].get("table")
    return MeasuredQuality(
        world=world["world"],
        variant=one["name"],
        metric=world["metric"],
        means=one["means"],
        difference=None if against is None else against["difference"],
        interval=None if against is None else tuple(against["interval"]),
        parameter_bytes=one["cost"]["parameter_bytes"],
        flops_per_item=one["cost"]["flops_per_item"],
    )
