"""Our engine on the measured models: compiled and lowered in memory, without a run folder.

Letters: I items, B candidates a query, W columns of a record.
"""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.bench.backend import MOST_CHECKED, Backend, error_of, exact_scores_of
from recfunnel.bench.memory import free_memory_bytes, huge_array
from recfunnel.bench.model import BenchModel
from recfunnel.bench.queries import Workload
from recfunnel.bench.results import SIDE_BY_SIDE, Precision, Way, our_name, our_scan
from recfunnel.bench.roof import Bound, call_bound
from recfunnel.bench.shapes import ITEM_FEATURES, DLRMShape
from recfunnel.compile.catalogue import CatalogueSplit
from recfunnel.compile.lower import lower
from recfunnel.compile.lower_fingerprint import fingerprint
from recfunnel.compile.lower_storage import row_bytes, to_storage
from recfunnel.compile.passes import Compiled, CompileOptions, compile_graph
from recfunnel.compile.program import Program, Storage
from recfunnel.core.arrays import DoubleArray, FloatArray
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.runtime.native_machine import MachineOptions, NativeMachine

ITEMS_AT_ONCE = 1 << 12
ID_BYTES = 8
QUERIES_EACH = 8
"""A thread answers in one call where threads have queries of their own."""
SPARE_BYTES = 1 << 30
"""Left free for libraries and queries."""

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
SCANNED: tuple[Precision, ...] = ("bfloat16", "int8")
RECORD_STORAGE: dict[Precision, Storage] = {
    "float32": "float32",
    "bfloat16": "bfloat16",
    "int8": "int8",
}


