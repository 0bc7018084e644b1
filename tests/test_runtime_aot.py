"""What torch compiled ahead of time gives torch's scores, and is compiled once."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from recfunnel.core.errors import ModelError, StudyError
from recfunnel.models.base import ModelSpec
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.models.ease import EASE
from recfunnel.models.module import Module
from recfunnel.models.popularity import Popularity
from recfunnel.runtime import aot_package
from recfunnel.runtime.aot_inductor import AOTInductor
from recfunnel.runtime.aot_package import compiler
from recfunnel.runtime.base import LoadedModel
from recfunnel.testing.model import EXAMPLE_SCHEMA, fill_with_noise
from recfunnel.testing.runtime import RuntimeContract

needs_compiler = pytest.mark.skipif(not compiler(), reason="no C++ compiler")


class Compiled(RuntimeContract):
    """Each model is compiled once for all tests of a class."""

    kept: ClassVar[dict[str, Path]]
    specs: ClassVar[dict[str, tuple[ModelSpec, int]]] = {
        name: spec for name, spec in RuntimeContract.specs.items() if name != "ease"
    }

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _folder_of_the_class(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.kept = {"": tmp_path_factory.mktemp("models")}

    def load(self, folder: Path, name: str) -> LoadedModel:
        if name not in self.kept:
            self.kept[name] = self.save(self.kept[""], name)
        if not (folder / name).exists():
            (folder / name).symlink_to(self.kept[name])
        return self.runtime.load(self.kept[name], self.items())


@pytest.mark.slow
@needs_compiler
class TestCachedItems(Compiled):
    runtime = AOTInductor()


@pytest.mark.slow
@needs_compiler
class TestItemsAnew(Compiled):
    runtime = AOTInductor(cache_items=False)


@pytest.mark.slow
@needs_compiler
class TestHalfPrecision(Compiled):
    runtime = AOTInductor(precision="bf16")
    tolerance = 2e-2

    def test_it_is_not_exact(self) -> None:
        assert not self.runtime.exact


def saved(folder: Path, spec: ModelSpec, name: str) -> Path:
    module = spec.build(EXAMPLE_SCHEMA)
    fill_with_noise(module)
    save_checkpoint(folder / name, spec, EXAMPLE_SCHEMA, module, name=name)
    return folder / name


@pytest.mark.slow
@needs_compiler
def test_a_compiled_file_is_kept_for_each_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, contract = saved(tmp_path, Popularity(), "pop"), TestCachedItems()
    for _ in range(2):
        AOTInductor().load(folder, contract.items())
    assert len(list(folder.glob("aot-*.pt2"))) == 1
    before = torch.get_num_threads()
    try:
        two = AOTInductor().load(folder, contract.items(), num_threads=2)
    finally:
        torch.set_num_threads(before)
    assert len(list(folder.glob("aot-*.pt2"))) == 2
    monkeypatch.setattr(aot_package, "compiler", lambda: "")
    one = AOTInductor().load(folder, contract.items())
    candidates = np.array([[3]])
    context = contract.context().row(0)
    np.testing.assert_array_equal(one.score(context, candidates), two.score(context, candidates))


def test_without_a_compiler_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path, Popularity(), "pop")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "g++" in AOTInductor().refusal(folder)
    with pytest.raises(StudyError, match="C\\+\\+ compiler"):
        AOTInductor().load(folder, TestCachedItems().items())


@needs_compiler
def test_sums_of_table_rows_are_refused(tmp_path: Path) -> None:
    assert "list is long" in AOTInductor().refusal(saved(tmp_path, EASE(), "ease"))
    assert not AOTInductor().refusal(saved(tmp_path, Popularity(), "pop"))


def test_a_network_whose_sides_are_not_known_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, Module(path="user_networks:Dense"), "mine")
    if compiler():
        assert "built-in kind" in AOTInductor().refusal(folder)
    with pytest.raises(
        ModelError, match="'mine' cannot be compiled: it is no network of a built-in kind"
    ):
        AOTInductor().load(folder, TestCachedItems().items())


def test_an_absent_device_is_named(tmp_path: Path) -> None:
    folder = saved(tmp_path, Popularity(), "pop")
    with pytest.raises(StudyError, match="no device 'nowhere'"):
        AOTInductor(device="nowhere").load(folder, TestCachedItems().items())
