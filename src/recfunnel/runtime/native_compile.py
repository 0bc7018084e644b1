"""Compiling a model for the tile machine: its program, and the record of every item.

Letters: I items, W numbers of an item's record.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.catalogue import CatalogueSplit
from recfunnel.compile.computed import RowMaker, computed_rows
from recfunnel.compile.id_counts import ID_COUNTS_FILE, choose_hot_ids
from recfunnel.compile.load import StoredGraph
from recfunnel.compile.lower import lower
from recfunnel.compile.lower_storage import row_bytes, to_storage
from recfunnel.compile.passes import CompileOptions, compile_graph
from recfunnel.compile.program import Program, Storage, hot_arrays
from recfunnel.compile.widths import Parameters
from recfunnel.core.errors import ModelError
from recfunnel.core.features import Features
from recfunnel.core.spec import Value
from recfunnel.runtime.huge_pages import huge_share

if TYPE_CHECKING:  # the extension module is imported when a model is loaded, not when listed
    from recfunnel.runtime.native_machine import MachineOptions

ITEMS_AT_ONCE = 1 << 15
"""Records computed at once when a catalogue is compiled; bounds memory besides the records."""

HUGE_PAGE_BYTES = 2 << 20

ENOUGH_HUGE = 0.9
"""Share of records in huge pages that is not worth a remark."""


class Form(Value, frozen=True):
    """What a model is compiled to.

    Args:
        options: of the passes.
        records: what records are stored as.
        hot_store_bytes: for rows of computed tables that stay computed, and their index.
    """

    options: CompileOptions
    records: Storage
    hot_store_bytes: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class ItemRecords:
    """The compiled catalogue.

    Args:
        stored: (I, ...), one row an item; None when nothing is stored.
        storage: as what.
        remark: what is worth telling of where they lie, such as that huge pages were refused.
    """

    stored: NDArray[Any] | None
    storage: Storage
    remark: str = ""

    @property
    def size_bytes(self) -> int:
        """Memory they take."""
        return 0 if self.stored is None else self.stored.nbytes


def machine_module() -> Any:
    """The machine, imported late: listing runtimes works where it is not built.

    Raises:
        ModelError: the extension module is not built.
    """
    try:
        from recfunnel.runtime import native_machine
    except ImportError as error:
        raise ModelError(
            f"the extension module is not built ({error}); run: pip install recfunnel, or use the "
            "runtime 'torch'"
        ) from error
    return native_machine


def compile_model(
    stored: StoredGraph, form: Form, num_threads: int = 1
) -> tuple[Program, CatalogueSplit | None]:
    """A model's program, and the split its records are made by; None where it keeps none.

    Args:
        stored: the model.
        form: to compile to.
        num_threads: cores that make rows of computed tables.

    Raises:
        ModelError: a hot store is asked for, and no window of queries was counted.
    """
    make_rows = _row_maker(stored, form, num_threads)
    compiled = compile_graph(stored.graph, stored.parameters, form.options, make_rows=make_rows)
    program = lower(
        compiled.pair_graph,
        compiled.pair_parameters,
        stored.schema,
        compiled.precisions.layers,
        compiled.precisions.tables,
        form.options.layers,
    )
    if form.hot_store_bytes and program.listing.computed:
        program = _with_hot_rows(program, compiled.pair_parameters, stored, form, make_rows)
    split = compiled.split
    return program, split if split is not None and split.width else None


def _row_maker(stored: StoredGraph, form: Form, num_threads: int) -> RowMaker:
    """What makes the rows of computed tables, stored ones among them."""
    if not stored.graph.computed:
        return computed_rows
    machine_module()
    from recfunnel.runtime.native_tables import NativeRows

    return NativeRows(form.options.layers, num_threads)


def _with_hot_rows(
    program: Program, parameters: Parameters, stored: StoredGraph, form: Form, make_rows: RowMaker
) -> Program:
    """The program with rows of frequent ids kept, as many as the hot store holds."""
    from recfunnel.runtime._native import hot_index

    if stored.id_counts is None:
        raise ModelError(
            f"{stored.name!r} is to keep {form.hot_store_bytes} bytes of frequent rows, but its "
            f"folder has no {ID_COUNTS_FILE}; count a window of queries with "
            "recfunnel.compile.id_counts, let recfunnel train count the training rows, or set "
            "hot_store_bytes to 0"
        )
    kept = {table.name for table in program.listing.computed}
    tables = {table.name: table for table in stored.graph.computed if table.name in kept}
    hot = choose_hot_ids(tables.values(), parameters, stored.id_counts, form.hot_store_bytes)
    arrays = dict(program.arrays)
    for name, ids in hot.items():
        rows, index = hot_arrays(name)
        arrays[rows] = np.asarray(make_rows(tables[name], parameters, ids), np.float32)
        arrays[index] = hot_index(ids.astype(np.uint32))
    listing = msgspec.structs.replace(program.listing, hot=tuple(hot))
    return Program(listing, arrays)


def computed_remark(program: Program) -> str:
    """Which tables a query computes rows of, and how many rows are kept; empty where none."""
    listing = program.listing
    if not listing.computed:
        return ""
    names = ", ".join(table.name for table in listing.computed)
    kept = [[program.arrays[name] for name in hot_arrays(table)] for table in listing.hot]
    num_rows = sum(len(rows) for rows, _ in kept)
    size = sum(array.nbytes for both in kept for array in both)
    store = f"{num_rows:,} frequent rows are kept ({size / 1e6:.1f} MB)" if kept else "none is kept"
    return f"rows of {names} are computed in each query in {listing.decoders}; {store}"


def made_records(
    stored: StoredGraph,
    split: CatalogueSplit,
    form: Form,
    items: Features,
    options: "MachineOptions",
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Records as they are stored, made by the machine itself, some items at a time.

    Args:
        stored: the model.
        split: of the model.
        form: the model is compiled to.
        items: I rows.
        options: of the machine.

    Yields:
        A span of items, in order, and their rows.

    Raises:
        DataError: an item's id is outside its table.
    """
    native = machine_module()
    program = lower(split.items, split.item_parameters, stored.schema, decoders=form.options.layers)
    machine = native.NativeMachine(stored.name, program, items, options=options)
    nobody = Features.empty(1)
    for start in range(0, len(items), ITEMS_AT_ONCE):
        span = slice(start, min(start + ITEMS_AT_ONCE, len(items)))
        made = machine.score(nobody, np.arange(span.start, span.stop)[None])
        rows = made.reshape(span.stop - span.start, split.width)
        yield span, to_storage(rows, form.records)


