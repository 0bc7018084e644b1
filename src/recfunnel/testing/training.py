"""What every way to fit a network promises; a plug-in's test subclasses `TrainingContract`."""

from abc import abstractmethod
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from recfunnel.core.arrays import Ragged
from recfunnel.core.dataset import Dataset, QuerySet
from recfunnel.core.progress import Progress
from recfunnel.core.spec import to_builtins
from recfunnel.data.synthetic import Synthetic
from recfunnel.models.checkpoint import Checkpoint, load_checkpoint
from recfunnel.train.base import ModelEntry, trainings
from recfunnel.train.zoo import fit_model, fitting_order

SEED = 11


@cache
def small_dataset() -> Dataset:
    """A generated world of 160 users and 100 items, with strong tastes."""
    return Synthetic(num_users=160, num_items=100, mean_ratings=25, signal=2.0).prepare(seed=5)


class TrainingContract:
    """Tests of one training spec; subclass it and say what to fit."""

    name = "candidate"

    @property
    @abstractmethod
    def entries(self) -> dict[str, ModelEntry]:
        """Entries of the model `candidate` and of everything it needs; small and quick."""

    def dataset(self) -> Dataset:
        """What to fit on."""
        return small_dataset()

    def test_the_spec_survives_being_stored(self) -> None:
        """Written as plain data and read back, the spec is the same."""
        spec = self.entries[self.name].training
        assert trainings.parse(to_builtins(spec)) == spec

    def test_the_report_says_what_was_kept(self, tmp_path: Path) -> None:
        """One value an epoch, the best of them kept, all finite."""
        report = self._fit(tmp_path).manifest["report"]
        history = report["history"]
        assert history[report["best_epoch"]] == max(history)
        assert np.isfinite(history).all()
        assert report["seconds"] >= 0
        assert report["metric"]

    def test_the_same_seed_gives_the_same_parameters(self, tmp_path: Path) -> None:
        """Two fits agree to the last bit."""
        self._same(self._fit(tmp_path / "a"), self._fit(tmp_path / "b"))

    def test_the_test_split_is_never_read(self, tmp_path: Path) -> None:
        """With a test split of other queries and other answers nothing changes."""
        dataset = self.dataset()
        poisoned = replace(dataset, test=_garbage(dataset.test))
        self._same(self._fit(tmp_path / "a"), self._fit(tmp_path / "b", dataset=poisoned))

    def test_fitting_goes_on_after_an_interruption(self, tmp_path: Path) -> None:
        """Stopped at every second line it logs and called again, it ends the same."""
        undisturbed = self._fit(tmp_path / "a")
        for _ in range(100):
            try:
                stubborn = self._fit(tmp_path / "b", progress=_Interrupts())
            except InterruptedError:
                continue
            break
        self._same(undisturbed, stubborn)

    def _fit(
        self, folder: Path, dataset: Dataset | None = None, progress: Progress | None = None
    ) -> Checkpoint:
        for name in fitting_order((self.name,), self.entries):
            made = fit_model(
                name,
                self.entries,
                dataset or self.dataset(),
                folder / "models",
                folder / "work",
                seed=SEED,
                progress=(progress if name == self.name and progress else Progress()),
            )
        return load_checkpoint(made)

    @staticmethod
    def _same(a: Checkpoint, b: Checkpoint) -> None:
        first, second = a.module.state_dict(), b.module.state_dict()
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert torch.equal(value, second[name]), name
        assert a.manifest["report"]["history"] == b.manifest["report"]["history"]


class _Interrupts(Progress):
    """Breaks off at the second line that is logged."""

    def __init__(self) -> None:
        self._num_lines = 0

    def log(self, text: str) -> None:
        self._num_lines += 1
        if self._num_lines == 2:
            raise InterruptedError(text)


def _garbage(queries: QuerySet) -> QuerySet:
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(queries))
    answers = [[int(rng.integers(queries.num_columns))] for _ in rows]
    return replace(queries, context=queries.context.take(rows), relevance=Ragged.from_rows(answers))
