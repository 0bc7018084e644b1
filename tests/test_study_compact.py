"""The features of a model that can do with less are found by measuring, and chosen exactly."""

import json
from pathlib import Path

import numpy as np
import pytest

from recfunnel.cli.main import run_command
from recfunnel.data.ctr import Blocks
from recfunnel.data.tabular import Tabular
from recfunnel.models.dlrm import DLRM
from recfunnel.models.embeddings.hashed import Hashed
from recfunnel.models.embeddings.hybrid import Hybrid
from recfunnel.models.embeddings.per_feature import PerFeature
from recfunnel.models.popularity import Popularity
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.study.compact import CompactChoice, _estimate, as_toml, choose_compact
from recfunnel.study.parse import write_study
from recfunnel.study.run_folder import RunFolder
from recfunnel.study.steps import Steps
from recfunnel.study.study import Study
from recfunnel.train.base import ModelEntry
from recfunnel.train.bce import BCE
from recfunnel.train.epochs import Patience
from recfunnel.train.optimisers import Descent
from recfunnel.train.popularity import Counts

NUM_ADS, NUM_PAGES, DIM = 120, 80, 4
ROW_BYTES = 4 * DIM
FEW = Hashed(num_rows=4)
SAVED = {"ad": (NUM_ADS + 1 - 4) * ROW_BYTES, "page": (NUM_PAGES + 1 - 4) * ROW_BYTES}
"""Id 0 is a row as well."""

DESCRIPTION = """
task = "ctr"
file = "clicks.csv"
label = "clicked"

[[features]]
name = "ad"
kind = "categorical"

[[features]]
name = "page"
kind = "categorical"

[[features]]
name = "slot"
kind = "categorical"
"""


