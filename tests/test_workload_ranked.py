"""What real queries look up: ids of the candidates that a stage ranks."""

import json
from pathlib import Path

import numpy as np
import pytest

from recfunnel.cli.main import run_command
from recfunnel.core.arrays import Ragged
from recfunnel.core.dataset import QuerySet, save_dataset
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, Features, FeatureSchema
from recfunnel.core.model import ScoreTable
from recfunnel.data.synthetic import Synthetic
from recfunnel.quality.tables import save_scores
from recfunnel.workload.ranked import item_tables, ranked_ids

ITEMS = np.array([[1, 7], [2, 7], [3, 8], [4, 9]])
SCORES = np.array([[0.1, 0.9, 0.5, 0.5], [0.9, 0.8, 0.7, 0.6]], np.float32)


def two_queries(candidates: np.ndarray | None = None) -> QuerySet:
    """Two queries over four items; the first may not be shown column 1."""
    schema = FeatureSchema(
        features=(
            Feature(name="item", side="candidate", kind="categorical", cardinality=5),
            Feature(name="genre", side="candidate", kind="categorical", cardinality=10),
            Feature(name="tags", side="candidate", kind="multi_valued", cardinality=3),
            Feature(name="user", side="context", kind="categorical", cardinality=3),
        )
    )
    tags = Ragged.from_rows([[1], [], [2, 1], [0]])
    return QuerySet(
        schema,
        Features(np.array([[1], [2]]), np.zeros((2, 0), np.float32)),
        Features(ITEMS, np.zeros((4, 0), np.float32), (tags,)),
        candidates,
        Ragged.from_rows([[1], []]),
        Ragged.from_rows([[0], [1]], [[1.0], [1.0]]),
    )


def test_the_front_stage_looks_up_every_candidate_that_may_be_shown() -> None:
    assert ranked_ids(two_queries()).tolist() == ITEMS[[0, 2, 3, 0, 1, 2, 3]].tolist()


def test_a_later_stage_looks_up_the_best_of_the_one_before() -> None:
    # columns 2 and 3 of the first query tie; the lower one comes first, column 1 is excluded
    ids = ranked_ids(two_queries(), scores=SCORES, keep=2)
    assert ids.tolist() == ITEMS[[2, 3, 0, 1]].tolist()


def test_columns_are_items_by_the_candidate_lists() -> None:
    candidates = np.array([[3, 2, 1, 0], [0, 0, 2, 2]])
    ids = ranked_ids(two_queries(candidates), scores=SCORES, keep=1)
    assert ids.tolist() == ITEMS[[1, 0]].tolist()


def test_tables_are_the_candidates_features_of_one_value() -> None:
    assert item_tables(two_queries()) == ({"item": 5, "genre": 10}, ("tags",))


def test_what_cannot_be_ranked_is_refused() -> None:
    queries = two_queries()
    with pytest.raises(StudyError, match="needs scores, and at least 1"):
        ranked_ids(queries, keep=2)
    with pytest.raises(StudyError, match="0 candidates are kept"):
        ranked_ids(queries, scores=SCORES, keep=0)
    with pytest.raises(StudyError, match=r"shape \(1, 4\) for 2 queries of 4"):
        ranked_ids(queries, scores=SCORES[:1])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    dataset = Synthetic(num_users=40, num_items=30, mean_ratings=8).prepare(seed=1)
    save_dataset(folder / "data", dataset)
    shape = (len(dataset.test), dataset.test.num_columns)
    scores = np.random.default_rng(1).random(shape, np.float32)
    save_scores(folder / "scores" / "test" / "front", ScoreTable("front", scores))
    return folder


def test_a_runs_queries_become_a_trace(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "trace.npy"
    asked = ["accel", "trace", str(run), "--to", str(to)]
    assert run_command([*asked, "--after", "front", "--keep", "5", "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    ids = np.load(to)
    assert ids.shape == (5 * facts["queries"], len(facts["tables"]))
    assert run_command(["accel", "cache", str(to), "--capacity", "10", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["lookups"] == ids.size
    assert run_command(asked) == 0
    assert "test queries" in capfd.readouterr().out
    assert len(np.load(to)) > len(ids)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--after", "front"], "--after front needs --keep"),
        (["--after", "back", "--keep", "2"], "no scores of 'back'; known: front"),
        (["--keep", "2"], "needs scores"),
    ],
)
def test_bad_options_are_said(
    run: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    to = str(tmp_path / "t.npy")
    assert run_command(["accel", "trace", str(run), "--to", to, *arguments]) == 2
    assert message in capfd.readouterr().err
