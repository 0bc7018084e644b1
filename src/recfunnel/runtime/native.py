"""The ranking kernel of this project: a model compiled to a program, run by the tile machine.

Needs no deep-learning framework. Letters: Q queries, I items, C columns, S score inputs, W columns
of an item's record.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.catalogue import CatalogueSplit
from recfunnel.compile.load import StoredGraph, load_graph
from recfunnel.compile.lower import lower
from recfunnel.compile.lower_storage import row_bytes, to_storage
from recfunnel.compile.passes import Compiled, CompileOptions, compile_graph
from recfunnel.compile.program import Precision, Storage
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import InvalidInput, ModelError, RecfunnelError
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.spec import Spec
from recfunnel.runtime.base import RuntimeSpec, check_given, runtimes

if TYPE_CHECKING:  # the extension module is imported when a model is loaded, not when listed
    from recfunnel.runtime.native_machine import MachineOptions, NativeMachine

ITEMS_AT_ONCE = 1 << 15
"""Records computed at once when a catalogue is compiled; bounds memory besides the records."""

HUGE_PAGE_BYTES = 2 << 20


@runtimes.register
class Native(Spec, RuntimeSpec, frozen=True, tag="native"):
    """The tile machine, on the processor's vector units.

    Args:
        precision: of long layers; what is short, and all dots, stay float32.
        catalogue: `compiled` computes once what depends on an item alone and keeps it as a record;
            `hoisted` computes it for the candidates of every query.
        records: what records are stored as; empty for float32, or bfloat16 when `precision` is
            lower.
        tables: what embedding tables are stored as; float32 ones stay in the model's file.
        huge_pages: ask the system for large memory pages for records.
        num_candidates: how many a query usually has; decides in which form some layers run.
    """

    precision: Precision = "float32"
    catalogue: Literal["compiled", "hoisted"] = "compiled"
    records: Storage | Literal[""] = ""
    tables: Storage = "float32"
    huge_pages: bool = True
    num_candidates: int = 512

    @property
    def exact(self) -> bool:
        """Whether everything is float32."""
        return {self.precision, self.record_storage, self.tables} == {"float32"}

    @property
    def record_storage(self) -> Storage:
        """What records are stored as."""
        if self.records:
            return self.records
        return "float32" if self.precision == "float32" else "bfloat16"

    def refusal(self, folder: Path) -> str:
        """Why it cannot run a finished model: not built, or a model without a graph."""
        try:
            import recfunnel.runtime._native  # noqa: F401 - whether it is there
        except ImportError as error:
            return f"the extension module is not built ({error}); run: pip install recfunnel"
        try:
            load_graph(folder)
        except RecfunnelError as error:
            return str(error)
        return ""

    def load(self, folder: Path, items: Features, *, num_threads: int = 1) -> "NativeModel":
        """Read a finished model from its folder, compile it, and make records of the items.

        Raises:
            StorageError: the folder is missing, damaged or of another version.
            ModelError: the model has no graph, or the extension module is not built.
            DataError: an item's id is outside its table.
        """
        stored = load_graph(folder)
        return self.load_graph(stored, items, num_threads=num_threads)

    def load_graph(
        self, stored: StoredGraph, items: Features, *, num_threads: int = 1
    ) -> "NativeModel":
        """Make a model ready that is in memory already.

        Raises:
            ModelError: the extension module is not built.
            DataError: an item's id is outside its table.
        """
        machine_module = _machine_module()
        options = CompileOptions(
            without=() if self.catalogue == "compiled" else ("catalogue",),
            num_candidates=self.num_candidates,
            layers=self.precision,
            tables=self.tables,
        )
        compiled = compile_graph(stored.graph, stored.parameters, options)
        machine_options = machine_module.MachineOptions(num_threads=num_threads)
        records = _no_records(compiled, self)
        if compiled.split is not None and compiled.split.width:
            records = _compile_records(stored, compiled.split, items, self, machine_options)
        program = lower(
            compiled.pair_graph,
            compiled.pair_parameters,
            stored.schema,
            compiled.precisions.layers,
            compiled.precisions.tables,
        )
        machine = machine_module.NativeMachine(
            stored.name, program, items, records.stored, self.record_storage, machine_options
        )
        return NativeModel(stored, machine, records)


@dataclass(frozen=True, eq=False, slots=True)
class ItemRecords:
    """The compiled catalogue.

    Args:
        split: of the model; None without a catalogue.
        stored: (I, ...), one row an item; None when nothing is stored.
        storage: as what.
        remark: what is worth telling of where they lie, such as that huge pages were refused.
    """

    split: CatalogueSplit | None
    stored: NDArray[Any] | None
    storage: Storage
    remark: str = ""

    @property
    def size_bytes(self) -> int:
        """Memory they take."""
        return 0 if self.stored is None else self.stored.nbytes


class NativeModel:
    """A model in the tile machine's hands, with the items it ranks.

    Args:
        stored: the finished model.
        machine: its program, bound to the items.
        records: the compiled catalogue the machine reads.
    """

    def __init__(self, stored: StoredGraph, machine: "NativeMachine", records: ItemRecords) -> None:
        self._name, self._score_inputs = stored.name, stored.score_inputs
        self._schema = stored.schema
        self.machine, self.records = machine, records
        self._run = machine.score

    @property
    def name(self) -> str:
        """The model's name in the study."""
        return self._name

    @property
    def score_inputs(self) -> tuple[str, ...]:
        """Names of the models whose scores it reads, in the order of `given`."""
        return self._score_inputs

    def score(
        self, context: Features, candidates: IntArray | None, given: FloatArray | None = None
    ) -> FloatArray:
        """Score candidates.

        Args:
            context: Q rows.
            candidates: int64 (Q, C), rows of the item features; None means all of them in order.
            given: float32 (Q, C, S), scores of `score_inputs`; None when it reads none.

        Returns:
            float32 (Q, C), higher ranks first.

        Raises:
            ModelError: a value that is not finite, going in or coming out.
            InvalidInput: wrong shapes or types, a candidate that is no item, an id outside its
                table, or `given` does not hold the scores it reads.
        """
        if given is not None or self._score_inputs:
            check_given(self, given)
        return self._run(context, candidates, given)

    def top_k(
        self,
        context: Features,
        candidates: IntArray | None,
        k: int,
        given: FloatArray | None = None,
        excluded: IntArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """The best k candidates of one query, chosen while they are scored.

        Args:
            context: 1 row.
            candidates: int64 (1, C); None means all items in order.
            k: how many to keep; fewer come back when fewer are allowed.
            given: float32 (1, C, S); None when it reads no scores.
            excluded: positions that must not be kept.

        Returns:
            Their positions, rising, as `recfunnel.runtime.top_k` would choose them; their scores.

        Raises:
            ModelError: as `score`.
            InvalidInput: as `score`, or more than one query.
        """
        if given is not None or self._score_inputs:
            check_given(self, given)
        return self.machine.top_k(context, candidates, k, given, excluded)

    def update_items(self, rows: IntArray, items: Features) -> None:
        """Make the records of some items anew; not while another thread scores.

        Args:
            rows: which items, 0 to I - 1.
            items: their features, in the order of `rows`.

        Raises:
            InvalidInput: the model keeps no records, a row is no item, or the numbers of rows
                differ.
            DataError: an id is outside its table.
        """
        records = self.records
        if records.split is None or records.stored is None:
            raise InvalidInput(f"{self._name!r} keeps no records of its items; load it again")
        num_items = len(records.stored)
        if len(rows) != len(items) or (len(rows) and not 0 <= rows.min() <= rows.max() < num_items):
            raise InvalidInput(
                f"{len(rows)} rows for {len(items)} items; one each, from 0 to {num_items - 1}"
            )
        for span, made in _records_in_steps(
            self._name, self._schema, records.split, items, self.machine.options
        ):
            records.stored[rows[span]] = to_storage(made, records.storage)


def _machine_module() -> Any:
    """The machine, imported late: listing runtimes works where it is not built."""
    try:
        from recfunnel.runtime import native_machine
    except ImportError as error:
        raise ModelError(
            f"the extension module is not built ({error}); run: pip install recfunnel, or use the "
            "runtime 'torch'"
        ) from error
    return native_machine


def _no_records(compiled: Compiled, spec: Native) -> ItemRecords:
    return ItemRecords(compiled.split, None, spec.record_storage)


def _compile_records(
    stored: StoredGraph,
    split: CatalogueSplit,
    items: Features,
    spec: Native,
    options: "MachineOptions",
) -> ItemRecords:
    """Records of all items, made by the machine itself."""
    rows, remark = _new_rows(len(items), split.width, spec)
    for span, made in _records_in_steps(stored.name, stored.schema, split, items, options):
        rows[span] = to_storage(made, spec.record_storage)
    return ItemRecords(split, rows, spec.record_storage, remark)


def _records_in_steps(
    name: str,
    schema: FeatureSchema,
    split: CatalogueSplit,
    items: Features,
    options: "MachineOptions",
) -> Any:
    """Yields spans of items and their float32 records, (span, W)."""
    machine_module = _machine_module()
    program = lower(split.items, split.item_parameters, schema)
    machine = machine_module.NativeMachine(name, program, items, options=options)
    nobody = Features.empty(1)
    for start in range(0, len(items), ITEMS_AT_ONCE):
        span = slice(start, min(start + ITEMS_AT_ONCE, len(items)))
        made = machine.score(nobody, np.arange(span.start, span.stop)[None])
        yield span, made.reshape(span.stop - span.start, split.width)


def _new_rows(num_items: int, width: int, spec: Native) -> tuple[NDArray[Any], str]:
    """Memory for stored rows, and a remark when huge pages were wished for but refused."""
    from recfunnel.runtime._native import new_bytes

    storage = spec.record_storage
    bytes_each = row_bytes(width, storage)
    size = num_items * bytes_each
    huge = spec.huge_pages and size >= HUGE_PAGE_BYTES
    raw, refusal = new_bytes(size, huge)
    dtypes = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
    dtype = np.dtype(dtypes.get(storage, np.uint8))
    rows: NDArray[Any] = raw.view(dtype).reshape(num_items, bytes_each // dtype.itemsize)
    return rows, f"records do not lie in huge pages: {refusal}" if refusal else ""
