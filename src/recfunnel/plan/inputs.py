"""What a plan is made from: the space, the scores, the profiles, the machine, the queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Pipeline
from recfunnel.core.platform import Platform
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import LatencyProfile, ProfileSource, QualityReport
from recfunnel.core.storage import content_hash
from recfunnel.core.workload import Workload
from recfunnel.plan.space import SearchSpace
from recfunnel.profile.runtimes import RuntimeChoice


class QualitySource(Protocol):
    """Quality of any pipeline, as `recfunnel.quality.book.ScoreBook` gives it."""

    def ndcg(self, pipeline: Pipeline) -> DoubleArray:
        """(J,), NDCG of each judged query, always the same queries in the same order."""
        ...

    def reports(
        self, pipelines: Sequence[Pipeline], progress: Progress = SILENT
    ) -> tuple[QualityReport, ...]:
        """Mean NDCG of many pipelines, in their order."""
        ...

    def ideal_of_survivors(self, pipeline: Pipeline, num_stages: int) -> DoubleArray:
        """(J,), best NDCG any order of what the first stages keep can reach."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class PlanInputs:
    """Everything that is known before a target is named.

    Args:
        space: what may be combined.
        models: every model of the study that has scores and profiles.
        num_candidates: that a query brings.
        quality: of any pipeline.
        quality_key: changes when any score does; names what is stored.
        profiles: of each model and of `top_k`, for each thread count of the space.
        platform: where everything runs.
        workload: arrivals and sizes; its own rate and service level are those of the target.
        seed: of the study.
        score_inputs: for each model, the models whose scores it reads; none when left out.
        model_bytes: memory of each model; a server holds every model it runs. 0 when left out.
        runtimes: which runtime each call of the profiles stands for.
        runtimes_of_sub_batches: names of those that work on several sub-batches of a query at once;
            None means all do.
    """

    space: SearchSpace
    models: tuple[str, ...]
    num_candidates: int
    quality: QualitySource
    quality_key: str
    profiles: tuple[LatencyProfile, ...]
    platform: Platform
    workload: Workload
    seed: int = 0
    score_inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    model_bytes: Mapping[str, int] = field(default_factory=dict)
    runtimes: RuntimeChoice = field(default_factory=lambda: RuntimeChoice({}))
    runtimes_of_sub_batches: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise StudyError("a plan needs at least one model with scores and profiles")
        self.space.check(self.models, self.num_candidates)

    @property
    def all_score_inputs(self) -> dict[str, tuple[str, ...]]:
        """Score inputs of every model."""
        return {name: tuple(self.score_inputs.get(name, ())) for name in self.models}

    @property
    def profile_source(self) -> ProfileSource:
        """`modelled` when any profile is."""
        modelled = any(profile.source == "modelled" for profile in self.profiles)
        return "modelled" if modelled else "measured"

    @property
    def memory_may_bind(self) -> bool:
        """Whether every core holding every model would need more memory than there is."""
        most = self.platform.num_cores * sum(self.model_bytes.values())
        return most > self.platform.memory_bytes

    def can_be_cut(self, pipeline: Pipeline) -> bool:
        """Whether a pipeline has no sub-batches, or its runtimes work on several at once."""
        able = self.runtimes_of_sub_batches
        if pipeline.sub_batches == 1 or able is None:
            return True
        inputs, platform = self.all_score_inputs, self.platform.name
        return self.runtimes.of_sub_batches(pipeline, inputs, platform) <= able

    def simulation_key(self) -> str:
        """Changes with all that simulated figures depend on, loads and deadlines apart."""
        profiles = sorted(
            (p.model, p.platform, p.num_threads, p.batch_sizes.tolist(), _digest(p.latency_s))
            for p in self.profiles
        )
        workload = [
            self.workload.arrivals,
            self.workload.sizes,
            self.workload.num_queries,
            self.workload.num_replications,
        ]
        return content_hash([profiles, workload, self.all_score_inputs, self.seed])


def _digest(array: DoubleArray) -> str:
    return content_hash(array.tolist())
