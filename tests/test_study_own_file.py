"""A user's network, trained elsewhere and brought as an ONNX file, goes all the way as a stage."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recfunnel.cli.main import run_command
from recfunnel.core.dataset import Dataset
from recfunnel.core.errors import ModelError
from recfunnel.core.storage import read_json
from recfunnel.models.onnx_file import OnnxFile
from recfunnel.report.summary import RunSummary
from recfunnel.runtime.onnx_runtime import OnnxRuntime
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.study.parse import write_study
from recfunnel.study.study import Study
from recfunnel.train.base import ModelEntry
from recfunnel.train.stored import Stored
from recfunnel.train.zoo import fit_model
from tiny_study import tiny_study


class OwnNetwork(nn.Module):
    """Two tables and two layers."""

    def __init__(self, num_users: int, num_items: int) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(num_users, 8), nn.Embedding(num_items, 8)
        self.layers = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        pairs = torch.cat([self.users(user), self.items(item)], dim=1)
        scores: Tensor = self.layers(pairs)
        return scores.squeeze(1)


def trained(dataset: Dataset) -> OwnNetwork:
    """As a user would: on the ids of the prepared data set."""
    torch.manual_seed(0)
    schema = dataset.schema
    users = dataset.context.categorical[:, schema.column(schema.context_id)]
    items = dataset.items.categorical[:, schema.column(schema.item_id)]
    sizes = (schema.feature(name).cardinality for name in (schema.context_id, schema.item_id))
    network = OwnNetwork(*sizes)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    rng = np.random.default_rng(0)
    for _ in range(150):
        rows = rng.integers(0, dataset.train.item_rows.size, 512)
        user = torch.from_numpy(users[dataset.train.context_rows[rows]])
        good = torch.from_numpy(items[dataset.train.item_rows[rows]])
        other = torch.from_numpy(items[rng.integers(0, items.size, 512)])
        margin = network(user, good) - network(user, other)
        loss = nn.functional.softplus(-margin).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return network.eval()


def export(network: nn.Module, file: Path) -> None:
    ids = (torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            ids,
            str(file),
            input_names=["user", "item"],
            output_names=["score"],
            dynamic_axes={name: {0: "n"} for name in ("user", "item", "score")},
            dynamo=False,
        )


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    study = tiny_study()
    return study.dataset.prepare(seed=study.seed)


@pytest.fixture(scope="module")
def own(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("own") / "tower.onnx"
    export(trained(dataset), file)
    return file


def entry(dataset: Dataset, file: Path) -> ModelEntry:
    schema = dataset.schema
    inputs: dict[str, str | tuple[str, ...]] = {"user": schema.context_id, "item": schema.item_id}
    return ModelEntry(model=OnnxFile(file=str(file), inputs=inputs), training=Stored())


def study_with(dataset: Dataset, file: Path) -> Study:
    tiny = tiny_study()
    changed = {name: tiny.models[name] for name in ("popularity", "als")}
    return Study(
        name="own",
        dataset=tiny.dataset,
        models={**changed, "mine": entry(dataset, file)},
        platform=tiny.platform,
        runtimes={"torch": TorchEager(), "onnx": OnnxRuntime()},
        space=tiny.space,
        target=tiny.target,
        profile=tiny.profile,
        simulate=tiny.simulate,
        verify=tiny.verify,
    )


def test_an_own_file_is_judged_and_planned_with(
    dataset: Dataset, own: Path, tmp_path: Path
) -> None:
    write_study(tmp_path / "study.toml", study_with(dataset, own))
    out = tmp_path / "run"
    assert run_command(["run", str(tmp_path / "study.toml"), "--out", str(out), "--quiet"]) == 0
    assert (out / "models" / "mine" / "model.onnx").read_bytes() == own.read_bytes()
    summary = read_json(out / "summary.json", RunSummary)
    rows = {row.name: row for row in summary.models}
    assert rows["mine"].ndcg.mean > 0.5 * rows["als"].ndcg.mean
    assert rows["mine"].notes == ("brought as a file, not fitted",)
    assert summary.plan is not None
    assert ("mine",) in [point.path.pipeline.models for point in summary.plan.baselines]
    assert summary.plan.chosen is not None


def test_ids_of_another_data_set_are_noticed(dataset: Dataset, own: Path, tmp_path: Path) -> None:
    """A network that was trained on other ids ranks no better than chance."""
    torch.manual_seed(1)
    schema = dataset.schema
    sizes = (schema.feature(name).cardinality for name in (schema.context_id, schema.item_id))
    export(OwnNetwork(*sizes).eval(), tmp_path / "untrained.onnx")
    entries = {"mine": entry(dataset, tmp_path / "untrained.onnx")}
    with pytest.raises(ModelError, match="its ids must be those of the prepared data set"):
        fit_model("mine", entries, dataset, tmp_path / "zoo", tmp_path / "work", seed=0)
    assert own.exists()


def test_another_file_is_taken_anew(dataset: Dataset, own: Path, tmp_path: Path) -> None:
    file = tmp_path / "tower.onnx"
    file.write_bytes(own.read_bytes())
    entries = {"mine": entry(dataset, file)}
    first = fit_model("mine", entries, dataset, tmp_path / "zoo", tmp_path / "work", seed=0)
    kept = (first / "manifest.json").read_bytes()
    again = fit_model("mine", entries, dataset, tmp_path / "zoo", tmp_path / "work", seed=0)
    assert (again / "manifest.json").read_bytes() == kept
    network = trained(dataset)
    with torch.no_grad():
        network.layers[2].weight.mul_(2)
    export(network, file)
    fit_model("mine", entries, dataset, tmp_path / "zoo", tmp_path / "work", seed=0)
    assert (again / "model.onnx").read_bytes() == file.read_bytes() != own.read_bytes()
