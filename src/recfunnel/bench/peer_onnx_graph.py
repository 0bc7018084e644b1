"""The measured models as ONNX graphs, in the form that runs fastest there.

The triangle of dots is not cut out: the first top layer reads the whole square of products, with
zero weights where the triangle has none. Same mathematics, no gather of 351 columns.

Letters: B candidates, F categorical features, V vectors a candidate, d their length.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.bench.model import BenchModel, Layers
from recfunnel.bench.shapes import DLRMShape

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
TABLE_INPUT = "table"
"""Name of the input that takes all tables of a DLRM, so that they are neither copied nor limited in
size."""


def onnx_model(model: BenchModel) -> "ModelProto":
    """The graph of a model, inputs `dense`, `rows` and `table`, or `users` and `items`."""
    writer = _Writer()
    if isinstance(model.shape, DLRMShape):
        return _dlrm(writer, model)
    return _neumf(writer, model)


class _Writer:
    """Nodes and constants in the order they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, array: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def network(self, x: str, layers: Layers, *, end_with_relu: bool) -> str:
        for number, (weight, bias) in enumerate(layers):
            product = self.node("MatMul", x, self.constant(weight.T))
            x = self.node("Add", product, self.constant(bias))
            if end_with_relu or number + 1 < len(layers):
                x = self.node("Relu", x)
        return x

    def finish(self, inputs: list[Any], scores: str) -> "ModelProto":
        from onnx import TensorProto, checker, helper

        out = helper.make_tensor_value_info(scores, TensorProto.FLOAT, ["B", 1])
        graph = helper.make_graph(self.nodes, "model", inputs, [out], self.constants)
        opset = helper.make_opsetid("", OPSET)
        whole = helper.make_model(graph, opset_imports=[opset], ir_version=9)
        checker.check_model(whole)
        return whole


def _dlrm(writer: _Writer, model: BenchModel) -> "ModelProto":
    from onnx import TensorProto, helper

    num_features, dim = len(model.cardinalities), model.table.shape[1]
    num_vectors = num_features + 1
    x = writer.network("dense", model.layers("bottom"), end_with_relu=True)
    gathered = writer.node("Gather", TABLE_INPUT, "rows", axis=0)
    first = writer.node("Unsqueeze", x, writer.constant(np.array([1])))
    vectors = writer.node("Concat", first, gathered, axis=1)
    turned = writer.node("Transpose", vectors, perm=[0, 2, 1])
    square = writer.node("MatMul", vectors, turned)
    shape = writer.constant(np.array([-1, num_vectors**2]))
    products = writer.node("Reshape", square, shape)
    inputs = writer.node("Concat", x, products, axis=1)
    scores = writer.network(inputs, _over_square(model), end_with_relu=False)
    number_of = model.layers("bottom")[0][0].shape[1]
    return writer.finish(
        [
            helper.make_tensor_value_info("dense", TensorProto.FLOAT, ["B", number_of]),
            helper.make_tensor_value_info("rows", TensorProto.INT64, ["B", num_features]),
            helper.make_tensor_value_info(TABLE_INPUT, TensorProto.FLOAT, [len(model.table), dim]),
        ],
        scores,
    )


def _over_square(model: BenchModel) -> Layers:
    """The top network, its first layer laid out over all V² products."""
    (weight, bias), *rest = model.layers("top")
    dim, num_vectors = model.table.shape[1], len(model.cardinalities) + 1
    wide = np.zeros((len(weight), num_vectors, num_vectors), np.float32)
    row, column = np.tril_indices(num_vectors, -1)
    wide[:, row, column] = weight[:, dim:]
    return [(np.concatenate([weight[:, :dim], wide.reshape(len(weight), -1)], 1), bias), *rest]


def _neumf(writer: _Writer, model: BenchModel) -> "ModelProto":
    from onnx import TensorProto, helper

    def rows(who: str, part: str) -> str:
        table = writer.constant(model.parameters[f"{who}.{part}"])
        return writer.node("Gather", table, f"{who}s", axis=0)

    product = writer.node("Mul", rows("user", "short"), rows("item", "short"))
    pair = writer.node("Concat", rows("user", "long"), rows("item", "long"), axis=1)
    tower = writer.network(pair, model.layers("tower"), end_with_relu=True)
    both = writer.node("Concat", product, tower, axis=1)
    scores = writer.network(both, model.layers("head"), end_with_relu=False)
    return writer.finish(
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["B"])
            for name in ("users", "items")
        ],
        scores,
    )
