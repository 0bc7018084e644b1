"""What a plan file and the run folder around it say is to be served."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from msgspec import structs

from recfunnel.core.arrays import Ragged
from recfunnel.core.dataset import Dataset, load_dataset
from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Mapping, base_name
from recfunnel.core.pipeline import Path as ServingPath
from recfunnel.core.results import DesignPoint, ServingPlan
from recfunnel.plan.serving import load_plan
from recfunnel.runtime.cascade import needed_models
from recfunnel.runtime.placement import cores_wanted
from recfunnel.runtime.server import plain_features
from recfunnel.serve.keys import Keys
from recfunnel.serve.store import EmbeddedStore
from recfunnel.study.parse import read_toml, study_from_dict
from recfunnel.study.study import Study

MOST_PATHS = 8
"""Cheaper paths kept at hand beside the plan's own."""


@dataclass(frozen=True, eq=False, slots=True)
class Deployment:
    """A plan with everything it needs, nothing loaded yet.

    Args:
        plan: that chose something.
        study: it was made for.
        models_folder: one finished model a folder.
        dataset: arrays mapped.
        points: the chosen point first, then cheaper ones of the front on the same servers, by
            falling quality.
    """

    plan: ServingPlan
    study: Study
    models_folder: Path
    dataset: Dataset
    points: tuple[DesignPoint, ...]

    @property
    def score_inputs(self) -> dict[str, tuple[str, ...]]:
        """For each model that any path calls, the models whose scores it reads."""
        return score_inputs_of(self.study, self.points)

    @property
    def num_candidates(self) -> int:
        """The most that a question may bring: what the plan's first stage reads."""
        return self.points[0].path.pipeline.stages[0].num_in

    @property
    def ranks_catalogue(self) -> bool:
        """Whether a question without candidates is about all items."""
        return self.dataset.test.candidates is None

    def split(self, workers: int) -> "tuple[int, Deployment]":
        """How many processes serve it, and what each of them does.

        A plan of one station is served by a process a server, which share nothing but files.
        Several stations hand queries over inside one process, whose threads are the servers.

        Args:
            workers: processes asked for; 0 leaves it to the plan.
        """
        stations = self.points[0].path.mapping.stations
        if len(stations) > 1 and not workers:
            return 1, self
        alone = replace(self, points=tuple(_on_one_server(point) for point in self.points))
        return workers or stations[0].num_servers, alone

    @property
    def num_cores(self) -> int:
        """Cores that all servers use together."""
        return cores_wanted(self.points[0].path.mapping)

    def item_keys(self) -> Keys:
        """Of the catalogue."""
        return Keys("item", self.dataset.item_keys, len(self.dataset.items))

    def store(self) -> EmbeddedStore:
        """Contexts of the training data, and what each has met there."""
        known, train = self.dataset.context, self.dataset.train
        pairs = np.unique(train.context_rows * len(self.dataset.items) + train.item_rows)
        seen = Ragged.from_pairs(
            pairs // len(self.dataset.items), pairs % len(self.dataset.items), len(known)
        )
        keys = Keys("user", self.dataset.context_keys, len(known))
        return EmbeddedStore(keys, plain_features(known), seen)


def read_deployment(place: Path) -> Deployment:
    """Read a plan and what lies beside it.

    Args:
        place: a `plan.json`, or the run folder it lies in.

    Returns:
        What is to be served.

    Raises:
        StorageError: a file is missing, damaged, of another version, or the plan was changed.
        StudyError: the plan chose nothing, or the folder's study does not fit it.
    """
    plan_file = place / "plan.json" if place.is_dir() else place
    plan = load_plan(plan_file)
    if plan.chosen is None:
        raise StudyError(
            f"{plan_file} chose nothing to deploy: {plan.reason}; plan again with a target that "
            "can be met"
        )
    folder = plan_file.parent
    study = study_from_dict(read_toml(folder / "study.toml"))
    points = (plan.chosen, *cheaper_points(plan))
    _check_models(study, folder / "models", points)
    return Deployment(
        plan=plan,
        study=study,
        models_folder=folder / "models",
        dataset=load_dataset(folder / "data"),
        points=points,
    )


def cheaper_points(plan: ServingPlan) -> tuple[DesignPoint, ...]:
    """Points to fall back on under load: on the same servers, of less quality and more capacity.

    Args:
        plan: that chose something.

    Returns:
        By falling quality, at most `MOST_PATHS`.
    """
    assert plan.chosen is not None
    found: list[DesignPoint] = []
    last = plan.chosen
    able = [p for p in plan.front.points if _servers(p.path) == _servers(plan.chosen.path)]
    for point in sorted(able, key=lambda point: -point.objectives.ndcg.mean):
        worse = point.objectives.ndcg.mean < last.objectives.ndcg.mean
        more = point.objectives.capacity_qps.mean > last.objectives.capacity_qps.mean
        if worse and more:
            found.append(point)
            last = point
    if len(found) <= MOST_PATHS:
        return tuple(found)
    kept = np.unique(np.linspace(0, len(found) - 1, MOST_PATHS).round().astype(int))
    return tuple(found[i] for i in kept)


def _on_one_server(point: DesignPoint) -> DesignPoint:
    path = point.path
    first = path.mapping.stations[0]
    station = structs.replace(first, num_stages=len(path.pipeline.stages), num_servers=1)
    alone = structs.replace(path, mapping=Mapping(stations=(station,)))
    return structs.replace(point, path=alone)


def _servers(path: ServingPath) -> list[tuple[str, int, int]]:
    return [(s.platform, s.num_servers, s.num_threads) for s in path.mapping.stations]


def score_inputs_of(study: Study, points: tuple[DesignPoint, ...]) -> dict[str, tuple[str, ...]]:
    """For each model that any of the points calls, the models whose scores it reads."""
    every = {name: entry.score_inputs for name, entry in study.models.items()}
    named = {
        model: every.get(base_name(model), ())
        for point in points
        for model in (*point.path.pipeline.models, *dict(point.path.runtimes))
    }
    return every | named


def _check_models(study: Study, folder: Path, points: tuple[DesignPoint, ...]) -> None:
    """Every model is fitted, and every runtime known, before anything is loaded."""
    inputs = score_inputs_of(study, points)
    for point in points:
        for model in needed_models(point.path.pipeline.models, inputs):
            if not (folder / base_name(model) / "manifest.json").exists():
                raise StudyError(
                    f"the plan calls {model!r}, and {folder / base_name(model)} holds no finished "
                    "model; train it again, or take a plan made from these models"
                )
        for model, runtime in point.path.runtimes:
            if runtime not in study.runtimes:
                raise StudyError(
                    f"the plan runs {model!r} on {runtime!r}, the study knows "
                    f"{', '.join(study.runtimes)}; plan again"
                )
