"""Which runtime a model is called on: the fastest of those it was timed on, size by size.

Runtimes compared here rank alike, so that only time tells them apart. A time taken inside a call of
all stages includes the selection and lacks the call; it is compared with the call added, and the
others with the selection. Letters: B batch sizes, R samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recfunnel.core.pipeline import Path, Pipeline, Station, stage_scorers
from recfunnel.core.results import LatencyProfile
from recfunnel.profile.request import RESTED
from recfunnel.runtime.timing import FUSED_CALL, TOP_K


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """The fastest runtime of each call.

    Args:
        fastest: runtime by (model, platform, number of threads, candidates).
    """

    fastest: Mapping[tuple[str, str, int, int], str]

    def named(self, path: Path, score_inputs: Mapping[str, tuple[str, ...]]) -> Path:
        """A path with the runtime of each model it calls.

        Args:
            path: whose calls were profiled at their very sizes.
            score_inputs: for each model, the models whose scores it reads.

        Returns:
            The path; models without a runtime of their own (modelled profiles) are left out.
        """
        calls = stage_scorers(path.pipeline, score_inputs)
        places = [s for s in path.mapping.stations for _ in range(s.num_stages)]
        found = {
            model: self._runtime(path.pipeline, model, place, stage.num_in)
            for stage, models, place in zip(path.pipeline.stages, calls, places, strict=True)
            for model in models
        }
        runtimes = tuple((model, runtime) for model, runtime in found.items() if runtime)
        return Path(pipeline=path.pipeline, mapping=path.mapping, runtimes=runtimes)

    def of_sub_batches(
        self, pipeline: Pipeline, score_inputs: Mapping[str, tuple[str, ...]], platform: str
    ) -> frozenset[str]:
        """The runtimes that are fastest at a pipeline's sub-batches, each on one core.

        Args:
            pipeline: whose calls were profiled at their very sizes.
            score_inputs: for each model, the models whose scores it reads.
            platform: where.
        """
        place = Station(platform=platform, num_stages=1)
        calls = zip(pipeline.stages, stage_scorers(pipeline, score_inputs), strict=True)
        return frozenset(
            self._runtime(pipeline, model, place, stage.num_in)
            for stage, models in calls
            for model in models
        )

    def _runtime(self, pipeline: Pipeline, model: str, place: Station, num_in: int) -> str:
        """Name of a call's runtime; empty for one that was not measured."""
        threads = place.num_threads if pipeline.sub_batches == 1 else 1
        size = pipeline.run_length(num_in)
        return self.fastest.get((model, place.platform, threads, size), "")


def fastest_runtimes(
    profiles: Sequence[LatencyProfile],
) -> tuple[tuple[LatencyProfile, ...], RuntimeChoice]:
    """One profile a model, each batch size taken from the runtime that is fastest there.

    What counts is the mean time of a whole stage when busy; the rested profile follows the same
    choice.

    Args:
        profiles: of models on several runtimes, all timed on the same queries at the same sizes.

    Returns:
        Profiles without a runtime, in the order of their first; and which was chosen where.
    """
    groups: dict[tuple[str, str, int], list[LatencyProfile]] = {}
    for profile in profiles:
        key = profile.model, profile.platform, profile.num_threads
        groups.setdefault(key, []).append(profile)
    fastest: dict[tuple[str, str, int, int], str] = {}
    for (model, platform, threads), group in groups.items():
        if group[0].runtime and not model.endswith(RESTED.suffix):
            extra = {name: groups.get((name, platform, threads)) for name in (FUSED_CALL, TOP_K)}
            best = _best_rows(group, extra)
            for size, row in zip(group[0].batch_sizes.tolist(), best, strict=True):
                fastest[model, platform, threads, size] = group[row].runtime
    merged = [_merged(group, fastest) for group in groups.values()]
    return tuple(merged), RuntimeChoice(fastest)


def _best_rows(
    group: Sequence[LatencyProfile], extra: Mapping[str, list[LatencyProfile] | None]
) -> list[int]:
    """(B,), position of the fastest profile at each size."""
    means = np.stack([[_stage_s(p, size, extra) for size in p.batch_sizes] for p in group])
    best: list[int] = means.argmin(axis=0).tolist()
    return best


def _stage_s(
    profile: LatencyProfile, size: int, extra: Mapping[str, list[LatencyProfile] | None]
) -> float:
    """Mean seconds of a stage of this model alone, as far as what belongs to it was profiled."""
    rest = extra[FUSED_CALL if profile.is_fused(size) else TOP_K]
    return profile.mean_s(size) + (rest[0].mean_s(size) if rest else 0.0)


def _merged(
    group: Sequence[LatencyProfile], fastest: Mapping[tuple[str, str, int, int], str]
) -> LatencyProfile:
    first = group[0]
    if len(group) == 1:
        return first
    by_runtime = {profile.runtime: profile for profile in group}
    where = first.model.removesuffix(RESTED.suffix), first.platform, first.num_threads
    rows = [
        by_runtime[fastest[(*where, size)]].latency_s[row]
        for row, size in enumerate(first.batch_sizes.tolist())
    ]
    return LatencyProfile(
        model=first.model,
        platform=first.platform,
        num_threads=first.num_threads,
        batch_sizes=first.batch_sizes,
        latency_s=np.stack(rows),
        source=first.source,
        notes=tuple(dict.fromkeys(note for profile in group for note in profile.notes)),
        fused_sizes=tuple(
            size
            for size in first.batch_sizes.tolist()
            if by_runtime[fastest[(*where, size)]].is_fused(size)
        ),
    )
