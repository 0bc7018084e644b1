"""OpenVINO, in float32 and in bfloat16."""

from pathlib import Path
from typing import Any

from recfunnel.bench.model import BenchModel
from recfunnel.bench.peer import LoadedPeer, Peer
from recfunnel.bench.peer_onnx import onnx_inputs
from recfunnel.bench.peer_onnx_graph import TABLE_INPUT, onnx_model
from recfunnel.bench.queries import FlatQuery
from recfunnel.bench.results import Precision
from recfunnel.core.arrays import FloatArray


class OpenVino(Peer):
    """Compiled for the processor; tables are constants in shared memory.

    As inputs they would be converted to bfloat16 whole, in every call.
    """

    name = "OpenVINO"
    precision: Precision = "float32"
    modules = ("onnx", "openvino")

    def load(self, model: BenchModel, num_threads: int, cache: Path) -> LoadedPeer:
        """Read the graph, put the tables in and compile."""
        del cache
        import openvino
        from openvino import opset13

        graph = openvino.Core().read_model(onnx_model(model).SerializeToString())
        for parameter in graph.get_parameters():
            if parameter.get_friendly_name() == TABLE_INPUT:
                table = opset13.constant(model.table, shared_memory=True)
                parameter.output(0).replace(table.output(0))
                graph.remove_parameter(parameter)
        hint = {"float32": "f32", "bfloat16": "bf16"}[self.precision]
        compiled = openvino.Core().compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": num_threads,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": hint,
                "ENABLE_CPU_PINNING": False,
            },
        )
        request = compiled.create_infer_request()
        names = [port.get_any_name() for port in compiled.inputs]
        out = compiled.output(0)

        def prepare(query: FlatQuery) -> Any:
            arrays = onnx_inputs(model, query)
            return [
                (compiled.input(name), openvino.Tensor(arrays[name], shared_memory=True))
                for name in names
            ]

        def run(ready: Any) -> FloatArray:
            for port, tensor in ready:
                request.set_tensor(port, tensor)
            request.infer()
            scores: FloatArray = request.get_tensor(out).data.copy()
            return scores

        return LoadedPeer(prepare, run)


class OpenVinoBfloat16(OpenVino):
    """The same with its precision hint."""

    name = "OpenVINO bf16"
    precision: Precision = "bfloat16"
