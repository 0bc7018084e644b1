"""A finished model's graph in the hands of a library that runs ONNX.

Letters: I items, C candidates, S score inputs.
"""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.budget import NO_LIMIT, Budget
from recfunnel.compile.catalogue import compile_records
from recfunnel.compile.load import StoredGraph
from recfunnel.compile.passes import CompileOptions, compile_graph
from recfunnel.compile.store_computed import store_computed
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import MissingExtraError
from recfunnel.core.features import Features
from recfunnel.core.graph import GRAPH_FILE
from recfunnel.core.own_file import STORED_ONNX
from recfunnel.runtime.export_onnx import OnnxExport, export_onnx
from recfunnel.runtime.feeds import GIVEN, RECORDS, SideCheck, categorical_name, feeds_of
from recfunnel.runtime.one_query import OneQueryModel, Rows

NO_GRAPH = "the model has no graph; use the runtime 'torch'"


def refusal_of_export(folder: Path, library: str, extra: str) -> str:
    """Why a runtime of exported graphs cannot run a finished model; empty when it can.

    Args:
        folder: of the model.
        library: that runs graphs, besides `onnx`, which writes them.
        extra: what to install where one is missing.
    """
    for name in ("onnx", library):
        if importlib.util.find_spec(name) is None:
            return str(MissingExtraError(name, extra))
    known = (folder / GRAPH_FILE).exists() or (folder / STORED_ONNX).exists()
    return "" if known else NO_GRAPH


Run = Callable[[Mapping[str, NDArray[Any]]], FloatArray]
"""Scores (C,) from inputs by name, see `recfunnel.runtime.feeds`."""


def exported_model(
    stored: StoredGraph,
    items: Features,
    build: Callable[[OnnxExport], Run],
    *,
    cache_items: bool,
    without: tuple[str, ...] = (),
) -> OneQueryModel:
    """Compile a stored graph, export it and make it ready.

    Computed tables are stored whole, whatever their size: such a library looks rows up.

    Args:
        stored: a finished model.
        items: features of all items it will be asked about.
        build: loads an exported graph into the library.
        cache_items: whether the item part is computed once, for the whole catalogue.
        without: passes left out, see `recfunnel.compile.passes`.

    Returns:
        The loaded model.

    Raises:
        InvalidInput: there is no such pass.
    """
    left_out = without if cache_items else (*without, "catalogue")
    model = store_computed(stored.graph, stored.parameters, budget=Budget(NO_LIMIT))
    compiled = compile_graph(*model, CompileOptions(without=left_out))
    records = None if compiled.split is None else compile_records(compiled.split, items)
    graph, parameters = compiled.pair_graph, compiled.pair_parameters
    export = export_onnx(graph, parameters, stored.schema, name=stored.name)
    call = _Call(stored, items, records, export.inputs, build(export))
    return OneQueryModel(stored.name, stored.score_inputs, len(items), call)


class _Call:
    """Gathers a call's inputs and runs it."""

    def __init__(
        self,
        stored: StoredGraph,
        items: Features,
        records: FloatArray | None,
        inputs: frozenset[str],
        run: Run,
    ) -> None:
        items.check(stored.schema, "candidate")
        self._known = SideCheck(stored.schema, "context")
        self._items, self._records, self._inputs, self._run = items, records, inputs, run
        self._reads_items = any(name.startswith("candidate_") for name in inputs)
        self._reads_ids_alone = self._reads_items and not any(
            name.startswith("candidate_") and name != categorical_name("candidate")
            for name in inputs
        )

    def __call__(self, context: Features, rows: Rows, given: FloatArray | None) -> FloatArray:
        self._known.check(context)
        feeds = feeds_of(context, "context", self._inputs)
        if self._records is not None and RECORDS in self._inputs:
            feeds[RECORDS] = self._records[rows]
        if self._reads_ids_alone:
            feeds[categorical_name("candidate")] = np.ascontiguousarray(
                self._items.categorical[rows]
            )
        elif self._reads_items:
            feeds |= feeds_of(self._items.take(_as_array(rows)), "candidate", self._inputs)
        if given is not None and GIVEN in self._inputs:
            feeds[GIVEN] = np.ascontiguousarray(given, np.float32)
        return self._run(feeds)


def _as_array(rows: Rows) -> IntArray:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
