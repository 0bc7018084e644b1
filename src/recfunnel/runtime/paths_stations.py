"""Which stages of which paths a platform runs, with which models, and what it hands on."""

from collections.abc import Mapping, Sequence

from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Path, Station, stage_scorers
from recfunnel.core.servable import PathMenu
from recfunnel.runtime.cascade import carried_scores, needed_models
from recfunnel.runtime.messages import ServingSetup
from recfunnel.runtime.paths_messages import MAX_STEPS

Inputs = Mapping[str, tuple[str, ...]]
"""For each model, the models whose scores it reads."""


def executable_path(menu: PathMenu, number: int) -> Path:
    """What a path of a menu executes.

    Raises:
        StudyError: nothing is said of that, or it is not what was profiled.
    """
    servable = menu.paths[number]
    if servable.path is None:
        raise StudyError(f"{servable.name!r} says nothing of what is executed; give its path")
    stations = servable.path.mapping.stations
    if len(stations) != len(servable.stations) or len(stations) > MAX_STEPS:
        raise StudyError(
            f"{servable.name!r} is executed in {len(stations)} stations but profiled in "
            f"{len(servable.stations)}; give as many of each, at most {MAX_STEPS}"
        )
    for own, known in zip(stations, servable.stations, strict=True):
        if (own.platform, own.num_servers) != (known.platform, known.num_servers):
            raise StudyError(
                f"{servable.name!r} is executed by {own.num_servers} servers on "
                f"{own.platform!r} but profiled for {known.num_servers} on {known.platform!r}"
            )
    return servable.path


def platform_stations(menu: PathMenu, paths: Sequence[Path]) -> tuple[Station, ...]:
    """One station for each platform, in the menu's order.

    Raises:
        StudyError: paths use different numbers of threads there.
    """
    found: dict[str, Station] = {}
    for station in (station for path in paths for station in path.mapping.stations):
        own = Station(
            platform=station.platform,
            num_stages=1,
            num_servers=station.num_servers,
            num_threads=station.num_threads,
        )
        if found.setdefault(station.platform, own) != own:
            raise StudyError(
                f"paths on {station.platform!r} use {own.num_threads} and "
                f"{found[station.platform].num_threads} threads a server; state one number"
            )
    return tuple(found[name] for name in menu.num_servers)


def stages_on(path: Path, platform: str) -> dict[int, range]:
    """The stages of each station that a path has on a platform, by the station's number."""
    found: dict[int, range] = {}
    first = 0
    for number, station in enumerate(path.mapping.stations):
        if station.platform == platform:
            found[number] = range(first, first + station.num_stages)
        first += station.num_stages
    return found


def models_on(
    platform: str, paths: Sequence[Path], setup: ServingSetup
) -> tuple[tuple[str, str], ...]:
    """(model, runtime) of what paths call on a platform, inputs first.

    Raises:
        StudyError: a model is unknown, or runs on two runtimes.
    """
    found: dict[str, str] = {}
    for path in paths:
        needed_models(path.pipeline.models, setup.score_inputs)
        calls, runtimes = stage_scorers(path.pipeline, setup.score_inputs), dict(path.runtimes)
        stages = (stage for here in stages_on(path, platform).values() for stage in here)
        for name in (name for stage in stages for name in calls[stage]):
            runtime = runtimes.get(name, setup.first_runtime)
            if found.setdefault(name, runtime) != runtime:
                raise StudyError(
                    f"model {name!r} runs on {found[name]!r} in one path and on {runtime!r} "
                    "in another of the same platform; store it under two names"
                )
    return tuple(found.items())


def handed_on_scores(
    paths: Sequence[Path], inputs: Inputs
) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """For each path, for each of its stations but the last, models whose scores the next reads."""
    return tuple(
        tuple(carried_scores(path.pipeline, inputs)[stage] for stage in _last_stages(path))
        for path in paths
    )


def most_handed_on(paths: Sequence[Path], inputs: Inputs) -> tuple[int, int]:
    """Most candidates that a station hands on, and most models whose scores go with them."""
    kept = [path.pipeline.most_left(stage) for path in paths for stage in _last_stages(path)]
    scores = [len(names) for path in handed_on_scores(paths, inputs) for names in path]
    return max(kept, default=0), max(scores, default=0)


def _last_stages(path: Path) -> list[int]:
    """The last stage of each station but the last one."""
    ends, last = [], -1
    for station in path.mapping.stations[:-1]:
        last += station.num_stages
        ends.append(last)
    return ends
