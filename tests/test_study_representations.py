"""The documented study of representations: it parses, and a trained one is served as told."""

import json
from pathlib import Path

import numpy as np
import pytest

from recfunnel.cli.main import run_command
from recfunnel.compile.id_counts import ID_COUNTS_FILE, choose_hot_ids, load_id_counts
from recfunnel.compile.load import load_graph
from recfunnel.core.dataset import load_dataset
from recfunnel.core.spec import kind_of, to_builtins
from recfunnel.models.embeddings.base import embeddings
from recfunnel.runtime.base import remarks_of
from recfunnel.study.parse import read_toml, study_from_dict
from recfunnel.study.study import Study

FILE = Path(__file__).parent.parent / "docs" / "representations.toml"
HOT_BYTES = 20_000


@pytest.fixture(scope="module")
def study() -> Study:
    return study_from_dict(read_toml(FILE))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the deep hash embedding trained, and the tables beside it."""
    out = tmp_path_factory.mktemp("representations") / "run"
    command = ["train", str(FILE), "--model", "dhe", "--model", "table", "--out", str(out)]
    assert run_command([*command, "--quiet"]) == 0
    return out


def test_the_documented_study_has_every_kind_of_representation(study: Study) -> None:
    found: set[str] = set()

    def visit(value: object) -> None:
        if isinstance(value, dict):
            found.add(str(value.get("kind")))
            for part in value.values():
                visit(part)

    visit(to_builtins(study.models))
    assert set(embeddings.kinds()) - {"by_size"} <= found
    assert {kind_of(runtime) for runtime in study.runtimes.values()} == {"native", "torch"}


def test_training_counts_the_ids_of_computed_tables(run: Path) -> None:
    """Of each id as many as training rows have it; models without computed tables have none."""
    dataset = load_dataset(run / "data")
    counts = load_id_counts(run / "models" / "dhe")
    assert counts is not None
    columns = [f.name for f in dataset.schema.select("candidate", "categorical")]
    items = dataset.items.categorical[dataset.train.item_rows, columns.index("item_id")]
    expected = np.unique(items, return_counts=True)
    tables = load_graph(run / "models" / "dhe").graph.computed
    same = [
        table.name
        for table in tables
        if np.array_equal(counts[table.name][0], expected[0])
        and np.array_equal(counts[table.name][1], expected[1])
    ]
    assert same
    assert not (run / "models" / "table" / ID_COUNTS_FILE).exists()


def test_a_trained_model_is_served_stored_or_with_a_hot_store(study: Study, run: Path) -> None:
    """Every documented runtime gives the same scores, to rounding of folded layers."""
    queries = load_dataset(run / "data").test
    folder, scores, remarks = run / "models" / "dhe", {}, {}
    for name, runtime in study.runtimes.items():
        model = runtime.load(folder, queries.items)
        scores[name], remarks[name] = model.score(queries.context, None), remarks_of(model)
    for name in ("hot", "torch"):
        np.testing.assert_allclose(scores[name], scores["stored"], rtol=2e-5, atol=2e-5)
    assert not remarks["stored"]
    stored = load_graph(folder)
    assert stored.id_counts is not None
    hot = choose_hot_ids(stored.graph.computed, stored.parameters, stored.id_counts, HOT_BYTES)
    num_rows = sum(ids.size for ids in hot.values())
    assert num_rows > 100
    assert f"{num_rows} frequent rows are kept (0.0 MB)" in remarks["hot"][0]


def test_ids_are_counted_once_and_kept(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Counts of a window of one's own stay where they are."""
    file = run / "models" / "dhe" / ID_COUNTS_FILE
    before = file.stat().st_mtime_ns
    assert run_command(["train", "--out", str(run), "--model", "dhe", "--json", "--quiet"]) == 0
    assert json.loads(capfd.readouterr().out)[0]["model"] == "dhe"
    assert file.stat().st_mtime_ns == before
