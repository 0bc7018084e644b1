"""Checkpoints: scores survive storage bit for bit, and damage is said."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from recfunnel.core.errors import StorageError
from recfunnel.models.base import ModelSpec, to_tensors
from recfunnel.models.checkpoint import PARAMETERS, load_checkpoint, save_checkpoint
from recfunnel.models.dlrm import DLRM
from recfunnel.models.ease import EASE
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.neumf import NeuMF
from recfunnel.models.popularity import Popularity
from recfunnel.models.reranker import Reranker
from recfunnel.testing.model import EXAMPLE_SCHEMA, fill_with_noise, random_features

SPECS: list[tuple[ModelSpec, int]] = [
    (DLRM(embedding_dim=4, without=("history",)), 0),
    (NeuMF(mf_dim=2, mlp_dim=3, hidden=(4,), use_features=False), 0),
    (MatrixFactorisation(num_factors=3, item_bias=True), 0),
    (EASE(), 0),
    (EASE(rating_weights=()), 0),
    (Popularity(), 0),
    (Reranker(embedding_dim=4, hidden=(5,), use_history=True, factor_dim=2), 2),
]


def _saved(folder: Path, spec: ModelSpec, num_score_inputs: int = 0) -> nn.Module:
    module = spec.build(EXAMPLE_SCHEMA, num_score_inputs)
    fill_with_noise(module)
    inputs = ["a", "b"][:num_score_inputs]
    report = {"metric": "ndcg@64", "history": [0.25]}
    save_checkpoint(
        folder, spec, EXAMPLE_SCHEMA, module, name="m", score_inputs=inputs, report=report
    )
    return module


@pytest.mark.parametrize(("spec", "num_score_inputs"), SPECS)
def test_scores_survive_storage_bit_for_bit(
    tmp_path: Path, spec: ModelSpec, num_score_inputs: int
) -> None:
    module = _saved(tmp_path / "m", spec, num_score_inputs)
    rng = np.random.default_rng(0)
    context = to_tensors(random_features(EXAMPLE_SCHEMA, "context", 3, rng))
    items = to_tensors(random_features(EXAMPLE_SCHEMA, "candidate", 9, rng))
    given = torch.randn(3, 9, num_score_inputs) if num_score_inputs else None

    stored = load_checkpoint(tmp_path / "m")

    assert torch.equal(
        stored.module(context, items, None, given), module(context, items, None, given)
    )
    assert (stored.name, stored.spec, stored.schema) == ("m", spec, EXAMPLE_SCHEMA)
    assert stored.score_inputs == ("a", "b")[:num_score_inputs]
    assert stored.manifest["report"] == {"metric": "ndcg@64", "history": [0.25]}
    assert set(stored.manifest["versions"]) == {"recfunnel", "torch"}
    assert not stored.module.training


def test_loading_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    _saved(tmp_path / "m", DLRM())
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_checkpoint(tmp_path / "m")
    assert torch.equal(torch.rand(4), expected)


def test_a_loaded_model_can_be_trained_on(tmp_path: Path) -> None:
    _saved(tmp_path / "m", MatrixFactorisation(num_factors=3))
    module = load_checkpoint(tmp_path / "m").module
    with torch.no_grad():
        for parameter in module.parameters():
            assert parameter.requires_grad
            parameter.add_(1)


def test_large_parameters_stay_mapped_and_can_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recfunnel.models.checkpoint.MAPPED_BYTES", 0)
    module = _saved(tmp_path / "m", MatrixFactorisation(num_factors=3))
    mapped = load_checkpoint(tmp_path / "m").module
    _saved(tmp_path / "m", Popularity())  # the file it is mapped to leaves the folder
    assert torch.equal(mapped.item_factors, module.item_factors)


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, 0.999])
def test_truncated_parameters_are_a_storage_error(tmp_path: Path, keep: float) -> None:
    _saved(tmp_path / "m", NeuMF())
    file = tmp_path / "m" / PARAMETERS
    body = file.read_bytes()
    file.write_bytes(body[: int(keep if keep > 1 else keep * len(body))])
    with pytest.raises(StorageError, match=r"parameters\.safetensors is damaged"):
        load_checkpoint(tmp_path / "m")


def test_missing_parameters_are_a_storage_error(tmp_path: Path) -> None:
    _saved(tmp_path / "m", NeuMF())
    (tmp_path / "m" / PARAMETERS).unlink()
    with pytest.raises(StorageError, match="does not exist; train the model again"):
        load_checkpoint(tmp_path / "m")


def test_parameters_of_another_shape_are_a_storage_error(tmp_path: Path) -> None:
    _saved(tmp_path / "m", NeuMF())
    _saved(tmp_path / "other", NeuMF(mf_dim=3))
    (tmp_path / "other" / PARAMETERS).replace(tmp_path / "m" / PARAMETERS)
    with pytest.raises(StorageError, match="is damaged"):
        load_checkpoint(tmp_path / "m")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format_version", 99, "format version 99"),
        ("spec", {"kind": "dlmr"}, "did you mean 'dlrm'"),
        ("spec", None, "is damaged"),
        ("schema", {"features": 3}, "is damaged"),
        ("score_inputs", 3, "is damaged"),
    ],
)
def test_a_manifest_that_cannot_be_meant_is_a_storage_error(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    _saved(tmp_path / "m", Popularity())
    file = tmp_path / "m" / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(StorageError, match=message):
        load_checkpoint(tmp_path / "m")


def test_a_failed_save_leaves_the_older_model(tmp_path: Path) -> None:
    _saved(tmp_path / "m", Popularity())
    with pytest.raises(TypeError):
        save_checkpoint(
            tmp_path / "m",
            Popularity(),
            EXAMPLE_SCHEMA,
            Popularity().build(EXAMPLE_SCHEMA),
            name="new",
            report={"not plain": object()},
        )
    assert load_checkpoint(tmp_path / "m").name == "m"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
