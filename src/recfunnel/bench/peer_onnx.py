"""ONNX Runtime, in float32 and with layers quantised to int8 as its own tool does it."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from recfunnel.bench.model import BenchModel
from recfunnel.bench.peer import LoadedPeer, Peer
from recfunnel.bench.peer_onnx_graph import TABLE_INPUT, onnx_model
from recfunnel.bench.queries import FlatQuery
from recfunnel.bench.results import Precision
from recfunnel.bench.shapes import DLRMShape
from recfunnel.core.arrays import FloatArray


class OnnxRuntime(Peer):
    """A session of its own; tables are passed with each call, which copies nothing."""

    name = "ONNX Runtime"
    precision: Precision = "float32"
    modules: tuple[str, ...] = ("onnx", "onnxruntime")

    def load(self, model: BenchModel, num_threads: int, cache: Path) -> LoadedPeer:
        """Write the graph and open it."""
        del cache
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(self.graph(model), options, providers=providers)
        out = [session.get_outputs()[0].name]

        def prepare(query: FlatQuery) -> dict[str, Any]:
            return onnx_inputs(model, query)

        def run(ready: dict[str, Any]) -> FloatArray:
            scores: FloatArray = session.run(out, ready)[0]
            return scores

        return LoadedPeer(prepare, run)

    def graph(self, model: BenchModel) -> bytes:
        """What the session runs."""
        serialised: bytes = onnx_model(model).SerializeToString()
        return serialised


class OnnxRuntimeInt8(OnnxRuntime):
    """Layers in int8, their inputs quantised in each call; everything else as it was."""

    name = "ONNX Runtime int8"
    precision: Precision = "int8"

    def graph(self, model: BenchModel) -> bytes:
        """The quantised graph."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory() as folder:
            before, after = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
            before.write_bytes(super().graph(model))
            root = logging.getLogger()
            level, root.level = root.level, logging.ERROR  # it warns of every model
            try:
                quantize_dynamic(
                    before,
                    after,
                    op_types_to_quantize=["MatMul"],
                    weight_type=QuantType.QInt8,
                    per_channel=True,
                    extra_options={"MatMulConstBOnly": True},
                )
            finally:
                root.level = level
            return after.read_bytes()


def onnx_inputs(model: BenchModel, query: FlatQuery) -> dict[str, Any]:
    """A query by the names of the graph's inputs."""
    if isinstance(model.shape, DLRMShape):
        return {"dense": query.dense, "rows": query.rows, TABLE_INPUT: model.table}
    users, items = np.ascontiguousarray(query.ids.T)
    return {"users": users, "items": items}
