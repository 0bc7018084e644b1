"""The models of a deployment in memory, and a runner for each server of each path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from recfunnel.core.features import Features
from recfunnel.core.pipeline import Path, base_name
from recfunnel.runtime.base import LoadedModel, remarks_of
from recfunnel.runtime.cascade import Cascade, OneByOne, StageRunner, needed_models
from recfunnel.runtime.runner import quickest
from recfunnel.runtime.server import plain_features
from recfunnel.serve.deployment import Deployment


@dataclass(frozen=True, eq=False, slots=True)
class LoadedPath:
    """One path, ready to run.

    Args:
        path: what it is.
        stations: for each station one runner a server; servers share models, never a runner.
        step_by_step: all stages one after another, which can tell what each did.
    """

    path: Path
    stations: tuple[tuple[StageRunner, ...], ...]
    step_by_step: Cascade


@dataclass(frozen=True, eq=False, slots=True)
class Loaded:
    """Everything a deployment needs in memory.

    Args:
        paths: in the order of the deployment's points.
        notes: what could not be had, in words.
    """

    paths: tuple[LoadedPath, ...]
    notes: tuple[str, ...]


class Models:
    """Loads each model once for each runtime and number of threads.

    A model that uses several threads for one call is loaded once a server, since such calls take
    turns otherwise.

    Args:
        deployment: whose.
        say: told what is being loaded.
    """

    def __init__(self, deployment: Deployment, say: Callable[[str], None]) -> None:
        self._deployment, self._say = deployment, say
        self._items: Features = plain_features(deployment.dataset.items)
        self._loaded: dict[tuple[str, str, int, int], LoadedModel] = {}
        self.remarks: list[str] = []

    def of(self, path: Path, num_threads: int, server: int) -> Mapping[str, LoadedModel]:
        """The models of a path for one server.

        Raises:
            StorageError: a model's folder is damaged or of another version.
            MissingExtraError: a runtime's framework is not installed.
        """
        study, chosen = self._deployment.study, dict(path.runtimes)
        first = next(iter(study.runtimes))
        wanted = needed_models(path.pipeline.models, self._deployment.score_inputs)
        found: dict[str, LoadedModel] = {}
        for name in wanted:
            runtime = chosen.get(name, first)
            key = (name, runtime, num_threads, server if num_threads > 1 else 0)
            if key not in self._loaded:
                self._say(f"load {name} on {runtime}")
                model = study.runtimes[runtime].load(
                    self._deployment.models_folder / base_name(name),
                    self._items,
                    num_threads=num_threads,
                )
                self._loaded[key] = model
                self.remarks += remarks_of(model)
            found[name] = self._loaded[key]
        return found

    @property
    def num_items(self) -> int:
        """Rows of the catalogue."""
        return len(self._items)


def load(deployment: Deployment, say: Callable[[str], None]) -> Loaded:
    """Load every model of every path.

    Args:
        deployment: what is to be served.
        say: told what is being loaded.

    Raises:
        StorageError: a model's folder is damaged or of another version.
        MissingExtraError: a runtime's framework is not installed.
    """
    models = Models(deployment, say)
    paths = tuple(_load_path(point.path, models, deployment) for point in deployment.points)
    return Loaded(paths, tuple(dict.fromkeys(models.remarks)))


def _load_path(path: Path, models: Models, deployment: Deployment) -> LoadedPath:
    stations, first = [], 0
    cascade: Cascade | None = None
    for station in path.mapping.stations:
        stages = range(first, first + station.num_stages)
        runners = []
        for server in range(station.num_servers):
            own = models.of(path, station.num_threads, server)
            cascade = Cascade(path.pipeline, own, models.num_items, deployment.score_inputs)
            runners.append(quickest(OneByOne(cascade, stages)))
        stations.append(tuple(runners))
        first = stages.stop
    assert cascade is not None, "a mapping has a station"
    return LoadedPath(path, tuple(stations), cascade)
