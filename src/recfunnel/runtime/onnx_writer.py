"""Writing an ONNX graph node by node.

Letters: R rows of one side of a query, F categorical and D dense features, L values of a list.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET = 17
IR_VERSION = 8
"""The oldest file version that holds opset 17, so that older libraries read it as well."""

Shape = Sequence[int | str]


class OnnxWriter:
    """Nodes, constants and inputs of an ONNX graph being written.

    The same node or constant added twice is there once.
    """

    def __init__(self) -> None:
        self.inputs: dict[str, tuple[str, Shape]] = {}
        self._nodes: list[Any] = []
        self._initializers: dict[str, NDArray[Any]] = {}
        self._known: dict[Any, str] = {}

    def input(self, name: str, dtype: str, shape: Shape) -> str:
        """Declare an input.

        Args:
            name: unique.
            dtype: as numpy names it.
            shape: letters for sizes that change.

        Returns:
            The name.
        """
        self.inputs[name] = (dtype, shape)
        return name

    def constant(self, array: NDArray[Any], name: str = "") -> str:
        """The name of a constant, stored in the file."""
        array = np.asarray(array, order="C")
        if name:
            self._initializers[name] = array
            return name
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = f"constant{len(self._known)}"
            self._initializers[self._known[key]] = array
        return self._known[key]

    def shape(self, *sizes: int) -> str:
        """A constant int64 vector: shapes, axes, places."""
        return self.constant(np.array(sizes, np.int64))

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The output of a node, new or there before."""
        from onnx import helper

        key = (operator, inputs, tuple(sorted(attributes.items())))
        if key not in self._known:
            name = f"{operator.lower()}{len(self._nodes)}"
            self._known[key] = name
            self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return self._known[key]

    def model(self, outputs: Mapping[str, tuple[str, Shape]], name: str) -> Any:
        """The whole file.

        Args:
            outputs: float32; the name each is given, with what it is in this graph and its shape.
            name: of the graph.

        Returns:
            A checked `onnx.ModelProto`.
        """
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        nodes = list(self._nodes)
        for output, (value, _) in outputs.items():
            nodes.append(helper.make_node("Identity", [value], [output]))
        graph = helper.make_graph(
            nodes,
            name,
            [
                helper.make_tensor_value_info(
                    key, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
                )
                for key, (dtype, shape) in self.inputs.items()
            ],
            [
                helper.make_tensor_value_info(key, TensorProto.FLOAT, shape)
                for key, (_, shape) in outputs.items()
            ],
            [numpy_helper.from_array(array, key) for key, array in self._initializers.items()],
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="recfunnel"
        )
        onnx.checker.check_model(model)
        return model
