"""What a run started from: data, machine, models, and how far the planner looked."""

from recfunnel.core.dataset import Provenance
from recfunnel.core.platform import Platform
from recfunnel.core.results import DesignPoint, Estimate
from recfunnel.core.spec import Value


class DatasetFacts(Value, frozen=True):
    """What was ranked.

    Args:
        name: of the data set.
        num_users: contexts.
        num_items: items in the catalogue.
        num_interactions: training rows.
        num_queries: test queries that were judged.
        provenance: source, licence, split, seed and hashes.
        num_candidates: that a query brings; None means the whole catalogue.
    """

    name: str
    num_users: int
    num_items: int
    num_interactions: int
    num_queries: int
    provenance: Provenance
    num_candidates: int | None = None

    @property
    def num_ranked(self) -> int:
        """Items a first stage reads."""
        return self.num_items if self.num_candidates is None else self.num_candidates


class MachineFacts(Value, frozen=True):
    """Where it ran.

    Args:
        platforms: that the plan could use.
        operating_system: its name and release.
        versions: of recfunnel, Python and the libraries, by name.
        notes: what disturbed or limits the measurements.
    """

    platforms: tuple[Platform, ...]
    operating_system: str
    versions: dict[str, str]
    notes: tuple[str, ...] = ()


class ModelRow(Value, frozen=True):
    """One model alone; None where not measured.

    Args:
        name: in the study.
        kind: of its spec, such as `ials`.
        parameter_bytes: size of all parameters and tables.
        num_parameters: how many numbers these are.
        fit_seconds: time it took to train.
        validation_metric: name of the metric it was chosen by, such as `ndcg@64`.
        validation: value of that metric.
        ndcg: on the test queries, full list.
        hit_rate: on the test queries.
        recall: on the test queries.
        mrr: on the test queries.
        service_catalogue_s: mean time to score all that a query brings.
        service_shortlist_s: mean time to score `RunSummary.num_shortlist` items for one query.
        capacity_qps: highest load it serves alone within the service level.
        score_inputs: models whose scores it reads.
        notes: anything a reader of the row must know.
    """

    name: str
    kind: str
    parameter_bytes: int | None = None
    num_parameters: int | None = None
    fit_seconds: float | None = None
    validation_metric: str = ""
    validation: float | None = None
    ndcg: Estimate | None = None
    hit_rate: Estimate | None = None
    recall: Estimate | None = None
    mrr: Estimate | None = None
    service_catalogue_s: float | None = None
    service_shortlist_s: float | None = None
    capacity_qps: Estimate | None = None
    score_inputs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class RuntimeRow(Value, frozen=True):
    """One model on one runtime.

    Args:
        model: in the study.
        runtime: in the study.
        catalogue_s: mean time to score all that a query brings.
        shortlist_s: mean time to score `RunSummary.num_shortlist` items for one query.
        speedup: catalogue time of the model's slowest runtime over this one's.
        fastest: whether calls on the whole catalogue use it.
    """

    model: str
    runtime: str
    catalogue_s: float | None = None
    shortlist_s: float | None = None
    speedup: float | None = None
    fastest: bool = False


class RuntimePlan(Value, frozen=True):
    """What the same search finds when one runtime has to do everything.

    Args:
        runtime: in the study.
        chosen: best for the target; None where nothing meets it.
        reason: why nothing does; empty where something was chosen.
        single: the model that ranks best alone, on its best mapping; None where nothing was chosen.
        gain: capacity of the chosen path over that model's.
    """

    runtime: str
    chosen: DesignPoint | None = None
    reason: str = ""
    single: DesignPoint | None = None
    gain: Estimate | None = None


class SearchCounts(Value, frozen=True):
    """How far the planner looked.

    Args:
        num_enumerated: paths in the search space.
        num_pruned: paths proven dominated before any simulation.
        num_simulated: paths whose queue was simulated.
        seconds: spent planning.
    """

    num_enumerated: int
    num_pruned: int
    num_simulated: int
    seconds: float | None = None
