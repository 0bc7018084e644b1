"""Cheaper forms of a trained computed table: what stands for its rows, in how many bytes.

`representations_served.py` judges them. Letters: n ids, d dimensions, k codes, N centroids.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from recfunnel.compile.budget import NO_LIMIT, Budget
from recfunnel.compile.centroid_rows import CentroidRows, centroid_rows
from recfunnel.compile.computed import RowMaker, computed_rows, stored_bytes
from recfunnel.compile.id_counts import IdCounts
from recfunnel.compile.load import StoredGraph
from recfunnel.compile.program import Precision, Storage
from recfunnel.compile.quantised_rows import Bits, QuantisedRows
from recfunnel.compile.store_computed import store_computed
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import IntArray
from recfunnel.core.computed import AnyComputed, Decoded, DecoderLayer
from recfunnel.core.seeds import rng_for
from recfunnel.runtime.native import Native
from recfunnel.runtime.native_tables import NativeRows

WEIGHT_BYTES: dict[Precision, int] = {"float32": 4, "bfloat16": 2, "int8": 1}
HOT_SHARE = 0.05
"""Of a table's ids: those the encoder tier in front of the centroids keeps exact rows of."""


@dataclass(frozen=True, eq=False, slots=True)
class Form:
    """One way to keep computed tables.

    Args:
        name: unique.
        make_rows: for a model and its profiled ids, who makes the rows that are scored.
        size_bytes: of what stands for a table, by the same maker.
        served: how the engine serves it; None where it has no such form.
    """

    name: str
    make_rows: Callable[[StoredGraph, IdCounts], RowMaker]
    size_bytes: Callable[[RowMaker, AnyComputed, Parameters], int]
    served: Native | None = None

    def stored(self, model: StoredGraph, profiled: IdCounts) -> tuple[StoredGraph, int]:
        """The model with the form's rows in ordinary float32 tables, and what the form takes."""
        maker = self.make_rows(model, profiled)
        graph, parameters = store_computed(
            model.graph, model.parameters, budget=Budget(NO_LIMIT), make_rows=maker
        )
        size = sum(self.size_bytes(maker, t, model.parameters) for t in model.graph.computed)
        return replace(model, graph=graph, parameters=parameters, id_counts=None), size


def forms(num_centroids: tuple[int, ...]) -> dict[str, Form]:
    """All forms by name; the first is exact and what the others are held against."""
    found = [_decoder("float32"), _decoder("bfloat16"), _decoder("int8")]
    found += [_rows(bits) for bits in ("float32", "float16", "int8", "int4")]
    found += [_centroids(count, hot) for count in num_centroids for hot in (0.0, HOT_SHARE)]
    return {form.name: form for form in found}


# Decoders, computed in each query.


def _decoder(precision: Precision) -> Form:
    return Form(
        name=f"decoder {precision}",
        make_rows=lambda _model, _profiled: NativeRows(precision),
        size_bytes=lambda _maker, table, parameters: decoder_bytes(table, parameters, precision),
        served=Native(precision=precision, catalogue="hoisted", largest_computed_bytes=0),
    )


def decoder_bytes(table: AnyComputed, parameters: Parameters, precision: Precision) -> int:
    """Of what makes the rows; a decoder's last layer, biases and norms stay float32."""
    total = sum(parameters[name].nbytes for name in table.parameter_names)
    if isinstance(table, Decoded):
        lowered = sum(parameters[layer.weight].size for layer in table.layers[:-1])
        total -= lowered * (WEIGHT_BYTES["float32"] - WEIGHT_BYTES[precision])
    return total


# Rows of all ids.

ENGINE_STORAGE: Mapping[Bits, Storage] = {
    "float32": "float32",
    "float16": "float16",
    "int8": "int8",
}


def _rows(bits: Bits) -> Form:
    storage = ENGINE_STORAGE.get(bits)
    return Form(
        name=f"rows {bits}",
        make_rows=lambda _model, _profiled: QuantisedRows(bits, NativeRows("float32")),
        size_bytes=_size_of_rows,
        served=None if storage is None else Native(catalogue="hoisted", tables=storage),
    )


def _size_of_rows(maker: RowMaker, table: AnyComputed, parameters: Parameters) -> int:
    assert isinstance(maker, QuantisedRows)
    return min(maker.size_bytes(table), stored_bytes(table, parameters))


# Centroids of codes.


def _centroids(num_centroids: int, hot_share: float) -> Form:
    def make(model: StoredGraph, profiled: IdCounts) -> RowMaker:
        made = {
            table.name: _of_table(table, model.parameters, profiled, num_centroids, hot_share)
            for table in model.graph.computed
        }
        return EachTable(made)

    hot = f", {hot_share:.0%} hot" if hot_share else ""
    return Form(f"centroids {num_centroids}{hot}", make, _size_of_centroids)


def _of_table(
    table: AnyComputed,
    parameters: Parameters,
    profiled: IdCounts,
    num_centroids: int,
    hot_share: float,
) -> CentroidRows | None:
    """Centroids of a table's profiled ids; None where there are no more ids than centroids."""
    ids, counts = profiled[table.name]
    if not isinstance(table, Decoded) or ids.size <= num_centroids:
        return None
    hot = ids[np.argsort(-counts, kind="stable")[: int(hot_share * table.num_ids)]]
    return centroid_rows(
        table,
        parameters,
        np.repeat(ids, np.maximum(counts * min(1.0, PROFILED / counts.sum()), 1).astype(np.int64)),
        num_centroids=num_centroids,
        rng=rng_for(0, "centroids", table.name),
        exact_ids=np.sort(hot),
    )


PROFILED = 1 << 20
"""Lookups that centroids are found by; longer windows are scaled down, each id stays."""


@dataclass(frozen=True, eq=False, slots=True)
class EachTable:
    """A row maker for each table; tables without one are exact, all their rows kept.

    Args:
        of: by name of the table.
    """

    of: Mapping[str, CentroidRows | None] = field(default_factory=dict)

    def __call__(self, table: AnyComputed, parameters: Parameters, ids: IntArray) -> np.ndarray:
        """(n, d)."""
        maker = self.of[table.name]
        rows: RowMaker = computed_rows if maker is None else maker
        return rows(table, parameters, ids)


def _size_of_centroids(maker: RowMaker, table: AnyComputed, parameters: Parameters) -> int:
    assert isinstance(maker, EachTable)
    made = maker.of[table.name]
    return stored_bytes(table, parameters) if made is None else made.size_bytes


def dots_alone(table: Decoded, parameters: Parameters, count: int) -> tuple[Decoded, Parameters]:
    """A table whose rows are N dot products with an id's codes: the least a nearest one costs.

    Args:
        table: whose codes.
        parameters: of the model.
        count: N.
    """
    num_codes = parameters[table.layers[0].weight].shape[1]
    arrays = {
        "directions": np.random.default_rng(0).standard_normal((count, num_codes), np.float32),
        "none": np.zeros(count, np.float32),
    }
    layer = DecoderLayer(weight="directions", bias="none")
    return msgspec.structs.replace(table, dim=count, layers=(layer,)), arrays
