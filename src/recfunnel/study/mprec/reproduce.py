"""All of MP-Rec's tables beside ours, put together."""

import dataclasses
from pathlib import Path
from typing import Any

from recfunnel.core.errors import StudyError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.spec import Value, to_builtins
from recfunnel.core.storage import read_json
from recfunnel.hardware.cost import fits
from recfunnel.hardware.datasheets import DATASHEETS, SYSTEMS
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
from recfunnel.study.mprec.design_points import DesignPointSpec, correct_per_s, paper_problem
from recfunnel.study.mprec.published import (
    ACCURACY,
    HW_MEMORY_BYTES,
    MEAN_SIZE,
    NUM_QUERIES,
    SIZE_BYTES,
    TRIVIAL_ACCURACY,
)
from recfunnel.study.mprec.ratios import ratio_rows, sensitivity_rows
from recfunnel.study.mprec.service import call_roofs, call_s, machine
from recfunnel.study.mprec.serving import (
    Policy,
    policies_of,
    served,
    simulated,
    sweeps,
    usual,
)
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


class Serving(Value, frozen=True):
    """How much is simulated.

    Args:
        num_queries: of a replication; 0 simulates nothing.
        num_replications: of the design points; sweeps have one. At least 2 give an error.
    """

    num_queries: int = NUM_QUERIES
    num_replications: int = 3

    def __post_init__(self) -> None:
        if self.num_queries < 0 or self.num_replications < 1:
            raise StudyError(
                f"{self.num_queries} queries in {self.num_replications} replications cannot be "
                "simulated; give 0 or more queries and at least 1 replication"
            )


def reproduce_mprec(
    assumptions: Assumptions,
    serving: Serving,
    quality_folder: Path | None = None,
    progress: Progress = SILENT,
) -> MPRecReproduction:
    """Price, map, simulate and compare.

    Args:
        assumptions: of service times.
        serving: how much is simulated.
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
    ratios, sensitivity = ratio_rows(assumptions), sensitivity_rows(assumptions)
    policies = [
        row for spec in progress.track(specs, "design points") for row in policy_rows(spec, serving)
    ]
    swept = specs[: len(NETWORKS)] if serving.num_queries else []
    return MPRecReproduction(
        assumptions=dict(to_builtins(assumptions)),
        sizes=tuple(_size_row(n, r) for n in NETWORKS for r in (*PAPER, *STORED)),
        quality=tuple(_quality_row(*key) for key in ACCURACY),
        measured_quality=measured,
        calls=tuple(
            _call_row(n, p, r, assumptions) for n in NETWORKS for p in PLATFORMS for r in PAPER
        ),
        policies=tuple(policies),
        sweeps=tuple(p for spec in swept for p in sweeps(spec, serving.num_queries, progress)),
        ratios=ratios,
        sensitivity=sensitivity,
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


def policy_rows(spec: DesignPointSpec, serving: Serving) -> list[PolicyRow]:
    """Every policy of one design point, by routing and by simulation."""
    base = correct_per_s(paper_problem(dataclasses.replace(spec, name="HW-1")), (0,))[2]
    return [_policy_row(spec, policy, base, serving) for policy in policies_of(spec)]


def _policy_row(spec: DesignPointSpec, policy: Policy, base: float, serving: Serving) -> PolicyRow:
    problem, chosen = policy.problem, policy.choice.chosen
    capacity, quality, correct = correct_per_s(problem, chosen)
    ran = None
    if chosen and serving.num_queries:
        experiment = usual(spec, serving.num_queries, serving.num_replications)
        ran = simulated(served(spec, policy, experiment), experiment.rate_qps)
    return PolicyRow(
        design_point=spec.name,
        network=spec.network.name,
        policy=policy.name,
        paths=problem.names(chosen),
        memory_bytes=sum(problem.bytes_of(chosen).values()),
        capacity_qps=capacity,
        quality_at_capacity=quality,
        tcp_ratio=correct / base if correct else None,
        simulated=ran,
        why_not=policy.choice.why_not,
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
