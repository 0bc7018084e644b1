"""Scoring a query set once, in batches, and storing the result."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from quality_cases import query_set
from recfunnel.core.arrays import FloatArray, IntArray, Ragged
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import InvalidInput, ModelError, StorageError
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.model import ScoreTable
from recfunnel.core.storage import save_arrays
from recfunnel.quality.score import score_queries
from recfunnel.quality.tables import load_scores, save_scores


@dataclass
class Adding:
    """Scores a candidate by its context's and its item's number, plus what it was given."""

    score_inputs: tuple[str, ...] = ()
    name: str = "adding"
    calls: list[int] = field(default_factory=list)

    def score(
        self, context: Features, candidates: IntArray | None, given: FloatArray | None = None
    ) -> FloatArray:
        self.calls.append(len(context))
        items = np.arange(4)[None, :] if candidates is None else candidates
        scores = context.dense + items
        if given is not None:
            scores = scores + given @ 10.0 ** np.arange(1, given.shape[2] + 1)
        return scores.astype(np.float32)


def numbered(candidates: IntArray | None = None) -> QuerySet:
    """Five queries with a number each."""
    plain = query_set([{0: 1.0} for _ in range(5)], 4)
    context = Features(np.zeros((5, 0), np.int64), np.arange(5, dtype=np.float32)[:, None] * 100)
    nothing = Ragged.from_rows([[] for _ in range(5)])
    schema = FeatureSchema(features=())
    return QuerySet(schema, context, plain.items, candidates, nothing, plain.relevance)


@pytest.mark.parametrize("pairs_a_call", [1, 8, 11, 1000])
def test_the_batch_size_changes_nothing(pairs_a_call: int) -> None:
    model = Adding()
    table = score_queries(model, numbered(), pairs_a_call=pairs_a_call)

    np.testing.assert_array_equal(table.scores, np.arange(5)[:, None] * 100 + np.arange(4))
    assert table.scores.dtype == np.float32
    assert max(model.calls) <= max(1, pairs_a_call // 4)


def test_candidate_lists_are_scored_as_they_are() -> None:
    candidates = np.random.default_rng(1).integers(0, 4, (5, 3))
    table = score_queries(Adding(), numbered(candidates), pairs_a_call=6)

    np.testing.assert_array_equal(table.scores, np.arange(5)[:, None] * 100 + candidates)


def test_score_inputs_come_in_the_models_order() -> None:
    given = [ScoreTable(m, np.full((5, 4), v, np.float32)) for m, v in (("x", 1), ("y", 2))]
    unused = ScoreTable("z", np.full((5, 4), np.float32(9)))

    table = score_queries(Adding(("y", "x")), numbered(), [unused, *given], pairs_a_call=8)

    expected = np.arange(5)[:, None] * 100 + np.arange(4) + 2 * 10 + 1 * 100
    np.testing.assert_array_equal(table.scores, expected)


def test_a_missing_score_input_is_named() -> None:
    with pytest.raises(InvalidInput, match="'adding' reads the scores of 'x', given: none"):
        score_queries(Adding(("x",)), numbered())
    short = ScoreTable("x", np.ones((4, 4), np.float32))
    with pytest.raises(InvalidInput, match=r"'x' have shape \(4, 4\), the queries \(5, 4\)"):
        score_queries(Adding(("x",)), numbered(), [short])


@dataclass
class Returning:
    """Returns what it is told to."""

    scores: np.ndarray
    name: str = "broken"
    score_inputs: tuple[str, ...] = ()

    def score(
        self, context: Features, candidates: IntArray | None, given: FloatArray | None = None
    ) -> FloatArray:
        return self.scores


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.ones((5, 3), np.float32), r"shape \(5, 3\), expected \(5, 4\)"),
        (np.ones(20, np.float32), r"shape \(20,\)"),
        (np.full((5, 4), np.nan, np.float32), r"'broken' returned nan at \(0, 0\)"),
        (np.full((5, 4), np.inf, np.float32), r"returned inf"),
        (np.full((5, 4), 1e300), r"returned inf"),
    ],
)
def test_a_model_that_breaks_its_contract_is_named(scores: np.ndarray, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        score_queries(Returning(scores), numbered())


def test_a_table_survives_being_stored_and_comes_back_mapped(tmp_path: Path) -> None:
    table = ScoreTable("a", np.random.default_rng(1).normal(size=(50, 40)).astype(np.float32))
    save_scores(tmp_path / "a", table)
    back = load_scores(tmp_path / "a")

    assert back.model == "a"
    assert isinstance(back.scores, np.memmap)
    np.testing.assert_array_equal(back.scores, table.scores)


def test_a_damaged_or_foreign_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        load_scores(tmp_path / "none")
    save_arrays(tmp_path / "other", {"x": np.ones(3)}, {"kind": "something"})
    with pytest.raises(StorageError, match="holds no score table"):
        load_scores(tmp_path / "other")
    save_scores(tmp_path / "cut", ScoreTable("a", np.ones((50, 40), np.float32)))
    (tmp_path / "cut" / "scores.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(StorageError, match="damaged"):
        load_scores(tmp_path / "cut")