def study_of_clicks(folder: Path) -> Study:
    """Clicks depend on the ad alone; the page is noise, and of three slots nothing can be saved."""
    rng = np.random.default_rng(0)
    ads, pages = rng.integers(0, NUM_ADS, 9000), rng.integers(0, NUM_PAGES, 9000)
    effects = rng.normal(size=NUM_ADS) * 2.5
    clicked = rng.random(9000) < 1 / (1 + np.exp(-effects[ads]))
    slots = rng.integers(0, 3, 9000)
    rows = [f"{c:d},a{a},p{p},s{s}" for c, a, p, s in zip(clicked, ads, pages, slots, strict=True)]
    (folder / "clicks.csv").write_text("\n".join(["clicked,ad,page,slot", *rows]))
    (folder / "clicks.toml").write_text(DESCRIPTION)
    training = BCE(
        descent=Descent(learning_rate=2e-2),
        patience=Patience(max_epochs=4, epochs=4),
        batch_queries=256,
    )
    network = DLRM(embedding_dim=DIM, bottom=(4,), top=(8,), interaction="concat")
    return Study(
        name="clicks",
        dataset=Tabular(path=str(folder / "clicks.toml"), queries=Blocks(num_candidates=50)),
        models={
            "clicks": ModelEntry(model=network, training=training),
            "popularity": ModelEntry(model=Popularity(), training=Counts()),
        },
        runtimes={"torch": TorchEager()},
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compact")
    out = folder / "run"
    out.mkdir()
    write_study(out / "study.toml", study_of_clicks(folder))
    return out


def size_of(run: Path) -> int:
    with RunFolder(run) as folder:
        steps = Steps(study_of_clicks(run.parent), folder)
        return steps.study.models["clicks"].model.cost(steps.data().schema).parameter_bytes


def chosen(run: Path, max_bytes: int) -> CompactChoice:
    with RunFolder(run) as folder:
        return choose_compact(Steps(study_of_clicks(run.parent), folder), "clicks", FEW, max_bytes)


def test_the_feature_that_is_noise_becomes_compact_though_the_other_saves_more(run: Path) -> None:
    """Either alone would fit; by size it would be the ad, which all depends on."""
    size = size_of(run)

    found = chosen(run, size - 1000)

    assert found.metric == "minus log loss"
    assert [(one.feature, one.saved_bytes) for one in found.features] == list(SAVED.items())
    ad, page = found.features
    assert (ad.is_compact, page.is_compact) == (False, True)
    assert ad.change.mean < -0.2
    assert ad.change.mean < -10 * ad.change.stderr
    assert page.change.mean > -0.02
    assert found.size_bytes == size
    assert found.chosen_bytes == size - SAVED["page"]
    assert found.together == page.change
    trained = {folder.name for folder in (run / "models").iterdir()}
    assert {"clicks", "clicks 2", "clicks with page compact 2"} <= trained
    assert found.embedding == PerFeature(of={"page": FEW})


def test_an_estimate_has_the_error_of_repeats_and_that_of_queries() -> None:
    """By hand: two repeats that differ by 2, three queries."""
    found = _estimate(np.array([[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]))

    assert found.mean == 2.0
    assert found.stderr == pytest.approx(np.hypot(1 / np.sqrt(3), 1.0))
    assert _estimate(np.array([[0.0, 1.0, 2.0]])).stderr == pytest.approx(1 / np.sqrt(3))


def test_all_become_compact_where_nothing_else_fits(run: Path) -> None:
    least = size_of(run) - sum(SAVED.values())

    found = chosen(run, least)

    assert found.chosen_bytes == least
    assert found.together.mean < -0.2
    assert set(found.embedding.of) == {"ad", "page"}  # type: ignore[attr-defined]


def test_the_command_says_what_to_put_into_the_study(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["compact", "clicks", "--out", str(run), "--quiet", "--repeats", "2"]
    command += ["--with", '{ kind = "hashed", num_rows = 4 }']
    budget = ["--max-bytes", str(size_of(run) - 1000)]
    assert run_command([*command, *budget]) == 0
    said = capfd.readouterr().out
    assert "chosen:" in said
    assert f"embedding = {as_toml(PerFeature(of={'page': FEW}))}" in said
    assert run_command([*command, *budget, "--json"]) == 0
    plain = json.loads(capfd.readouterr().out)
    assert plain["embedding"]["of"] == {"page": {"kind": "hashed", "num_rows": 4, "seed": 0}}


def test_a_representation_in_one_line_is_toml(run: Path) -> None:
    import tomllib

    from recfunnel.models.embeddings.base import embeddings

    spec = PerFeature(default=Hybrid(second=FEW), of={"a page": FEW})
    text = as_toml(spec)
    assert embeddings.parse(tomllib.loads(f"x = {text}")["x"]) == spec
    assert run.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none", "--max-bytes", "9"], "no model 'none' in study 'clicks'; known: clicks"),
        (["popularity", "--max-bytes", "9"], "'popularity' has no representation of ids"),
        (["clicks", "--max-bytes", "9"], "bytes at least, 9 are allowed"),
        (["clicks", "--max-bytes", "9", "--with", "{ kind = 'dhx' }"], "did you mean 'dhe'"),
        (["clicks", "--max-bytes", "9", "--with", "dhe"], "which is no TOML"),
        (["clicks", "--max-bytes", "9", "--repeats", "0"], "num_repeats is 0, must be at least 1"),
        (
            ["clicks", "--max-bytes", "9", "--with", "{ kind = 'hybrid' }"],
            "has 1 vectors an id of 'ad', the compact representation 2",
        ),
    ],
)
def test_what_cannot_be_made_compact_is_refused(
    run: Path, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["compact", *arguments, "--out", str(run), "--quiet"]) == 2
    assert message in " ".join(capfd.readouterr().err.split())


def test_a_folder_without_a_study_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["compact", "m", "--max-bytes", "9", "--out", str(tmp_path)]) == 2
    assert "holds no study" in capfd.readouterr().err
