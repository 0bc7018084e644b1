"""The ranking kernel of this project: a model compiled to a program, run by the tile machine.

Needs no deep-learning framework. Letters: Q queries, I items, C columns, S score inputs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from recfunnel.compile.budget import NO_LIMIT
from recfunnel.compile.catalogue import CatalogueSplit
from recfunnel.compile.load import StoredGraph, load_graph
from recfunnel.compile.passes import CompileOptions
from recfunnel.compile.program import Precision, Program, Storage
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import InvalidInput, RecfunnelError, StorageError
from recfunnel.core.features import Features
from recfunnel.core.spec import Spec
from recfunnel.runtime.base import RuntimeSpec, check_given, runtimes
from recfunnel.runtime.native_compile import (
    Form,
    ItemRecords,
    compile_model,
    computed_remark,
    machine_module,
    made_records,
    records_in_memory,
)
from recfunnel.runtime.native_files import compiled_form, in_huge_pages

if TYPE_CHECKING:  # the extension module is imported when a model is loaded, not when listed
    from recfunnel.runtime.native_machine import MachineOptions, NativeMachine


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
        huge_pages: copy records into large memory pages of each process's own. By default their
            file is mapped, which all processes share, which is ready at once, and which may be
            larger than memory. Two million records of 208 bytes in random order were 2 % faster
            copied (ext4 with large folios, Linux 6.18); where files are mapped in small pages the
            copy gains more.
        num_candidates: how many a query usually has; decides in which form some layers run.
        largest_computed_bytes: computed tables that would be larger than this with all rows stored
            are computed for each call, a row for each different id.
        hot_store_bytes: for rows of frequent ids of tables that stay computed. Which ids those are
            is read from the model's `id_counts.npz`, see `compile.id_counts`.
    """

    precision: Precision = "float32"
    catalogue: Literal["compiled", "hoisted"] = "compiled"
    records: Storage | Literal[""] = ""
    tables: Storage = "float32"
    huge_pages: bool = False
    num_candidates: int = 512
    largest_computed_bytes: int = NO_LIMIT
    hot_store_bytes: int = 0

    def __post_init__(self) -> None:
        for name in ("largest_computed_bytes", "hot_store_bytes"):
            if getattr(self, name) < 0:
                raise InvalidInput(f"{name} is {getattr(self, name)}, must not be below 0")

    @property
    def exact(self) -> bool:
        """Whether everything is float32."""
        return {self.precision, self.record_storage, self.tables} == {"float32"}

    @property
    def fused(self) -> bool:
        """Stages run behind each other inside the native library."""
        return True

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

    @property
    def form(self) -> Form:
        """What it compiles a model to."""
        options = CompileOptions(
            without=() if self.catalogue == "compiled" else ("catalogue",),
            num_candidates=self.num_candidates,
            largest_computed_bytes=self.largest_computed_bytes,
            layers=self.precision,
            tables=self.tables,
        )
        return Form(
            options=options, records=self.record_storage, hot_store_bytes=self.hot_store_bytes
        )

    def load(self, folder: Path, items: Features, *, num_threads: int = 1) -> "NativeModel":
        """Read a finished model; its compiled form is made where its folder holds none yet.

        Raises:
            StorageError: the folder is missing, damaged or of another version.
            ModelError: the model has no graph, or the extension module is not built.
            DataError: an item's id is outside its table.
        """
        stored = load_graph(folder)
        options = machine_module().MachineOptions(num_threads=num_threads)
        try:
            program, records, said = compiled_form(folder, stored, items, self.form, options)
        except StorageError as error:  # a folder that may only be read, or a full disk
            said = (f"{stored.name!r} is compiled in every process: {error}",)
            return self._in_memory(stored, items, options, said)
        if self.huge_pages:
            records = in_huge_pages(records)
        return self._ready(stored, items, program, records, options, said)

    def load_graph(
        self, stored: StoredGraph, items: Features, *, num_threads: int = 1
    ) -> "NativeModel":
        """Make a model ready that is in memory already; nothing is written.

        Raises:
            ModelError: the extension module is not built.
            DataError: an item's id is outside its table.
        """
        options = machine_module().MachineOptions(num_threads=num_threads)
        return self._in_memory(stored, items, options, ())

    def _in_memory(
        self,
        stored: StoredGraph,
        items: Features,
        options: "MachineOptions",
        said: tuple[str, ...],
    ) -> "NativeModel":
        program, split = compile_model(stored, self.form, options.num_threads)
        records = ItemRecords(None, self.record_storage)
        if split is not None:
            records = records_in_memory(
                stored, split, self.form, items, options, huge_pages=self.huge_pages
            )
        return self._ready(stored, items, program, records, options, said)

    def _ready(
        self,
        stored: StoredGraph,
        items: Features,
        program: Program,
        records: ItemRecords,
        options: "MachineOptions",
        said: tuple[str, ...],
    ) -> "NativeModel":
        machine = machine_module().NativeMachine(
            stored.name, program, items, records.stored, self.record_storage, options
        )
        remarks = tuple(filter(None, (*said, records.remark, computed_remark(program))))
        return NativeModel(stored, machine, records, self.form, remarks)


class NativeModel:
    """A model in the tile machine's hands, with the items it ranks.

    Args:
        stored: the finished model.
        machine: its program, bound to the items.
        records: the compiled catalogue the machine reads.
        form: it was compiled to.
        remarks: what is worth telling of how it was loaded, in words.
    """

    def __init__(
        self,
        stored: StoredGraph,
        machine: "NativeMachine",
        records: ItemRecords,
        form: Form,
        remarks: tuple[str, ...] = (),
    ) -> None:
        self._name, self._score_inputs = stored.name, stored.score_inputs
        self._stored, self._form = stored, form
        self._split: CatalogueSplit | None = None
        self.machine, self.records, self.remarks = machine, records, remarks
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
        """Make the records of some items anew, in this process; not while another thread scores.

        Args:
            rows: which items, 0 to I - 1.
            items: their features, in the order of `rows`.

        Raises:
            InvalidInput: the model keeps no records, a row is no item, or the numbers of rows
                differ.
            DataError: an id is outside its table.
        """
        records = self.records.stored
        if records is None:
            raise InvalidInput(f"{self._name!r} keeps no records of its items; load it again")
        num_items = len(records)
        if len(rows) != len(items) or (len(rows) and not 0 <= rows.min() <= rows.max() < num_items):
            raise InvalidInput(
                f"{len(rows)} rows for {len(items)} items; one each, from 0 to {num_items - 1}"
            )
        if self._split is None:  # a program that was read from its files does not hold it
            self._split = compile_model(self._stored, self._form)[1]
        assert self._split is not None, "what has records was split"
        options = self.machine.options
        for span, made in made_records(self._stored, self._split, self._form, items, options):
            records[rows[span]] = made