def records_in_memory(
    stored: StoredGraph,
    split: CatalogueSplit,
    form: Form,
    items: Features,
    options: "MachineOptions",
    *,
    huge_pages: bool,
) -> ItemRecords:
    """Records of all items in memory of this process alone."""
    dtype, columns = row_layout(split.width, form.records)
    rows, remark = new_rows(len(items), columns, dtype, huge_pages=huge_pages)
    for span, made in made_records(stored, split, form, items, options):
        rows[span] = made
    if huge_pages and not remark:
        remark = too_few_huge(rows)
    return ItemRecords(rows, form.records, remark)


def too_few_huge(rows: NDArray[Any]) -> str:
    """A remark when filled rows lie in huge pages in part only; empty otherwise."""
    share = huge_share(rows) if rows.nbytes >= HUGE_PAGE_BYTES else None
    if share is None or share >= ENOUGH_HUGE:
        return ""
    return f"only {share:.0%} of the records lie in huge pages: the system had no more"


def huge_page_refusal() -> str:
    """Why this system gives no huge pages; empty when it does."""
    from recfunnel.runtime._native import new_bytes

    refusal: str = new_bytes(HUGE_PAGE_BYTES, True)[1]
    return refusal


def row_layout(width: int, storage: Storage) -> tuple[np.dtype[Any], int]:
    """Element type of stored rows, and how many elements a row of W numbers has."""
    kinds = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
    dtype = np.dtype(kinds.get(storage, np.uint8))
    return dtype, row_bytes(width, storage) // dtype.itemsize


def new_rows(
    num_rows: int, columns: int, dtype: np.dtype[Any], *, huge_pages: bool
) -> tuple[NDArray[Any], str]:
    """Zeroed rows, and a remark when huge pages were wished for but refused."""
    from recfunnel.runtime._native import new_bytes

    size = num_rows * columns * dtype.itemsize
    raw, refusal = new_bytes(size, huge_pages and size >= HUGE_PAGE_BYTES)
    rows: NDArray[Any] = raw.view(dtype).reshape(num_rows, columns)
    return rows, f"records do not lie in huge pages: {refusal}" if refusal else ""
