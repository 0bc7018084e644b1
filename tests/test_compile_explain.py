"""`recfunnel explain`: figures that add up, nodes in words, and what is wrong is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from recfunnel.cli.main import run_command
from recfunnel.compile.explain import explain
from recfunnel.compile.passes import PASSES, CompileOptions
from recfunnel.core.storage import write_json
from recfunnel.models.base import ModelSpec
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.models.dlrm import DLRM
from recfunnel.models.ease import EASE
from recfunnel.models.neumf import NeuMF
from recfunnel.models.popularity import Popularity
from recfunnel.models.reranker import Reranker
from recfunnel.testing.model import EXAMPLE_SCHEMA

MODELS: dict[str, tuple[ModelSpec, tuple[str, ...]]] = {
    "dlrm": (DLRM(embedding_dim=4, bottom=(6,), top=(7,)), ()),
    "neumf": (NeuMF(mf_dim=2, mlp_dim=3, hidden=(40, 3)), ()),
    "ease": (EASE(), ()),
    "pop": (Popularity(), ()),
    "reranker": (Reranker(embedding_dim=4, hidden=(5,), use_history=True), ("ease", "pop")),
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a model of every kind."""
    for name, (spec, inputs) in MODELS.items():
        module = spec.build(EXAMPLE_SCHEMA, len(inputs))
        folder = tmp_path / "models" / name
        save_checkpoint(folder, spec, EXAMPLE_SCHEMA, module, name=name, score_inputs=inputs)
    return tmp_path


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_explained(run: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["explain", name, "--out", str(run)]) == 0

    shown = capsys.readouterr().out
    assert f"{name}, compiled for 512 candidates a query" in shown
    for expected in (*PASSES, "as trained", "For each candidate:"):
        assert expected in shown


@pytest.mark.parametrize("name", MODELS)
def test_each_pass_goes_on_where_the_one_before_ended(run: Path, name: str) -> None:
    found = explain(run / "models" / name, CompileOptions(num_candidates=7))

    works = [found.trained, *(report.after for report in found.passes)]
    assert [report.before for report in found.passes] == works[:-1]
    assert found.compiled == works[-1]
    num_flops = [work.flops_per_query + 7 * work.flops_per_candidate for work in works]
    assert num_flops[-1] <= num_flops[0]


def test_features_and_models_are_called_by_name(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command(["explain", "reranker", "--out", str(run)])
    shown = capsys.readouterr().out

    for expected in ("scores of ease, pop", "rows of history", "row of age", "year, price"):
        assert expected in shown


def test_the_same_comes_as_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["explain", "neumf", "--out", str(run), "--layers", "bfloat16", "--json"]
    assert run_command([*arguments, "--candidates", "9", "--without", "fold"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["num_candidates"]) == ("neumf", 9)
    assert "fold" not in [report["name"] for report in found["passes"]]
    assert found["passes"][-1]["lower_layers"] == 1
    assert found["record_width"] == found["passes"][-2]["record_bytes"] // 4
    assert "bfloat16" in {node["precision"] for node in found["candidate"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "dlmr", "--out", "RUN"], "no trained model 'dlmr'; did you mean 'dlrm'?"),
        (["explain", "quantum", "--out", "RUN"], "known: dlrm, ease, neumf, pop, reranker"),
        (["explain", "dlrm", "--out", "nowhere"], "nowhere holds no trained models"),
        (["explain", "dlrm"], "--out"),
        (["explain", "dlrm", "--out", "RUN", "--without", "hoits"], "did you mean 'hoist'?"),
        (["explain", "dlrm", "--out", "RUN", "--candidates", "0"], "must be at least 1"),
        (["explain", "dlrm", "--out", "RUN", "--layers", "int4"], "--layers"),
    ],
)
def test_bad_input_is_said_and_exits_2(
    run: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(run) if argument == "RUN" else argument for argument in arguments]

    assert run_command(given) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_models_without_a_graph_say_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, has_graph in (("own", {"has_graph": False}), ("old", {})):
        folder = run / "models" / name
        manifest = {"format_version": 1, "name": name, "spec": {"kind": "module"}, **has_graph}
        write_json(folder / "manifest.json", manifest)
        save_file({"w": np.zeros(1)}, folder / "parameters.safetensors")

    assert run_command(["explain", "own", "--out", str(run)]) == 2
    assert "(kind 'module') has no graph" in capsys.readouterr().err
    assert run_command(["explain", "old", "--out", str(run)]) == 2
    assert "earlier version" in capsys.readouterr().err
