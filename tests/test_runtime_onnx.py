"""ONNX Runtime gives torch's scores, from features or from a compiled catalogue."""

import pytest

from recfunnel.compile.passes import PASSES
from recfunnel.runtime import onnx_nodes
from recfunnel.runtime.onnx_runtime import OnnxRuntime
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
