"""ONNX Runtime gives torch's scores, from features or from a compiled catalogue."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recfunnel.compile.passes import PASSES
from recfunnel.core.errors import InvalidInput, MissingExtraError, ModelError, StudyError
from recfunnel.core.registry import decode_role
from recfunnel.core.spec import to_builtins
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.models.module import Module
from recfunnel.models.popularity import Popularity
from recfunnel.runtime import onnx_nodes
from recfunnel.runtime.base import RuntimeSpec, runtimes
from recfunnel.runtime.onnx_runtime import OnnxRuntime
from recfunnel.runtime.openvino import OpenVINO
from recfunnel.testing.model import EXAMPLE_SCHEMA, random_features
from recfunnel.testing.runtime import RuntimeContract


class TestCachedItems(RuntimeContract):
    runtime = OnnxRuntime()


class TestItemsAnew(RuntimeContract):
    runtime = OnnxRuntime(cache_items=False)


class TestTablesOutside(RuntimeContract):
    """Tables that are shared with whoever else maps them."""

    runtime = OnnxRuntime(cache_items=False)

    @pytest.fixture(autouse=True)
    def _small_tables_are_big(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onnx_nodes, "TABLE_BYTES", 16)


class TestAsTrained(RuntimeContract):
    """Without any pass."""

    runtime = OnnxRuntime(cache_items=False, without=PASSES)


@pytest.mark.parametrize(
    ("runtime", "libraries", "extra"),
    [
        (OnnxRuntime(), ("onnx", "onnxruntime"), "onnx"),
        (OpenVINO(), ("onnx", "openvino"), "openvino"),
    ],
)
def test_what_is_not_installed_and_what_cannot_be_run_is_said(
    runtime: RuntimeSpec,
    libraries: tuple[str, ...],
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Listing runtimes, and asking them, needs none of their libraries."""
    spec = Module(path="user_networks:Dense")
    module = spec.build(EXAMPLE_SCHEMA)
    save_checkpoint(tmp_path / "net", spec, EXAMPLE_SCHEMA, module, name="net")
    save_checkpoint(
        tmp_path / "pop", Popularity(), EXAMPLE_SCHEMA, Popularity().build(EXAMPLE_SCHEMA), name="p"
    )
    items = random_features(EXAMPLE_SCHEMA, "candidate", 3, np.random.default_rng(0))
    assert "no graph" in runtime.refusal(tmp_path / "net")
    with pytest.raises(ModelError, match=r"'net' .* has no graph"):
        runtime.load(tmp_path / "net", items)
    assert not runtime.refusal(tmp_path / "pop")
    for library in libraries:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, library, None)
            assert {"onnx", "openvino"} <= set(runtimes.kinds())
            assert f"recfunnel[{extra}]" in runtime.refusal(tmp_path / "pop")
            with pytest.raises(MissingExtraError, match=f"'{library}' is not installed"):
                runtime.load(tmp_path / "pop", items)


@pytest.mark.parametrize("runtime", [OnnxRuntime(), OpenVINO()])
def test_features_and_items_that_cannot_be_are_named(runtime: RuntimeSpec, tmp_path: Path) -> None:
    contract = TestCachedItems()
    loaded = runtime.load(contract.save(tmp_path, "dlrm"), contract.items())
    context = contract.context().row(0)
    bad = replace(context, categorical=np.array([[9, 0]]))
    with pytest.raises(InvalidInput, match="'user' has id 9 at position 0, allowed 0 to 8"):
        loaded.score(bad, None)
    with pytest.raises(InvalidInput, match="ranks items 0 to 13, was asked for 3 to 14"):
        loaded.score(context, np.array([[3, 14]]))
    with pytest.raises(InvalidInput, match="was asked for -1"):
        loaded.score(context, np.array([[-1]]))
    assert loaded.score(context, np.empty((1, 0), np.int64)).shape == (1, 0)
    broken = replace(context, dense=np.array([[np.nan]], np.float32))
    with pytest.raises(InvalidInput, match="'activity' is not finite in row 0"):
        loaded.score(broken, None)


def test_only_float32_is_exact_and_unknown_settings_are_named() -> None:
    assert OnnxRuntime().exact
    assert OpenVINO().exact
    assert not OpenVINO(precision="bf16").exact
    with pytest.raises(InvalidInput, match="did you mean 'hoist'"):
        OnnxRuntime(without=("hoists",))
    with pytest.raises(InvalidInput, match="did you mean 'hoist'"):
        OpenVINO(without=("hoists",))
    for runtime in (OnnxRuntime(without=("fold",)), OpenVINO(precision="bf16")):
        assert decode_role(RuntimeSpec, to_builtins(runtime)) == runtime


@pytest.mark.parametrize("runtime", [OnnxRuntime(device="cuda"), OpenVINO(device="NPU")])
def test_an_absent_device_is_named(runtime: RuntimeSpec, tmp_path: Path) -> None:
    contract = TestCachedItems()
    with pytest.raises(StudyError, match="has no device"):
        runtime.load(contract.save(tmp_path, "popularity"), contract.items())


def test_neither_loads_torch(tmp_path: Path) -> None:
    """A process that serves with them alone stays small."""
    contract = TestCachedItems()
    for name in ("dlrm", "ease"):
        contract.save(tmp_path, name)
    np.savez(tmp_path / "items.npz", **contract.items().to_arrays("items"))
    code = """
import sys
from pathlib import Path
import numpy as np
from recfunnel.core.features import Features
from recfunnel.runtime.onnx_runtime import OnnxRuntime
from recfunnel.runtime.openvino import OpenVINO
folder = Path(sys.argv[1])
items = Features.from_arrays(dict(np.load(folder / "items.npz")), "items")
for runtime in (OnnxRuntime(), OpenVINO()):
    for name in ("dlrm", "ease"):
        runtime.load(folder / name, items)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
