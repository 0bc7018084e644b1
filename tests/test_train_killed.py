"""A fit killed at any moment and called again ends as an undisturbed one."""

import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from recfunnel.core.progress import Progress
from recfunnel.models.checkpoint import load_checkpoint
from recfunnel.testing.training import small_dataset
from recfunnel.train.base import ModelEntry
from recfunnel.train.epochs import Patience
from recfunnel.train.zoo import fit_model, fitting_order
from train_samples import ZOO

NUM_KILLS = 4


def slow_entries() -> dict[str, ModelEntry]:
    """The sample zoo with more and smaller steps, so that there is time to be killed in."""
    patience = Patience(max_epochs=6, epochs=6)
    neumf, reranker = ZOO["neumf"], ZOO["reranker"]
    pointwise = msgspec.structs.replace(neumf.training, patience=patience, batch_queries=4)
    listwise = msgspec.structs.replace(reranker.training, patience=patience, batch_lists=2)
    return {
        **ZOO,
        "neumf": msgspec.structs.replace(neumf, training=pointwise),
        "reranker": msgspec.structs.replace(reranker, training=listwise),
    }


class Spoken(Progress):
    """Prints every logged line at once, so that the parent knows where the fit is."""

    def log(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def fit_all(name: str, folder: Path) -> Path:
    """Fit a model and everything it needs."""
    torch.set_num_threads(1)
    entries, progress = slow_entries(), Spoken()
    progress.log("ready")
    for each in fitting_order((name,), entries):
        made = fit_model(
            each,
            entries,
            small_dataset(),
            folder / "models",
            folder / "work",
            seed=9,
            progress=progress,
        )
    return made


def _start(name: str, folder: Path) -> subprocess.Popen[str]:
    fit = f"from test_train_killed import fit_all, Path; fit_all({name!r}, Path({str(folder)!r}))"
    return subprocess.Popen(
        [sys.executable, "-c", fit], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
    )


def _kill_after(fitting: subprocess.Popen[str], num_lines: int, delay_s: float) -> bool:
    """Let it say so many lines and work a little longer; false where it finished first."""
    assert fitting.stdout is not None
    with fitting.stdout as said:
        for _ in range(num_lines):
            if not said.readline():
                break
        time.sleep(delay_s)
        fitting.kill()
        return fitting.wait() != 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["neumf", "reranker"])
def test_killed_at_random_moments_it_ends_the_same(name: str, tmp_path: Path) -> None:
    undisturbed = load_checkpoint(fit_all(name, tmp_path / "calm"))

    rng, folder = np.random.default_rng(17), tmp_path / "rough"
    num_killed = 0
    for _ in range(NUM_KILLS):
        fitting = _start(name, folder)
        num_killed += _kill_after(fitting, int(rng.integers(1, 4)), float(rng.uniform(0, 0.2)))
    with _start(name, folder) as finished:
        finished.communicate()
    assert finished.returncode == 0

    assert num_killed >= 1
    found = load_checkpoint(folder / "models" / name)
    expected = undisturbed.module.state_dict()
    for key, value in found.module.state_dict().items():
        assert torch.equal(value, expected[key]), key
    reports = [c.manifest["report"] for c in (undisturbed, found)]
    assert reports[0]["history"] == reports[1]["history"]
    assert list((folder / "work").iterdir()) == []