@dataclass(slots=True)
class OurEngine:
    """Machines for one model, and the records of one catalogue.

    Args:
        model: to run.
        records: by content, so that queries of several sizes share them.
    """

    model: BenchModel
    records: dict[tuple[str, Storage], NDArray[Any]] = field(default_factory=dict)

    def lacks_memory_for(self, num_items: int, precisions: Collection[Precision]) -> str:
        """Why records and features of a catalogue cannot be held; empty when they can.

        Args:
            num_items: of the catalogue.
            precisions: of the records, all of which are held at once.
        """
        shape = self.model.shape
        if not isinstance(shape, DLRMShape):
            return ""
        width = len(ITEM_FEATURES) * shape.dim + shape.top[0]
        records = sum(row_bytes(width, RECORD_STORAGE[precision]) for precision in precisions)
        bytes_each = records + 2 * ID_BYTES * len(ITEM_FEATURES)
        needed, has = num_items * bytes_each + SPARE_BYTES, free_memory_bytes()
        if needed <= has:
            return ""
        return f"needs {needed / 2**30:.1f} GiB, has {has / 2**30:.1f} GiB"

    def forget_records(self) -> None:
        """Free the catalogue's records."""
        self.records.clear()

    def backends(
        self, workload: Workload, exact: DoubleArray, only: Collection[str] = ()
    ) -> Iterator[Backend]:
        """Ways and precisions that the workload allows, on one core.

        Args:
            workload: queries.
            exact: scores of the first.
            only: names of those wanted; empty for all.
        """
        ways: list[Way] = ["plain"] if workload.setting == "plain" else ["hoisted"]
        if workload.setting == "catalogue" and isinstance(self.model.shape, DLRMShape):
            ways.append("compiled")
        for precision, way in product(PRECISIONS, ways):
            if not only or our_name(way, precision) in only:
                machine, bound = self.machine(workload, way, precision)
                yield self._backend(machine, workload, exact, way, precision, bound)

    def machine(
        self, workload: Workload, way: Way, precision: Precision, num_threads: int = 1
    ) -> tuple[NativeMachine, Bound]:
        """A machine bound to a workload's items.

        Args:
            workload: whose items are ranked, and whose number of candidates is compiled for.
            way: plain or hoisted, or compiled: on the records of the items.
            precision: of layers and records.
            num_threads: cores.

        Returns:
            It, and what one query costs at least.
        """
        if way == "compiled":
            return self._on_records(workload, precision)
        return self._machine(workload, precision, num_threads)

    def on_cores(
        self, workload: Workload, exact: DoubleArray, num_threads: int, end: str = ""
    ) -> Backend:
        """Plain and in float32, on so many cores.

        Args:
            workload: queries, plain.
            exact: scores of the first.
            num_threads: cores.
            end: of the name.
        """
        machine, bound = self._machine(workload, "float32", num_threads)
        return self._backend(machine, workload, exact, "plain", "float32", bound, end)

    def side_by_side(self, workload: Workload, exact: DoubleArray, num_threads: int) -> Backend:
        """Plain and in float32, a thread a core, each with queries of its own.

        What two cores give at most where they share memory and clock.

        Args:
            workload: queries, plain.
            exact: scores of the first.
            num_threads: cores.
        """
        machine, bound = self._machine(workload, "float32")
        one = self._backend(machine, workload, exact, "plain", "float32", bound).answer
        crew = ThreadPoolExecutor(num_threads)

        def some(first: int) -> None:
            for number in range(first, first + QUERIES_EACH):
                one(number)

        def answer(number: int) -> None:
            start = number * num_threads * QUERIES_EACH
            list(crew.map(some, range(start, start + num_threads * QUERIES_EACH, QUERIES_EACH)))

        name = our_name("plain", "float32") + SIDE_BY_SIDE
        error, answered = (
            error_of(self._first(machine, workload), exact),
            num_threads * QUERIES_EACH,
        )
        return Backend(name, "plain", "float32", answer, error, bound, answered)

    def _first(self, machine: NativeMachine, workload: Workload) -> FloatArray:
        return machine.score(workload.context.row(0), workload.candidates[:1])

    def scans(self, workload: Workload, k: int) -> Iterator[Backend]:
        """The best k of a whole catalogue, on records of fewer bits, one core.

        Args:
            workload: whose contexts are asked.
            k: how many are kept.
        """
        size = len(workload.items)
        contexts = [workload.context.row(i) for i in range(workload.num_queries)]
        for precision in SCANNED:
            machine, bound = self._on_records(workload, precision, size)

            def answer(number: int, machine: NativeMachine = machine) -> object:
                return machine.top_k(contexts[number % len(contexts)], None, k)

            error = self._scan_error(machine, workload, k)
            yield Backend(our_scan(precision), "compiled", precision, answer, error, bound)

    def _scan_error(self, machine: NativeMachine, workload: Workload, k: int) -> float:
        """Of the kept scores; inf when better ones were not kept."""
        context = workload.context.row(0)
        positions, scores = machine.top_k(context, None, k)
        every = machine.score(context, None)[0]
        if scores.min() < np.partition(every, -k)[-k]:
            return float("inf")
        exact = exact_scores_of(self.model, workload, positions[:MOST_CHECKED])
        return error_of(scores, exact)

    def _backend(
        self,
        machine: NativeMachine,
        workload: Workload,
        exact: DoubleArray,
        way: Way,
        precision: Precision,
        bound: Bound,
        end: str = "",
    ) -> Backend:
        queries = [
            (workload.context.row(i), workload.candidates[i : i + 1])
            for i in range(workload.num_queries)
        ]
        score = machine.score

        def answer(number: int) -> FloatArray:
            return score(*queries[number % len(queries)])

        name = our_name(way, precision) + end
        return Backend(name, way, precision, answer, error_of(answer(0), exact), bound)

    def _compiled(
        self, workload: Workload, precision: Precision, size: int, *, on_records: bool = False
    ) -> Compiled:
        options = CompileOptions(
            num_candidates=size,
            layers=precision,
            without=() if on_records else ("catalogue",),
        )
        return compile_graph(self.model.graph(workload.setting), self.model.parameters, options)

    def _machine(
        self, workload: Workload, precision: Precision, num_threads: int = 1
    ) -> tuple[NativeMachine, Bound]:
        size = workload.candidates.shape[1]
        compiled = self._compiled(workload, precision, size)
        machine = NativeMachine(
            self.model.name,
            _lowered(compiled, self.model.schema(workload.setting)),
            workload.items,
            options=MachineOptions(num_threads=num_threads),
        )
        return machine, call_bound(compiled.graph, compiled.parameters, size)

    def _on_records(
        self, workload: Workload, precision: Precision, size: int = 0
    ) -> tuple[NativeMachine, Bound]:
        size = size or workload.candidates.shape[1]
        compiled = self._compiled(workload, precision, size, on_records=True)
        split, storage = compiled.split, RECORD_STORAGE[precision]
        assert split is not None
        schema = self.model.schema(workload.setting)
        key = fingerprint(split.items, split.item_parameters), storage
        if key not in self.records:
            self.records[key] = make_records(split, schema, workload.items, storage)
        machine = NativeMachine(
            self.model.name,
            _lowered(compiled, schema),
            workload.items,
            self.records[key],
            storage,
        )
        width = row_bytes(split.width, storage)
        return machine, call_bound(split.pairs, split.pair_parameters, size, width)


def make_records(
    split: CatalogueSplit, schema: FeatureSchema, items: Features, storage: Storage
) -> NDArray[Any]:
    """The record of every item as it is stored, computed by our own machine.

    Args:
        split: of the model.
        schema: of its features.
        items: I rows.
        storage: as what.

    Returns:
        (I, W) in huge pages where there are any.
    """
    program = lower(split.items, split.item_parameters, schema)
    nobody = Features.empty(1)
    records: NDArray[Any] | None = None
    machine = NativeMachine("items", program, items)
    for start in range(0, len(items), ITEMS_AT_ONCE):
        rows = np.arange(start, min(start + ITEMS_AT_ONCE, len(items)))
        values = machine.score(nobody, rows[np.newaxis])
        stored = to_storage(values.reshape(len(rows), -1), storage)
        if records is None:
            records = huge_array((len(items), stored.shape[1]), stored.dtype)
        records[start : start + len(rows)] = stored
    assert records is not None
    return records


def _lowered(compiled: Compiled, schema: FeatureSchema) -> Program:
    chosen = compiled.precisions
    graph, parameters = compiled.pair_graph, compiled.pair_parameters
    return lower(graph, parameters, schema, chosen.layers, chosen.tables)
