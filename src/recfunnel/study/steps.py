"""The steps of a study, data to scores; each is skipped when its inputs have not changed.

Planning and proving the plan go on in `recfunnel.study.planning`.
"""

import os
import shutil
from pathlib import Path
from typing import Literal

from recfunnel.compile.id_counts import count_interactions, save_id_counts
from recfunnel.core.dataset import Dataset, QuerySet, load_dataset, save_dataset
from recfunnel.core.errors import StudyError
from recfunnel.core.graph import GRAPH_FILE, RankingGraph
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import base_name
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.seeds import rng_for
from recfunnel.core.storage import FORMAT_VERSION, content_hash, read_json
from recfunnel.quality.score import score_queries
from recfunnel.quality.tables import load_scores, save_scores
from recfunnel.runtime.base import remarks_of
from recfunnel.study.parse import write_study
from recfunnel.study.run_folder import RunFolder
from recfunnel.study.served import served_models
from recfunnel.study.study import Study
from recfunnel.train.zoo import fit_model, fitting_order

Split = Literal["validation", "test"]


class Steps:
    """A study at work in its run folder.

    Every method does what it is named after, and first whatever it needs that is not done yet.

    Args:
        study: what to do.
        folder: open (locked) run folder; claimed for this study's data and seed.
        progress: told about long work.

    Raises:
        RunFolderError: the folder holds another data set, seed or version.
    """

    def __init__(self, study: Study, folder: RunFolder, progress: Progress = SILENT) -> None:
        self.study = study
        self.folder = folder
        self.progress = progress
        self._dataset: Dataset | None = None
        self._served: dict[str, tuple[str, ...]] | None = None
        folder.claim(study.dataset, study.seed)
        if not (folder.path / "study.toml").exists():
            self.keep_study()

    @property
    def path(self) -> Path:
        """Where everything lies."""
        return self.folder.path

    def keep_study(self) -> None:
        """Make this the study that the folder is about when a command names none."""
        write_study(self.path / "study.toml", self.study)

    def data_key(self) -> str:
        """Hash of what the prepared data depends on."""
        return content_hash([FORMAT_VERSION, self.study.dataset, self.study.seed])

    def model_key(self, name: str) -> str:
        """Hash of what a fitted model depends on, score inputs included."""
        entry = self.study.models[name]
        inputs = [self.model_key(needed) for needed in entry.score_inputs]
        files = [found] if (found := entry.model.fingerprint()) else []
        return content_hash([self.data_key(), name, entry, inputs, *files])

    def data(self) -> Dataset:
        """Prepare the data set, or load it."""
        if self._dataset is not None:
            return self._dataset
        place = self.path / "data"
        if not self.folder.is_done("data", self.data_key()):
            with self.folder.doing("data", self.data_key()):
                dataset = self.study.dataset.prepare(seed=self.study.seed, progress=self.progress)
                dataset.check()
                save_dataset(place, dataset)
        self._dataset = load_dataset(place)
        return self._dataset

    def train(self, only: tuple[str, ...] = ()) -> None:
        """Fit every model of the study, or only some and what they read."""
        dataset = self.data()
        for name in self._with_inputs(only):
            key = self.model_key(name)
            if self.folder.is_done(f"train.{name}", key):
                continue
            work = self.path / "unfinished" / f"{name}-{key}"
            self.folder.forget_work(name, keep=key)
            with self.folder.doing(f"train.{name}", key):
                fit_model(
                    name,
                    self.study.models,
                    dataset,
                    self.models_folder,
                    work,
                    seed=self.study.seed,
                    progress=self.progress,
                )
            shutil.rmtree(work, ignore_errors=True)
        for name in self._with_inputs(only):
            self._count_ids(name, dataset)

    def _count_ids(self, name: str, dataset: Dataset) -> None:
        """Count the ids of the training rows where a model computes tables: for hot stores."""
        folder, key = self.models_folder / name, content_hash([self.model_key(name), "training"])
        if self.folder.is_done(f"count.{name}", key) or not (folder / GRAPH_FILE).exists():
            return
        graph = read_json(folder / GRAPH_FILE, RankingGraph)
        if not graph.computed:
            return
        with self.folder.doing(f"count.{name}", key):
            rows = dataset.train
            counts = count_interactions(
                graph, dataset.context, dataset.items, rows.context_rows, rows.item_rows
            )
            save_id_counts(folder, counts)

    def _with_inputs(self, only: tuple[str, ...]) -> tuple[str, ...]:
        """All names in fitting order, or only some with what they read."""
        unknown = [name for name in only if name not in self.study.models]
        if unknown:
            known = ", ".join(self.study.models)
            raise StudyError(
                f"no model {unknown[0]!r} in study {self.study.name!r}; known: {known}"
            )
        return fitting_order(only or tuple(self.study.models), self.study.models)

    @property
    def models_folder(self) -> Path:
        """Where finished models lie, one folder a name."""
        return self.path / "models"

    def queries(self, split: Split) -> QuerySet:
        """The test queries, or the validation queries that judge pipelines while planning."""
        dataset = self.data()
        if split == "test":
            return dataset.test
        limit = self.study.max_validation_queries
        if len(dataset.validation) <= limit:
            return dataset.validation
        rng = rng_for(self.study.seed, "validation queries")
        chosen = rng.choice(len(dataset.validation), limit, replace=False)
        chosen.sort()
        return dataset.validation.take(chosen)

    def served(self) -> dict[str, tuple[str, ...]]:
        """The runtimes of each model, variants on runtimes that are not exact among them."""
        if self._served is None:
            self.train()
            self._served = served_models(
                self._with_inputs(()), self.study.runtimes, self.models_folder, self.progress.log
            )
        return self._served

    def score_inputs(self) -> dict[str, tuple[str, ...]]:
        """For each served model, the models whose scores it reads."""
        return {name: self.study.models[base_name(name)].score_inputs for name in self.served()}

    def score(self, split: Split) -> dict[str, ScoreTable]:
        """Score the queries of one split with everything that can be served.

        Returns:
            Tables by served model, memory-mapped.
        """
        queries = self.queries(split)
        inputs = self.score_inputs()
        tables: dict[str, ScoreTable] = {}
        for name, runtimes in self.served().items():
            runtime = self.study.runtimes[runtimes[0]]
            key = content_hash(
                [self.model_key(base_name(name)), split, self.study.max_validation_queries]
                + ([] if runtime.exact else [runtime])
            )
            place = self.path / "scores" / split / name
            if not self.folder.is_done(f"score.{split}.{name}", key):
                with self.folder.doing(f"score.{split}.{name}", key):
                    model = runtime.load(
                        self.models_folder / base_name(name),
                        queries.items,
                        num_threads=os.cpu_count() or 1,
                    )
                    for remark in remarks_of(model):
                        self.progress.log(remark)
                    given = [tables[n] for n in inputs[name]]
                    table = score_queries(model, queries, given, self.progress)
                    save_scores(place, ScoreTable(name, table.scores))
            tables[name] = load_scores(place)
        return tables
