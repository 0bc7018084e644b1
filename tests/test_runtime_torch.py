"""The torch runtime: one set of scores whichever way it is called, and checked on the way out."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from recfunnel.core.errors import MissingExtraError, ModelError, StudyError
from recfunnel.core.registry import decode_role
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.models.module import Module
from recfunnel.models.popularity import Popularity
from recfunnel.runtime import torch_eager
from recfunnel.runtime.base import RuntimeSpec
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.testing.model import EXAMPLE_SCHEMA, random_features
from recfunnel.testing.runtime import RuntimeContract


class TestCachedItems(RuntimeContract):
    runtime = TorchEager()


class TestItemsEncodedAnew(RuntimeContract):
    runtime = TorchEager(cache_items=False)


class TestInSmallSteps(RuntimeContract):
    """Few pairs and few items at once, as for data larger than memory likes."""

    runtime = TorchEager()

    @pytest.fixture(autouse=True)
    def _small_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch_eager, "PAIRS_AT_ONCE", 20)
        monkeypatch.setattr(torch_eager, "ITEMS_AT_ONCE", 4)


class TestUsersNetwork(RuntimeContract):
    runtime = TorchEager()
    specs = {  # noqa: RUF012 - overrides the contract's
        "plain": (Module(path="user_networks:Dense"), 0),
        "fed": (Module(path="user_networks:Dense"), 2),
    }


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
class TestOnAGPU(RuntimeContract):
    runtime = TorchEager(device="cuda")


ROWS = np.random.default_rng(0)
CONTEXT = random_features(EXAMPLE_SCHEMA, "context", 3, ROWS)
ITEMS = random_features(EXAMPLE_SCHEMA, "candidate", 7, ROWS)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("shape", r"'bad' returned scores of shape \(3, 6\), expected \(3, 7\)"),
        ("nan", r"'bad' returned nan at \(0, 1\)"),
        ("type", "'bad' returned a list, expected a tensor"),
    ],
)
def test_a_network_that_answers_wrongly_is_a_model_error(
    tmp_path: Path, fault: str, message: str
) -> None:
    spec = Module(path="user_networks:Broken", arguments={"fault": fault})
    module = spec.build(EXAMPLE_SCHEMA)
    save_checkpoint(tmp_path / "bad", spec, EXAMPLE_SCHEMA, module, name="bad")
    loaded = TorchEager().load(tmp_path / "bad", ITEMS)
    with pytest.raises(ModelError, match=message):
        loaded.score(CONTEXT, None)


def _popularity(folder: Path) -> Path:
    module = Popularity().build(EXAMPLE_SCHEMA)
    save_checkpoint(folder / "pop", Popularity(), EXAMPLE_SCHEMA, module, name="pop")
    return folder / "pop"


def test_each_call_uses_the_number_of_threads_it_was_loaded_for(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        folder = _popularity(tmp_path)
        one = TorchEager().load(folder, ITEMS, num_threads=1)
        two = TorchEager().load(folder, ITEMS, num_threads=2)
        for loaded, num_threads in ((one, 1), (two, 2), (one, 1)):
            loaded.score(CONTEXT, None)
            assert torch.get_num_threads() == num_threads
    finally:
        torch.set_num_threads(before)


def test_an_absent_device_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no device 'nowhere'"):
        TorchEager(device="nowhere").load(_popularity(tmp_path), ITEMS)


def test_without_torch_the_extra_to_install_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'recfunnel\[train\]'"):
        TorchEager().load(tmp_path / "pop", ITEMS)


def test_the_spec_survives_being_written_and_read() -> None:
    plain = {"kind": "torch", "device": "cuda", "cache_items": False}
    assert decode_role(RuntimeSpec, plain) == TorchEager(device="cuda", cache_items=False)
