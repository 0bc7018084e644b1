"""`recfunnel explain`: figures that add up, nodes in words, and what is wrong is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from recfunnel.cli.main import run_command
from recfunnel.compile.explain import explain
from recfunnel.compile.passes import PASSES, CompileOptions
from recfunnel.core.codes import MultiplyShift
from recfunnel.core.storage import write_json
from recfunnel.models.base import ModelSpec
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.models.dlrm import DLRM
from recfunnel.models.ease import EASE
from recfunnel.models.embeddings.dhe import DHE, Decoder
from recfunnel.models.embeddings.hashed import Hashed
from recfunnel.models.embeddings.hybrid import Hybrid
from recfunnel.models.embeddings.per_feature import PerFeature
from recfunnel.models.embeddings.quotient_remainder import QuotientRemainderTables
from recfunnel.models.embeddings.table import Table
from recfunnel.models.neumf import NeuMF
from recfunnel.models.popularity import Popularity
from recfunnel.models.reranker import Reranker
from recfunnel.testing.model import EXAMPLE_SCHEMA

SHORT = DHE(codes=MultiplyShift(num_codes=8), decoder=Decoder(hidden=(6,)))
TWO = PerFeature(
    default=Hybrid(first=Hashed(num_rows=3), second=QuotientRemainderTables(min_ids=1)),
    of={"item": Hybrid(second=SHORT), "history": Table()},
)

MODELS: dict[str, tuple[ModelSpec, tuple[str, ...]]] = {
    "dlrm": (DLRM(embedding_dim=4, bottom=(6,), top=(7,)), ()),
    "neumf": (NeuMF(mf_dim=2, mlp_dim=3, hidden=(40, 3)), ()),
    "ease": (EASE(), ()),
    "pop": (Popularity(), ()),
    "hybrid": (DLRM(embedding_dim=4, bottom=(6,), top=(7,), embedding=TWO), ()),
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


def test_what_storing_a_computed_table_costs_and_saves_is_said(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A decoder of 8-6-4 is 2 (48 + 24) FLOPs and 82 numbers; the item's 15 rows are 60."""
    item = next(
        t for t in explain(run / "models" / "hybrid", STORED).computed if t.flops_per_row > 9
    )
    kept = explain(run / "models" / "hybrid", CompileOptions(without=("materialise",))).computed

    assert (item.features, item.num_ids, item.is_stored) == (("item",), 15, True)
    assert (item.flops_per_row, item.parameter_bytes, item.stored_bytes) == (144, 328, 240)
    assert not any(table.is_stored for table in kept)
    assert len(kept) == 7

    run_command(["explain", "hybrid", "--out", str(run)])
    run_command(["explain", "hybrid", "--out", str(run), "--without", "materialise"])
    shown = " ".join(capsys.readouterr().out.split())
    name = "item (item_vectors.single.0.second)"
    assert f"{name}: decoder 8-6-4 on 8 codes of an id; all 15 rows are stored: 240 B" in shown
    assert "saves 144 FLOPs a lookup" in shown
    assert "stays computed, 144 FLOPs a lookup; storing all 15 rows would take 240 B" in shown
    assert "genres (item_vectors.multiple.0.first): row of 3 by the id's hash" in shown
    assert "user (context_vectors.single.0.second): rows of two tables of 3 and 4 by quo" in shown


STORED = CompileOptions()


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
        (["explain", "quantum", "--out", "RUN"], "known: dlrm, ease, hybrid, neumf, pop, reranker"),
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
