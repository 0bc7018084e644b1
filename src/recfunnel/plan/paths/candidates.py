"""Every way to place the stages of pipelines on platforms, as candidates for the set of paths.

A representation, or a size of hot store, is a model of its own here: it has its own quality,
service times and bytes.
"""

from collections.abc import Mapping as Lookup
from collections.abc import Sequence
from itertools import groupby, product

import numpy as np

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Mapping, Path, Pipeline, Stage, Station
from recfunnel.core.servable import PathStation, ServablePath, ServiceTimes
from recfunnel.core.spec import Value
from recfunnel.plan.paths.problem import MemoryPart, PathCandidate


class ServedModel(Value, frozen=True):
    """One model on one platform.

    Args:
        model: its name.
        platform: where.
        service: time of one call over candidates.
        num_bytes: it holds in that platform's memory, once however many paths call it.
    """

    model: str
    platform: str
    service: ServiceTimes
    num_bytes: int


class RankedPipeline(Value, frozen=True):
    """A pipeline and how well it ranks.

    Args:
        pipeline: the stages.
        quality: 0 to 1.
    """

    pipeline: Pipeline
    quality: float


def enumerate_paths(
    pipelines: Sequence[RankedPipeline],
    served: Sequence[ServedModel],
    num_servers: Lookup[str, int],
) -> tuple[PathCandidate, ...]:
    """Each pipeline with each stage on each platform that serves its model.

    A query of n candidates brings its first stage n and each later one as many as the one before
    keeps, at most n. Consecutive stages on one platform are one station. A path is known for the
    sizes that its first stage is profiled for, up to what the pipeline reads.

    Args:
        pipelines: with their quality.
        served: models on platforms, each pair once.
        num_servers: of each platform.

    Returns:
        Candidates, pipelines in order, platforms of early stages varying slowest.

    Raises:
        StudyError: a model is served nowhere, a pair is given twice, or a platform's servers are
            not stated.
        InvalidInput: a later stage is not profiled for what it reads.
    """
    by_model = _by_model(served, num_servers)
    found = []
    for ranked in pipelines:
        for stage in ranked.pipeline.stages:
            if stage.model not in by_model:
                raise StudyError(
                    f"no platform has a profile of {stage.model!r}; profiled: "
                    f"{', '.join(by_model) or 'nothing'}"
                )
        choices = [by_model[stage.model] for stage in ranked.pipeline.stages]
        found += [_candidate(ranked, chosen, num_servers) for chosen in product(*choices)]
    return tuple(found)


def _by_model(
    served: Sequence[ServedModel], num_servers: Lookup[str, int]
) -> dict[str, list[ServedModel]]:
    by_model: dict[str, list[ServedModel]] = {}
    for one in served:
        same = by_model.setdefault(one.model, [])
        if one.platform in {other.platform for other in same}:
            raise StudyError(f"{one.model!r} is given twice on {one.platform!r}; give it once")
        if one.platform not in num_servers:
            raise StudyError(
                f"{one.model!r} is served on {one.platform!r}, whose servers are not stated; "
                f"known: {', '.join(num_servers) or 'none'}"
            )
        same.append(one)
    return by_model


def _candidate(
    ranked: RankedPipeline, chosen: tuple[ServedModel, ...], num_servers: Lookup[str, int]
) -> PathCandidate:
    pairs = list(zip(ranked.pipeline.stages, chosen, strict=True))
    sizes = _sizes(pairs)
    runs = [list(run) for _, run in groupby(pairs, key=lambda pair: pair[1].platform)]
    platforms = [run[0][1].platform for run in runs]
    stations = tuple(
        PathStation(
            platform=platform,
            service=_together(run, sizes),
            num_servers=num_servers[platform],
        )
        for run, platform in zip(runs, platforms, strict=True)
    )
    parts = {(one.platform, one.model): one.num_bytes for one in chosen}
    mapping = Mapping(
        stations=tuple(
            Station(platform=platform, num_stages=len(run), num_servers=num_servers[platform])
            for run, platform in zip(runs, platforms, strict=True)
        )
    )
    return PathCandidate(
        path=ServablePath(
            name=f"{ranked.pipeline.name} on {' + '.join(one.platform for one in chosen)}",
            quality=ranked.quality,
            stations=stations,
            resident_bytes=tuple(
                (name, sum(size for (platform, _), size in parts.items() if platform == name))
                for name in dict.fromkeys(platforms)
            ),
            path=Path(pipeline=ranked.pipeline, mapping=mapping),
        ),
        parts=tuple(
            MemoryPart(platform=platform, name=model, num_bytes=size)
            for (platform, model), size in parts.items()
        ),
    )


def _sizes(pairs: Sequence[tuple[Stage, ServedModel]]) -> IntArray:
    """Sizes at which the path's times are stated: where any stage's profile has a corner."""
    first, model = pairs[0]
    low, high = model.service.num_candidates[0], model.service.num_candidates[-1]
    corners = {first.num_in, high}
    for stage, served in pairs:
        corners.update((stage.num_in, *served.service.num_candidates))
    most = min(high, first.num_in)
    return np.array(sorted(corner for corner in corners if low <= corner <= most))


def _together(run: Sequence[tuple[Stage, ServedModel]], sizes: IntArray) -> ServiceTimes:
    """Stages one after the other at one station: medians and tails add up."""
    read = [np.minimum(sizes, stage.num_in) for stage, _ in run]
    times = [(one.service, n) for (_, one), n in zip(run, read, strict=True)]
    measured = all(service.source == "measured" for service, _ in times)
    return ServiceTimes(
        num_candidates=tuple(sizes.tolist()),
        median_s=tuple(np.sum([service.medians_s(n) for service, n in times], axis=0).tolist()),
        tail_s=tuple(np.sum([service.tails_s(n) for service, n in times], axis=0).tolist()),
        tail_quantile=min(service.tail_quantile for service, _ in times),
        source="measured" if measured else "modelled",
    )
