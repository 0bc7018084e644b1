"""Computed tables as the tile machine takes them: float32 arrays, and no norm between layers.

Letters: N outputs and K inputs of a layer.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.widths import Parameters
from recfunnel.core.computed import (
    AnyComputed,
    Decoded,
    DecoderLayer,
    HashedRows,
    QuotientRemainder,
)

Arrays = dict[str, NDArray[Any]]


def lower_computed(table: AnyComputed, parameters: Parameters) -> tuple[AnyComputed, Arrays]:
    """A table that reads arrays instead of parameters; its rows are the same.

    Args:
        table: of a graph.
        parameters: by name.

    Returns:
        The table, its decoder's norms folded into the layers before them (in float64); and the
        arrays it names, which are the parameters themselves where these are float32 already.
    """
    match table:
        case Decoded():
            arrays: Arrays = {}
            layers = tuple(
                _layer(layer, f"{table.name} layer {number}", parameters, arrays)
                for number, layer in enumerate(table.layers)
            )
            return msgspec.structs.replace(table, layers=layers), arrays
        case HashedRows():
            return table, {table.table: _float32(parameters[table.table])}
        case QuotientRemainder():
            names = (table.quotient, table.remainder)
            return table, {name: _float32(parameters[name]) for name in names}


def _layer(layer: DecoderLayer, name: str, parameters: Parameters, arrays: Arrays) -> DecoderLayer:
    """A layer without a norm, its arrays added."""
    weight, bias = parameters[layer.weight], parameters[layer.bias]
    if layer.norm is None:
        arrays[layer.weight], arrays[layer.bias] = _float32(weight), _float32(bias)
        return layer
    norm = layer.norm
    variance = np.asarray(parameters[norm.variance], np.float64)
    scale = parameters[norm.weight] / np.sqrt(variance + norm.epsilon)
    shift = (bias - np.asarray(parameters[norm.mean], np.float64)) * scale + parameters[norm.bias]
    arrays[f"{name} weight"] = _float32(weight * scale[:, None])
    arrays[f"{name} bias"] = _float32(shift)
    return DecoderLayer(weight=f"{name} weight", bias=f"{name} bias", activation=layer.activation)


def _float32(array: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(array, np.float32)
