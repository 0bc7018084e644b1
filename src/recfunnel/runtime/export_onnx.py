"""A ranking graph as an ONNX model that scores the candidates of one query.

The context's inputs have one row, which is computed once and broadcast; the candidates' have C, or
one compiled row each. Dots of all pairs are left as the whole Gram matrix, and the layer that reads
them has zero weights outside the triangle: libraries gather slowly and multiply fast.

Letters: R rows (1 of a context, C of candidates), K inputs and N outputs of a layer, d dimensions,
U and V vectors side by side, L values of a list, S given scores.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from recfunnel.compile.widths import Parameters
from recfunnel.core.errors import MissingExtraError
from recfunnel.core.features import FeatureSchema
from recfunnel.core.graph import (
    RankingGraph,
)
from recfunnel.core.storage import replacing_file, replacing_folder
from recfunnel.runtime.feeds import (
    SCORES,
)
from recfunnel.runtime.onnx_nodes import NodeExporter

MODEL_FILE, TABLES_FILE = "model.onnx", "tables.bin"

ALIGNMENT = 4096
"""Of each table in its file: a page, so that it can be mapped."""


@dataclass(frozen=True, eq=False, slots=True)
class OnnxExport:
    """A graph in ONNX.

    Args:
        proto: the `onnx.ModelProto`; it names big tables as inputs.
        tables: those inputs, which are the same in every call.
        inputs: names of all others, see `recfunnel.runtime.feeds`.
    """

    proto: Any
    tables: Mapping[str, NDArray[Any]]
    inputs: frozenset[str]


def export_onnx(
    graph: RankingGraph, parameters: Parameters, schema: FeatureSchema, *, name: str = "ranking"
) -> OnnxExport:
    """Write a graph in ONNX (opset 17).

    Args:
        graph: a whole model, or what passes made of it.
        parameters: by name.
        schema: features it is called with.
        name: of the ONNX graph.

    Returns:
        A model with one output `scores`, float32 (C,); (1,) where no input has C rows.

    Raises:
        MissingExtraError: `onnx` is not installed.
        ModelError: a parameter is missing or does not fit.
    """
    try:
        import onnx  # noqa: F401 - the writer needs it
    except ImportError as error:
        raise MissingExtraError("onnx", "onnx") from error
    exporter = NodeExporter(graph, parameters, schema)
    score = exporter.write.add("Reshape", exporter.score(), exporter.write.shape(-1))
    proto = exporter.write.model({SCORES: (score, ("C",))}, name)
    inputs = frozenset(exporter.write.inputs) - frozenset(exporter.tables)
    return OnnxExport(proto, exporter.tables, inputs)


def with_external_tables(export: OnnxExport) -> Any:
    """The model with its big tables as constants that `write_onnx` stores outside the file."""
    import onnx
    from onnx import TensorProto, helper

    proto = onnx.ModelProto()
    proto.CopyFrom(export.proto)
    offset = 0
    for name, table in export.tables.items():
        outside = TensorProto(
            name=name,
            dims=table.shape,
            data_type=helper.np_dtype_to_tensor_dtype(table.dtype),
            data_location=TensorProto.EXTERNAL,
        )
        places = {"location": TABLES_FILE, "offset": offset, "length": table.nbytes}
        for key, value in places.items():
            outside.external_data.add(key=key, value=str(value))
        proto.graph.initializer.append(outside)
        offset += -(-table.nbytes // ALIGNMENT) * ALIGNMENT
    kept = [value for value in proto.graph.input if value.name not in export.tables]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    return proto


def write_onnx(export: OnnxExport, folder: Path) -> Path:
    """Store a model as a folder any ONNX library reads: `model.onnx`, and tables beside it.

    Returns:
        The file to load.

    Raises:
        StorageError: no space, no permission.
    """
    with replacing_folder(folder) as temporary:
        if export.tables:
            with replacing_file(temporary / TABLES_FILE) as place, place.open("wb") as file:
                for table in export.tables.values():
                    table.tofile(file)
                    file.write(b"\0" * (-table.nbytes % ALIGNMENT))
        proto = with_external_tables(export)
        (temporary / MODEL_FILE).write_bytes(proto.SerializeToString())
    return folder / MODEL_FILE
