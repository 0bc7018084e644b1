"""Lowering: a ranking graph becomes a program of instructions over tiles.

Values of the context are computed once a query, all others for each block of candidates. Nothing is
copied that need not be: parts of a `Concat` are written where they belong, a `Slice` is a view,
layers add up in the place of their sum, `Relu` is the end of the layer before it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.lower_computed import lower_computed
from recfunnel.compile.lower_fingerprint import fingerprint
from recfunnel.compile.lower_pairs import buffers_of_pairs
from recfunnel.compile.lower_records import join_record_steps
from recfunnel.compile.lower_storage import to_storage
from recfunnel.compile.lower_tiles import Arenas, Buffers, Place
from recfunnel.compile.program import (
    AddTiles,
    BuildCross,
    BuildScaled,
    ClampNegative,
    CopyTile,
    DotsAcross,
    DotsOfPairs,
    FeatureNames,
    Layer,
    Listing,
    LoadDense,
    LoadGiven,
    LoadRecord,
    LookupRow,
    MultiplyTiles,
    PoolRows,
    Precision,
    Program,
    Scale,
    Storage,
    SumRow,
)
from recfunnel.compile.widths import Parameters, node_widths
from recfunnel.core.computed import AnyComputed
from recfunnel.core.errors import ModelError
from recfunnel.core.features import FeatureSchema, Side
from recfunnel.core.graph import (
    Affine,
    AnyOp,
    Concat,
    CrossDots,
    CrossLinear,
    Dense,
    Given,
    Linear,
    Lookup,
    Multiply,
    PairDots,
    Pool,
    RankingGraph,
    Record,
    Relu,
    RowSum,
    ScaledLinear,
    Slice,
    Sum,
    reads,
)

Piece = tuple[Place, str, bool, Precision]
"""A layer to add: its input, its weight (array or slot), whether that is built, and precision."""

LAYERS = (Linear, CrossLinear, ScaledLinear)
MADE_IN_PLACE = (
    *(Lookup, Pool, RowSum, Dense, Given, Record),
    *(Multiply, PairDots, CrossDots, Affine, Relu, Sum),
)
"""Operations whose result can be written anywhere, and changed there by its only reader."""


def lower(
    graph: RankingGraph,
    parameters: Parameters,
    schema: FeatureSchema,
    precisions: Mapping[int, Precision] | None = None,
    storages: Mapping[str, Storage] | None = None,
    decoders: Precision = "float32",
) -> Program:
    """Write a graph out as a program.

    Args:
        graph: what is computed; its score may be wider than 1 (to compile records, say).
        parameters: by name.
        schema: features it is called with, for messages.
        precisions: of layers, and of dots (bfloat16, where nothing else reads their vectors in
            float32), by position; float32 for the rest.
        storages: of tables, by name; float32 for the rest.
        decoders: precision of computed tables' decoders.

    Returns:
        The program; tables kept as float32 are the parameters themselves, not copies.

    Raises:
        ModelError: a parameter is missing or does not fit.
    """
    lowering = _Lowering(graph, parameters, precisions or {}, storages or {})
    arenas = lowering.run()
    listing = Listing(
        query=arenas.query,
        block=arenas.block,
        query_rows=arenas.query_rows,
        block_rows=arenas.block_rows,
        result=arenas.result,
        tables=lowering.tables,
        context=_names(schema, "context"),
        items=_names(schema, "candidate"),
        given_width=max((op.width for op in graph.nodes if isinstance(op, Given)), default=0),
        record_width=max((op.stop for op in graph.nodes if isinstance(op, Record)), default=0),
        fits=fingerprint(graph, parameters),
        computed=tuple(lowering.computed.values()),
        decoders=decoders,
    )
    return Program(listing, lowering.arrays)


def _names(schema: FeatureSchema, side: Side) -> FeatureNames:
    return FeatureNames(
        categorical=tuple(f.name for f in schema.select(side, "categorical")),
        dense=tuple(f.name for f in schema.select(side, "dense")),
        multi_valued=tuple(f.name for f in schema.select(side, "multi_valued")),
    )


class _Lowering:
    """The state of one lowering: where each node's value goes, and what is written so far."""

    def __init__(
        self,
        graph: RankingGraph,
        parameters: Parameters,
        precisions: Mapping[int, Precision],
        storages: Mapping[str, Storage],
    ) -> None:
        self.nodes, self.score, self.given_tables = graph.nodes, graph.score_of, graph.computed
        self.parameters, self.precisions = parameters, precisions
        whole = {op.table for op in graph.nodes if isinstance(op, RowSum)}  # float32 at all times
        self.storages = {k: v for k, v in storages.items() if k not in whole}
        self.widths = node_widths(graph, parameters)
        self.per_block = [side != "context" for side in graph.sides()]
        self.uses = self._count_uses()
        self.buffers = Buffers()
        self.places: dict[int, Place] = {}
        self.absorbed: dict[int, int] = {}  # node to the Sum or Relu that writes it out
        self.arrays: dict[str, NDArray[Any]] = {}
        self.tables: dict[str, Storage] = {}
        self.computed: dict[str, AnyComputed] = {}
        self.slots: dict[int, str] = {}

    def run(self) -> Arenas:
        """Place every live node, then write them out in order."""
        for position in reversed(range(len(self.nodes))):
            if self.uses[position]:
                self._plan(position)
        self._lower_computed()
        for position in range(len(self.nodes)):
            if self.uses[position]:
                self._view(position)
                if position not in self.absorbed and self.widths[position]:
                    self._write(position)
        result = self.places[self.score]
        if not result.per_block:
            result = self._for_block(result)
        bfloat16_dots = self._bfloat16_dots()
        join_record_steps(self.buffers, result, bfloat16_dots)
        steps, widths = self.buffers.steps[True], self.buffers.widths
        self.buffers.pairs = buffers_of_pairs(steps, widths, result, bfloat16_dots)
        return self.buffers.finish(result)

    def _bfloat16_dots(self) -> set[Place]:
        """Results of dots that may read their vectors in bfloat16."""
        return {
            self.places[position]
            for position, precision in self.precisions.items()
            if precision == "bfloat16" and position in self.places
            if isinstance(self.nodes[position], PairDots | CrossDots)
        }

    def _count_uses(self) -> list[int]:
        """How often each node is read by nodes the score depends on; 0 means it is not needed."""
        uses = [0] * len(self.nodes)
        uses[self.score] = 1
        for position in reversed(range(len(self.nodes))):
            if uses[position]:
                for read in reads(self.nodes[position]):
                    uses[read] += 1
        return uses

    # Planning, last node first: who writes where.

    def _plan(self, position: int) -> None:
        op = self.nodes[position]
        if isinstance(op, Slice):
            return  # a view, when what it views has its place
        if position in self.absorbed and position not in self.places:
            return  # written by its reader alone
        if position not in self.places:
            self.places[position] = self.buffers.new(
                self.widths[position], per_block=self.per_block[position]
            )
        place = self.places[position]
        match op:
            case Concat():
                start = 0
                for part in op.parts_of:
                    same_arena = self.per_block[part] == self.per_block[position]
                    is_view = isinstance(self.nodes[part], Slice)
                    if self._is_free(part) and same_arena and not is_view:
                        self.places[part] = place.part(start, self.widths[part])
                    start += self.widths[part]
            case Relu() if self._is_own(op.x_of, position):
                if isinstance(self.nodes[op.x_of], (*LAYERS, *MADE_IN_PLACE)):
                    self.places[op.x_of] = place
                if self._ends_in_layer(op.x_of):
                    self.absorbed[position] = op.x_of
            case Affine() if self._is_own(op.x_of, position):
                if isinstance(self.nodes[op.x_of], (*LAYERS, *MADE_IN_PLACE)):
                    self.places[op.x_of] = place
            case Sum():
                self._plan_sum(position, op, place)

    def _plan_sum(self, position: int, op: Sum, place: Place) -> None:
        """Layers only this sum reads are added up here; one other term is written here at once."""
        shared = False
        for term in op.terms_of:
            if self.uses[term] != 1 or not self._is_free(term):
                continue
            if isinstance(self.nodes[term], LAYERS):
                self.absorbed[term] = position
            elif (
                not shared
                and self.per_block[term] == self.per_block[position]
                and isinstance(self.nodes[term], MADE_IN_PLACE)
            ):
                self.places[term] = place
                shared = True

    def _is_free(self, position: int) -> bool:
        return position not in self.places and position not in self.absorbed

    def _is_own(self, x: int, reader: int) -> bool:
        """Whether only `reader` reads x, in the same arena, and x has no place yet."""
        same = self.per_block[x] == self.per_block[reader]
        return self.uses[x] == 1 and same and self._is_free(x)

    def _ends_in_layer(self, position: int) -> bool:
        """Whether the last step that writes a node will be a layer, which can clamp as well."""
        op = self.nodes[position]
        if isinstance(op, LAYERS):
            return True
        own = [t for t in getattr(op, "terms_of", ()) if isinstance(self.nodes[t], LAYERS)]
        here = self.per_block[position]
        return isinstance(op, Sum) and any(
            self.uses[t] == 1 and self._is_free(t) and self.per_block[t] == here for t in own
        )

    def _view(self, position: int) -> None:
        op = self.nodes[position]
        if isinstance(op, Slice):
            self.places[position] = self.places[op.x_of].part(op.start, op.stop - op.start)

    # Writing, first node first.

    def _write(self, position: int) -> None:
        op, out = self.nodes[position], self.places[position]
        emit, here = self.buffers.emit, self.per_block[position]
        match op:
            case Lookup():
                self._table(op.table)
                emit(LookupRow, per_block=here, out=out, column=op.column, table=op.table)
            case Pool():
                self._table(op.table)
                fields = {"column": op.column, "table": op.table, "norm": op.norm}
                emit(PoolRows, per_block=here, out=out, **fields)
            case RowSum():
                self._row_sum(op, out)
            case Dense():
                emit(LoadDense, per_block=here, out=out, columns=op.columns)
            case Given():
                emit(LoadGiven, per_block=here, out=out)
            case Record():
                emit(LoadRecord, per_block=here, out=out, start=op.start)
            case Affine():
                self._affine(op, out)
            case Relu():
                emit(ClampNegative, per_block=here, out=out, x=self._at(op.x_of, here))
            case Multiply():
                x, y = op.x_of, op.y_of
                if here and not self.per_block[x]:
                    x, y = y, x
                emit(MultiplyTiles, per_block=here, out=out, x=self.places[x], y=self.places[y])
            case Concat():
                self._concat(op, out)
            case PairDots():
                emit(DotsOfPairs, per_block=here, out=out, x=self.places[op.x_of], dim=op.dim)
            case CrossDots():
                self._cross_dots(op, out)
            case Linear() | CrossLinear() | ScaledLinear():
                pieces, biases = self._pieces(position, op)
                clamps = self._clamps(position)
                self._add_up(out, [], pieces, self._constant(biases), None, relu=clamps)
            case Sum():
                self._sum(position, op, out)

    def _at(self, position: int, per_block: bool) -> Place:
        """A node's value in an arena; a query's is given to all candidates if it must be."""
        place = self.places[position]
        return self._for_block(place) if per_block and not place.per_block else place

    def _for_block(self, place: Place) -> Place:
        spread = self.buffers.new(place.width, per_block=True)
        self.buffers.emit(CopyTile, per_block=True, out=spread, x=place)
        return spread

    def _clamps(self, position: int) -> bool:
        """Whether the Relu that reads a node is done by the node's last layer."""
        return position in self.absorbed.values() and any(
            by == position and isinstance(self.nodes[relu], Relu)
            for relu, by in self.absorbed.items()
        )

    def _affine(self, op: Affine, out: Place) -> None:
        scale = None
        if op.multiply:
            scale = np.asarray(self.parameters[op.multiply], np.float64)
        if op.divide:
            divide = np.asarray(self.parameters[op.divide], np.float64)
            scale = (1.0 if scale is None else scale) / divide
        fields = {
            "x": self.places[op.x_of],
            "subtract": self._vector(op.subtract),
            "scale": "" if scale is None else self._made(scale),
        }
        self.buffers.emit(Scale, per_block=out.per_block, out=out, **fields)

    def _row_sum(self, op: RowSum, out: Place) -> None:
        self._table(op.table)
        weighting = self._vector(op.weighting)
        fields = {"list_column": op.list_column, "id_column": op.id_column}
        self.buffers.emit(
            SumRow, per_block=True, out=out, table=op.table, weighting=weighting, **fields
        )

    def _concat(self, op: Concat, out: Place) -> None:
        """Copy the parts that could not be written in place."""
        start = 0
        for part in op.parts_of:
            target = out.part(start, self.widths[part])
            if target.width and self.places[part] != target:
                source = self.places[part]
                self.buffers.emit(CopyTile, per_block=out.per_block, out=target, x=source)
            start += self.widths[part]

    def _cross_dots(self, op: CrossDots, out: Place) -> None:
        x, y = self._at(op.x_of, out.per_block), self.places[op.y_of]
        self.buffers.emit(DotsAcross, per_block=out.per_block, out=out, x=x, y=y, dim=op.dim)

    def _pieces(self, position: int, op: AnyOp) -> tuple[list[Piece], list[str]]:
        """A layer as products to add up, after writing what they read; and its bias."""
        precision: Precision = self.precisions.get(position, "float32")
        match op:
            case Linear():
                weight = self._layer(op.weight)
                return [(self.places[op.x_of], weight, False, precision)], [op.bias][
                    : bool(op.bias)
                ]
            case CrossLinear():
                if self._binds(op.x_of, op.y_of) and self.widths[op.y_of]:
                    return [(self.places[op.x_of], self._slot(position, op), True, precision)], []
                here = self.per_block[position]
                pairs = self.parameters[op.weight].shape[-1]
                dots = self.buffers.new(pairs, per_block=here)
                if pairs:
                    self._cross_dots(CrossDots(x_of=op.x_of, y_of=op.y_of, dim=op.dim), dots)
                return [(dots, self._layer(op.weight), False, precision)], []
            case ScaledLinear():
                if self._binds(op.x_of, op.y_of):
                    return [(self.places[op.x_of], self._slot(position, op), True, precision)], []
                here = self.per_block[position]
                product = self.buffers.new(self.widths[op.x_of], per_block=here)
                x, y = op.x_of, op.y_of
                if here and not self.per_block[x]:
                    x, y = y, x
                fields = {"x": self.places[x], "y": self.places[y]}
                self.buffers.emit(MultiplyTiles, per_block=here, out=product, **fields)
                pieces: list[Piece] = [(product, self._layer(op.weight), False, precision)]
                if op.base:
                    x_place = self._at(op.x_of, here)
                    pieces.append((x_place, self._layer(op.base), False, precision))
                return pieces, []
        raise AssertionError(f"{op} is no layer")

    def _binds(self, x: int, y: int) -> bool:
        """Whether y is the query's and x the candidate's, so that y can be put into the matrix."""
        return self.per_block[x] and not self.per_block[y] and self.widths[x] > 0

    def _slot(self, position: int, op: CrossLinear | ScaledLinear) -> str:
        if position in self.slots:
            return self.slots[position]
        slot = self.slots[position] = f"built{position}"
        fields: dict[str, Any] = {
            "slot": slot,
            "y": self.places[op.y_of],
            "weight": self._layer(op.weight),
            "precision": self.precisions.get(position, "float32"),
        }
        if isinstance(op, CrossLinear):
            self.buffers.emit(BuildCross, per_block=False, dim=op.dim, **fields)
        else:
            base = self._layer(op.base) if op.base else ""
            self.buffers.emit(BuildScaled, per_block=False, base=base, **fields)
        return slot

    def _sum(self, position: int, op: Sum, out: Place) -> None:
        """Own terms are added up in place; those of the query become the first layer's bias."""
        own = [t for t in op.terms_of if self.per_block[t] == out.per_block]
        once = [t for t in op.terms_of if self.per_block[t] != out.per_block]
        places, pieces, biases = self._terms(own, position)
        constant, bias_at = self._constant(biases), None
        if once:
            constant, bias_at = "", self._context_part(once, position, biases, out.width)
        relu = self._clamps(position)
        self._add_up(out, places, pieces, constant, bias_at, relu=relu)

    def _context_part(
        self, terms: list[int], position: int, biases: list[str], width: int
    ) -> Place:
        """The query's share of a block's sum, the biases of the block's layers included."""
        places, pieces, more = self._terms(terms, position)
        biases = biases + more
        if len(places) == 1 and not pieces and not biases:
            return places[0]
        total = self.buffers.new(width, per_block=False)
        self._add_up(total, places, pieces, self._constant(biases), None, relu=False)
        return total

    def _terms(self, terms: list[int], position: int) -> tuple[list[Place], list[Piece], list[str]]:
        """Terms of a sum: those that are there already, layers to add, and the layers' biases."""
        places, pieces, biases = [], [], []
        for term in terms:
            if self.absorbed.get(term) == position:
                more, bias = self._pieces(term, self.nodes[term])
                pieces += more
                biases += bias
            else:
                places.append(self.places[term])
        return places, pieces, biases

    def _add_up(
        self,
        out: Place,
        places: list[Place],
        pieces: list[Piece],
        bias: str,
        bias_at: Place | None,
        *,
        relu: bool,
    ) -> None:
        """Write the sum of values, layers and a bias, in this order of terms."""
        emit, here = self.buffers.emit, out.per_block
        values = [p for p in places if p == out] + [p for p in places if p != out]
        while len(values) > 1:
            emit(AddTiles, per_block=here, out=out, x=values[0], y=values[1])
            values = [out, *values[2:]]
        addend = values[0] if values else None
        for number, (x, weight, built, precision) in enumerate(pieces):
            emit(
                Layer,
                per_block=here,
                out=out,
                x=x,
                weight=weight,
                built=built,
                precision=precision,
                bias="" if number else bias,
                bias_at=None if number else bias_at,
                addend=out if number else addend,
                relu=relu and number == len(pieces) - 1,
            )
        if pieces:
            return
        if bias and addend is not None:
            lowered = self._made(-np.asarray(self.arrays[bias]))
            emit(Scale, per_block=here, out=out, x=addend, subtract=lowered, scale="")
        elif bias_at is not None and addend is not None:
            emit(AddTiles, per_block=here, out=out, x=addend, y=bias_at)
        elif addend is not None and addend != out:
            emit(CopyTile, per_block=here, out=out, x=addend)

    # Arrays.

    def _lower_computed(self) -> None:
        """Tables whose rows are made for each call, and what these are made from, in float32."""
        live = {
            op.table
            for op, uses in zip(self.nodes, self.uses, strict=True)
            if uses and isinstance(op, Lookup | Pool | RowSum)
        }
        for table in self.given_tables:
            if table.name in live:
                self.computed[table.name], arrays = lower_computed(table, self.parameters)
                self.arrays |= arrays

    def _table(self, name: str) -> None:
        if name in self.computed:
            return
        storage = self.storages.get(name, "float32")
        if name not in self.tables:
            rows = _as_rows(self.parameters[name])
            if name in self.arrays and storage != "float32":
                storage = "float32"  # shared with a layer
            self.tables[name] = storage
            self.arrays[name] = rows if storage == "float32" else to_storage(rows, storage)

    def _layer(self, name: str) -> str:
        stored = self.parameters[name]
        if self.tables.get(name, "float32") != "float32":
            name = f"{name} as a layer"
        if name not in self.arrays:
            plain = stored.dtype == np.float32 and stored.ndim == 2 and stored.flags.c_contiguous
            self.arrays[name] = (
                stored if plain else np.ascontiguousarray(np.atleast_2d(stored), np.float32)
            )
        return name

    def _vector(self, name: str) -> str:
        if name and name not in self.arrays:
            stored = self.parameters[name]
            if stored.ndim != 1:
                raise ModelError(f"parameter {name!r} has shape {stored.shape}, must be a vector")
            self.arrays[name] = np.ascontiguousarray(stored, np.float32)
        return name

    def _constant(self, names: list[str]) -> str:
        """The name of the sum of vectors; empty for none."""
        if len(names) <= 1:
            return self._vector(names[0]) if names else ""
        return self._made(sum(np.asarray(self.parameters[n], np.float64) for n in names))

    def _made(self, values: Any) -> str:
        name = f"made{len(self.arrays)}"
        self.arrays[name] = np.ascontiguousarray(values, np.float32)
        return name


def _as_rows(table: NDArray[Any]) -> NDArray[Any]:
    """A table as contiguous float32 (ids, d), the parameter itself if it is that already."""
    if table.ndim == 2 and table.dtype == np.float32 and table.flags.c_contiguous:
        return table
    return np.ascontiguousarray(table.reshape(table.shape[0], -1), np.float32)
