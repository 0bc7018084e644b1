"""What can be served on what: exact runtimes share a model, others make a model of their own."""

import json
from pathlib import Path

import pytest

from recfunnel.core.errors import StudyError
from recfunnel.core.features import Features
from recfunnel.core.graph import GRAPH_FILE
from recfunnel.core.spec import Spec
from recfunnel.core.storage import MANIFEST
from recfunnel.runtime.base import LoadedModel, RuntimeSpec
from recfunnel.runtime.native import Native
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.study.served import served_models
from recfunnel.testing.runtime import RuntimeContract


class Stub(Spec, RuntimeSpec, frozen=True, tag="stub"):
    """Refuses some models, and ranks as it says."""

    refuses: tuple[str, ...] = ()
    is_exact: bool = True

    @property
    def exact(self) -> bool:
        return self.is_exact

    def refusal(self, folder: Path) -> str:
        return "too clever" if folder.name in self.refuses else ""

    def load(self, folder: Path, items: Features, *, num_threads: int = 1) -> LoadedModel:
        raise NotImplementedError


def test_exact_runtimes_share_a_model_and_others_make_their_own(tmp_path: Path) -> None:
    runtimes = {"a": Stub(), "half": Stub(is_exact=False, refuses=("y",)), "b": Stub()}
    served = served_models(["x", "y"], runtimes, tmp_path, lambda _: None)

    assert served == {"x": ("a", "b"), "y": ("a", "b"), "x@half": ("half",)}


def test_a_runtime_that_cannot_is_left_out_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    served = served_models(
        ["x", "y"], {"a": Stub(refuses=("y",)), "b": Stub()}, tmp_path, said.append
    )

    assert served == {"x": ("a", "b"), "y": ("b",)}
    assert said == ["y is not run on a: too clever"]


def test_a_model_that_nothing_exact_can_run_is_an_error_with_reasons(tmp_path: Path) -> None:
    runtimes = {"a": Stub(refuses=("y",)), "half": Stub(is_exact=False)}
    with pytest.raises(StudyError, match=r"'y' \(a: too clever; half: its scores are not exact\)"):
        served_models(["y"], runtimes, tmp_path, lambda _: None)


def test_a_model_the_native_kernel_cannot_express_runs_elsewhere_and_that_is_said(
    tmp_path: Path,
) -> None:
    """A network without a graph, as a user's own is."""
    for name in ("dlrm", "neumf"):
        RuntimeContract().save(tmp_path, name)
    (tmp_path / "neumf" / GRAPH_FILE).unlink()
    manifest = json.loads((tmp_path / "neumf" / MANIFEST).read_text())
    (tmp_path / "neumf" / MANIFEST).write_text(json.dumps({**manifest, "has_graph": False}))
    said: list[str] = []
    runtimes: dict[str, RuntimeSpec] = {"native": Native(), "torch": TorchEager()}
    served = served_models(["dlrm", "neumf"], runtimes, tmp_path, said.append)

    assert served == {"dlrm": ("native", "torch"), "neumf": ("torch",)}
    (message,) = said
    assert message.startswith("neumf is not run on native: 'neumf' (kind 'neumf') has no graph")
