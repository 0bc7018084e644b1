"""What every runtime must do; a plug-in's test subclasses `RuntimeContract`.

Letters: Q queries, N items, C candidates, S score inputs.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import InvalidInput, StorageError
from recfunnel.core.features import Features
from recfunnel.models.base import ModelSpec, columns_tensor, to_tensors
from recfunnel.models.checkpoint import load_checkpoint, save_checkpoint
from recfunnel.models.dlrm import DLRM
from recfunnel.models.ease import EASE
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.neumf import NeuMF
from recfunnel.models.popularity import Popularity
from recfunnel.models.reranker import Reranker
from recfunnel.runtime.base import LoadedModel, RuntimeSpec
from recfunnel.testing.model import EXAMPLE_SCHEMA, fill_with_noise, random_features

NUM_QUERIES, NUM_ITEMS, NUM_CANDIDATES = 6, 14, 5


class RuntimeContract:
    """Subclass as `class TestContract(RuntimeContract): runtime = MyRuntime()`.

    Every kind of model is loaded from a folder and held against its own module in torch.
    """

    runtime: ClassVar[RuntimeSpec]
    tolerance: ClassVar[float] = 1e-5
    """Largest difference of a score from torch's, relative to the largest score."""
    specs: ClassVar[dict[str, tuple[ModelSpec, int]]] = {
        "dlrm": (DLRM(embedding_dim=4, bottom=(6,), top=(7,)), 0),
        "neumf": (NeuMF(mf_dim=3, mlp_dim=4, hidden=(6, 5)), 0),
        "matrix_factorisation": (MatrixFactorisation(num_factors=5), 0),
        "ease": (EASE(), 0),
        "popularity": (Popularity(), 0),
        "reranker": (Reranker(embedding_dim=4, hidden=(6, 5), use_history=True), 2),
    }
    """Models by name, with the number of scores each reads."""

    def context(self) -> Features:
        """Features of Q queries."""
        return random_features(EXAMPLE_SCHEMA, "context", NUM_QUERIES, np.random.default_rng(1))

    def items(self) -> Features:
        """Features of N items."""
        return random_features(EXAMPLE_SCHEMA, "candidate", NUM_ITEMS, np.random.default_rng(2))

    def candidates(self) -> IntArray:
        """(Q, C) rows of the items."""
        return np.random.default_rng(3).integers(0, NUM_ITEMS, (NUM_QUERIES, NUM_CANDIDATES))

    def given(self, name: str, num_columns: int) -> FloatArray | None:
        """(Q, columns, S) scores that a model reads; None when it reads none."""
        num_inputs = self.specs[name][1]
        if not num_inputs:
            return None
        rng = np.random.default_rng(4)
        return rng.normal(size=(NUM_QUERIES, num_columns, num_inputs)).astype(np.float32)

    def save(self, folder: Path, name: str) -> Path:
        """Store a model with random parameters; returns its folder."""
        spec, num_inputs = self.specs[name]
        module = spec.build(EXAMPLE_SCHEMA, num_inputs)
        fill_with_noise(module)
        inputs = [f"front{i}" for i in range(num_inputs)]
        save_checkpoint(folder / name, spec, EXAMPLE_SCHEMA, module, name=name, score_inputs=inputs)
        return folder / name

    def load(self, folder: Path, name: str) -> LoadedModel:
        """Store a model and load it in this runtime."""
        return self.runtime.load(self.save(folder, name), self.items())

    def reference(self, folder: Path, name: str, candidates: IntArray | None) -> FloatArray:
        """Scores by the stored module itself."""
        module = load_checkpoint(folder / name).module
        num_columns = NUM_ITEMS if candidates is None else NUM_CANDIDATES
        given = self.given(name, num_columns)
        with torch.inference_mode():
            scores: FloatArray = module(
                to_tensors(self.context()),
                to_tensors(self.items()),
                columns_tensor(candidates, "cpu"),
                None if given is None else torch.from_numpy(given),
            ).numpy()
        return scores

    def assert_close(self, scores: FloatArray, expected: FloatArray) -> None:
        """Equal within `tolerance` of the largest score."""
        assert scores.dtype == np.float32
        assert scores.shape == expected.shape
        assert np.abs(scores - expected).max() <= self.tolerance * np.abs(expected).max()

    def test_scores_are_those_of_the_stored_network(self, tmp_path: Path) -> None:
        """For all items in order, and for given candidates."""
        for name in self.specs:
            loaded = self.load(tmp_path, name)
            assert loaded.name == name
            for candidates in (None, self.candidates()):
                num_columns = NUM_ITEMS if candidates is None else NUM_CANDIDATES
                given = self.given(name, num_columns)
                scores = loaded.score(self.context(), candidates, given)
                self.assert_close(scores, self.reference(tmp_path, name, candidates))

    def test_one_query_at_a_time_scores_as_all_together(self, tmp_path: Path) -> None:
        """Serving and bulk scoring agree."""
        for name in self.specs:
            loaded, candidates = self.load(tmp_path, name), self.candidates()
            given = self.given(name, NUM_CANDIDATES)
            together = loaded.score(self.context(), candidates, given)
            for query in range(NUM_QUERIES):
                span = slice(query, query + 1)
                of_query = None if given is None else given[span]
                alone = loaded.score(self.context().row(query), candidates[span], of_query)
                self.assert_close(alone, together[span])

    def test_score_inputs_are_named_and_required(self, tmp_path: Path) -> None:
        """A model that reads scores refuses to do without them; another refuses to be given any."""
        for name, (_, num_inputs) in self.specs.items():
            loaded = self.load(tmp_path, name)
            assert loaded.score_inputs == tuple(f"front{i}" for i in range(num_inputs))
            wrong = None if num_inputs else np.zeros((NUM_QUERIES, NUM_ITEMS, 1), np.float32)
            try:
                loaded.score(self.context(), None, wrong)
            except InvalidInput as error:
                assert name in str(error)
            else:
                raise AssertionError(f"{name} took {wrong} as its score inputs")

    def test_a_folder_without_a_model_is_a_storage_error(self, tmp_path: Path) -> None:
        """And names the folder."""
        try:
            self.runtime.load(tmp_path / "absent", self.items())
        except StorageError as error:
            assert "absent" in str(error)
        else:
            raise AssertionError("a missing folder was loaded")
