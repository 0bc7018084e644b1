"""Finished models are read without torch, and what is wrong with their files is said."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from recfunnel.compile.load import load_graph
from recfunnel.compile.safetensors import map_safetensors
from recfunnel.core.errors import ModelError, StorageError
from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.core.graph import Lookup, RankingGraph
from recfunnel.core.spec import to_builtins
from recfunnel.core.storage import write_json

SCHEMA = FeatureSchema(
    features=(Feature(name="item", side="candidate", kind="categorical", cardinality=3),),
    item_id="item",
)
GRAPH = RankingGraph(nodes=(Lookup(side="candidate", column=0, table="scores"),), score_of=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished model's folder."""
    manifest = {
        "format_version": 1,
        "name": "pop",
        "spec": {"kind": "popularity"},
        "schema": to_builtins(SCHEMA),
        "score_inputs": [],
        "has_graph": True,
    }
    write_json(tmp_path / "manifest.json", manifest)
    write_json(tmp_path / "graph.json", GRAPH)
    save_file({"scores": np.arange(3, dtype=np.float32)}, tmp_path / "parameters.safetensors")
    return tmp_path


def change(folder: Path, **values: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(folder / "manifest.json", manifest | values)


def test_a_model_is_read_whole(folder: Path) -> None:
    stored = load_graph(folder)

    assert (stored.name, stored.graph, stored.schema) == ("pop", GRAPH, SCHEMA)
    np.testing.assert_array_equal(stored.parameters["scores"], [0, 1, 2])


def test_reading_a_model_loads_no_deep_learning_framework(folder: Path) -> None:
    code = (
        "import sys, pathlib; from recfunnel.compile.load import load_graph; "
        "load_graph(pathlib.Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


def test_a_model_of_an_earlier_version_must_be_trained_again(folder: Path) -> None:
    (folder / "graph.json").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["has_graph"]
    write_json(folder / "manifest.json", manifest)

    with pytest.raises(StorageError, match=r"earlier version of recfunnel.*train it again"):
        load_graph(folder)


def test_a_model_without_a_graph_says_what_runs_it(folder: Path) -> None:
    (folder / "graph.json").unlink()
    change(folder, has_graph=False, spec={"kind": "module"})

    with pytest.raises(ModelError, match=r"'pop' \(kind 'module'\) has no graph.*runtime 'torch'"):
        load_graph(folder)


def test_a_lost_graph_is_said(folder: Path) -> None:
    (folder / "graph.json").unlink()

    with pytest.raises(StorageError, match=r"graph.json does not exist; train"):
        load_graph(folder)


def test_another_models_parameters_are_refused(folder: Path) -> None:
    save_file({"weights": np.zeros(3, np.float32)}, folder / "parameters.safetensors")

    with pytest.raises(StorageError, match="do not belong together"):
        load_graph(folder)


def test_another_format_is_refused(folder: Path) -> None:
    change(folder, format_version=99)

    with pytest.raises(StorageError, match="format version 99"):
        load_graph(folder)


def test_arrays_are_what_was_saved_and_cannot_be_changed(tmp_path: Path) -> None:
    arrays = {
        "matrix": np.random.default_rng(0).normal(size=(3, 5)),
        "row": np.arange(4, dtype=np.float32),
        "half": np.ones((2, 2), np.float16),
        "none": np.zeros((0,), np.float32),
        "ids": np.arange(3),
        "number": np.array(2.5, np.float32),
    }
    save_file(arrays, tmp_path / "a.safetensors", metadata={"who": "me"})

    found = map_safetensors(tmp_path / "a.safetensors")

    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert not found[name].flags.writeable


@pytest.mark.parametrize("cut", [0, 4, 12, -3])
def test_a_truncated_file_is_damaged(folder: Path, cut: int) -> None:
    file = folder / "parameters.safetensors"
    file.write_bytes(file.read_bytes()[:cut])

    with pytest.raises(StorageError, match=r"parameters.safetensors is damaged"):
        load_graph(folder)


def test_a_missing_file_is_said(folder: Path) -> None:
    (folder / "parameters.safetensors").unlink()

    with pytest.raises(StorageError, match=r"parameters.safetensors does not exist"):
        load_graph(folder)
