"""Everything a report shows, as one stored value; rooms that have not run leave a part empty."""

from collections.abc import Sequence

from recfunnel.core.errors import InvalidInput
from recfunnel.core.results import DesignPoint, ServingPlan
from recfunnel.core.spec import Value
from recfunnel.quality.attribution import LossAttribution
from recfunnel.report.facts import (
    DatasetFacts,
    MachineFacts,
    ModelRow,
    RuntimePlan,
    RuntimeRow,
    SearchCounts,
)
from recfunnel.report.findings import LoadCurve, PairedComparison, VerificationRow


class RunSummary(Value, frozen=True):
    """What one run found. Stored with `core.storage.write_json`, read with `read_json`.

    Args:
        study: its name.
        command: that makes this run again.
        created: when, ISO 8601.
        seeds: of the run, by what they seed; one study seed is `{"study": 0}`.
        k: length of the judged list.
        num_shortlist: items of the second service time in the model table.
        dataset: what was ranked.
        machine: where.
        models: each model alone.
        runtimes: each model on each runtime it was timed on; empty where there is one runtime.
        alone: the best plan with each runtime alone, for the same target; empty where there is one
            runtime.
        plan: the answer: chosen path or shortfall, front, baselines, service level, load.
        planned_on: query set whose NDCG the plan's points carry, such as `validation`; empty when
            it is the test set. The headline then shows the NDCG of `attribution`.
        evaluated: all evaluated design points, thinned with `thinned`.
        counts: how far the planner looked.
        attribution: quality lost by each stage of the chosen pipeline, on the test queries.
        comparison: the chosen pipeline against the best single model.
        curves: latency over load of the chosen path and baselines.
        verification: predictions against measurements.
        notes: worth knowing.
        warnings: worth worrying about; shown near the top.
    """

    study: str
    command: str = ""
    created: str = ""
    seeds: dict[str, int] = {}  # noqa: RUF012 - msgspec copies the default
    k: int = 64
    num_shortlist: int = 256
    dataset: DatasetFacts | None = None
    machine: MachineFacts | None = None
    models: tuple[ModelRow, ...] = ()
    runtimes: tuple[RuntimeRow, ...] = ()
    alone: tuple[RuntimePlan, ...] = ()
    plan: ServingPlan | None = None
    planned_on: str = ""
    evaluated: tuple[DesignPoint, ...] = ()
    counts: SearchCounts | None = None
    attribution: LossAttribution | None = None
    comparison: PairedComparison | None = None
    curves: tuple[LoadCurve, ...] = ()
    verification: tuple[VerificationRow, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def thinned(points: Sequence[DesignPoint], limit: int = 400) -> tuple[DesignPoint, ...]:
    """At most `limit` points spread evenly over capacity, so that a figure keeps its shape.

    Args:
        points: any number.
        limit: at least 2.

    Returns:
        All points where they are few, else `limit` of them, lowest and highest capacity included.

    Raises:
        InvalidInput: a limit below 2.
    """
    if limit < 2:
        raise InvalidInput(f"thinning to {limit} points leaves no range; keep at least 2")
    ordered = sorted(points, key=lambda p: (p.objectives.capacity_qps.mean, p.path.name))
    if len(ordered) <= limit:
        return tuple(ordered)
    last = len(ordered) - 1
    return tuple(ordered[round(i * last / (limit - 1))] for i in range(limit))
