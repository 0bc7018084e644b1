"""What compiling a model does, in words and numbers."""

from pathlib import Path

from recfunnel.compile.computed import row_flops, stored_bytes
from recfunnel.compile.load import StoredGraph, load_graph
from recfunnel.compile.passes import Compiled, CompileOptions, PassReport, compile_graph
from recfunnel.compile.widths import Parameters, node_widths
from recfunnel.compile.work import Work, graph_work
from recfunnel.core.computed import AnyComputed, Decoded, HashedRows, QuotientRemainder
from recfunnel.core.features import FeatureKind, FeatureSchema, Side
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
    NodeSide,
    PairDots,
    Pool,
    RankingGraph,
    Record,
    Relu,
    RowSum,
    ScaledLinear,
    Slice,
    Sum,
)
from recfunnel.core.spec import Value

NORMS = {"sum": "sum", "mean": "mean", "l2": "sum over its root of squares"}


class NodeWords(Value, frozen=True):
    """A node in words.

    Args:
        name: what others call it, such as `p12`; the letter says which graph it is of.
        text: what it computes.
        width: numbers it gives.
        precision: of its weights.
    """

    name: str
    text: str
    width: int
    precision: str = "float32"


class ComputedWords(Value, frozen=True):
    """A table that was trained computed, and what storing it whole costs and saves.

    Args:
        name: of the table.
        features: that look rows up in it.
        text: how its rows are computed.
        num_ids: rows.
        flops_per_row: arithmetic of one row.
        parameter_bytes: of what it is computed from, parameters shared with others included.
        stored_bytes: of the table with all its rows.
        is_stored: whether compiling stored it.
    """

    name: str
    features: tuple[str, ...]
    text: str
    num_ids: int
    flops_per_row: int
    parameter_bytes: int
    stored_bytes: int
    is_stored: bool


class Explanation(Value, frozen=True):
    """What compiling a model did.

    Args:
        model: its name.
        num_candidates: B that was compiled for.
        trained: work of the graph as trained.
        passes: what each pass did, in order.
        record_width: numbers in one item's record; None without a compiled catalogue.
        item: nodes computed once an item and stored as its record.
        query: nodes computed once a query.
        candidate: nodes computed for each candidate of a query.
        computed: tables that were trained computed.
    """

    model: str
    num_candidates: int
    trained: Work
    passes: tuple[PassReport, ...]
    record_width: int | None
    item: tuple[NodeWords, ...]
    query: tuple[NodeWords, ...]
    candidate: tuple[NodeWords, ...]
    computed: tuple[ComputedWords, ...] = ()

    @property
    def compiled(self) -> Work:
        """Work after the last pass."""
        return self.passes[-1].after if self.passes else self.trained


def explain(folder: Path, options: CompileOptions) -> Explanation:
    """Compile a finished model and say what that did.

    Args:
        folder: `models/NAME` of a run folder.
        options: what compiling may do.

    Raises:
        ModelError: the model has no graph.
        StorageError: the folder is missing, damaged, or of an earlier version.
    """
    stored = load_graph(folder)
    compiled = compile_graph(stored.graph, stored.parameters, options)
    sides: tuple[NodeSide, ...] = ("candidate", "pair")
    split = compiled.split
    return Explanation(
        model=stored.name,
        num_candidates=options.num_candidates,
        trained=graph_work(stored.graph, stored.parameters),
        passes=compiled.reports,
        record_width=None if split is None else split.width,
        item=()
        if split is None or not split.width
        else _in_words(split.items, split.item_parameters, stored, "i", ("candidate",)),
        query=_of_pairs(compiled, stored, ("context",)),
        candidate=_of_pairs(compiled, stored, sides),
        computed=tuple(
            _computed(table, stored, is_stored=table not in compiled.graph.computed)
            for table in stored.graph.computed
        ),
    )


def _computed(table: AnyComputed, stored: StoredGraph, *, is_stored: bool) -> ComputedWords:
    parameters = stored.parameters
    return ComputedWords(
        name=table.name,
        features=_looked_up_by(table, stored),
        text=_how_computed(table, parameters),
        num_ids=table.num_ids,
        flops_per_row=row_flops(table, parameters),
        parameter_bytes=sum(parameters[name].nbytes for name in set(table.parameter_names)),
        stored_bytes=stored_bytes(table, parameters),
        is_stored=is_stored,
    )


def _looked_up_by(table: AnyComputed, stored: StoredGraph) -> tuple[str, ...]:
    """Names of the features whose ids name rows of a table."""
    found: dict[str, None] = {}
    for op in stored.graph.nodes:
        if isinstance(op, Lookup | Pool) and op.table == table.name:
            kind: FeatureKind = "categorical" if isinstance(op, Lookup) else "multi_valued"
            found[_feature(stored.schema, op.side, kind, op.column)] = None
    return tuple(found)


def _how_computed(table: AnyComputed, parameters: Parameters) -> str:
    match table:
        case Decoded():
            widths = [parameters[layer.weight].shape[0] for layer in table.layers]
            chain = "-".join(map(str, (table.codes.num_codes, *widths)))
            return f"decoder {chain} on {table.codes.num_codes} codes of an id"
        case HashedRows():
            return f"row of {parameters[table.table].shape[0]:,} by the id's hash"
        case QuotientRemainder():
            rows = " and ".join(f"{parameters[n].shape[0]:,}" for n in table.parameter_names)
            return f"rows of two tables of {rows} by quotient and remainder of the id"


def _of_pairs(
    compiled: Compiled, stored: StoredGraph, sides: tuple[NodeSide, ...]
) -> tuple[NodeWords, ...]:
    precisions = dict[int, str](compiled.precisions.layers)
    graph, parameters = compiled.pair_graph, compiled.pair_parameters
    return _in_words(graph, parameters, stored, "p", sides, precisions)


def _in_words(
    graph: RankingGraph,
    parameters: Parameters,
    stored: StoredGraph,
    letter: str,
    sides: tuple[NodeSide, ...],
    precisions: dict[int, str] | None = None,
) -> tuple[NodeWords, ...]:
    widths = node_widths(graph, parameters)
    return tuple(
        NodeWords(
            name=f"{letter}{position}",
            text=_words(op, stored, letter),
            width=widths[position],
            precision=(precisions or {}).get(position, "float32"),
        )
        for position, (op, side) in enumerate(zip(graph.nodes, graph.sides(), strict=True))
        if side in sides
    )


def _words(op: AnyOp, stored: StoredGraph, letter: str) -> str:
    """What an operation computes, features by their names."""

    def feature(side: Side, kind: FeatureKind, column: int) -> str:
        return _feature(stored.schema, side, kind, column)

    def of(*positions: int) -> str:
        return ", ".join(f"{letter}{position}" for position in positions)

    match op:
        case Lookup():
            return f"row of {feature(op.side, 'categorical', op.column)} in {op.table}"
        case Pool():
            name = feature(op.side, "multi_valued", op.column)
            return f"{NORMS[op.norm]} of the rows of {name} in {op.table}"
        case RowSum():
            listed = feature("context", "multi_valued", op.list_column)
            name = feature("candidate", "categorical", op.id_column)
            return f"sum over {listed} of its weights at {name} in {op.table}"
        case Dense():
            return ", ".join(feature(op.side, "dense", column) for column in op.columns)
        case Given():
            return f"scores of {', '.join(stored.score_inputs)}"
        case Record():
            return f"columns {op.start} to {op.stop} of the item's record"
        case Affine():
            return f"{of(op.x_of)} shifted and scaled"
        case Linear():
            return f"layer {op.weight} on {of(op.x_of)}"
        case Relu():
            return f"ReLU of {of(op.x_of)}"
        case Sum():
            return f"sum of {of(*op.terms_of)}"
        case Multiply():
            return f"product of {of(op.x_of, op.y_of)}"
        case Concat():
            return f"{of(*op.parts_of)} side by side"
        case Slice():
            return f"columns {op.start} to {op.stop} of {of(op.x_of)}"
        case PairDots():
            return f"dots of all pairs of vectors in {of(op.x_of)}"
        case CrossDots():
            return f"dots of the vectors in {of(op.x_of)} with those in {of(op.y_of)}"
        case CrossLinear():
            layer = f"layer {op.weight} on the dots with {of(op.y_of)}"
            return f"{layer}, one matrix a query, on {of(op.x_of)}"
        case ScaledLinear():
            layer = f"layer {op.weight} on the product with {of(op.y_of)}"
            base = f" plus {op.base}" if op.base else ""
            return f"{layer}{base}, one matrix a query, on {of(op.x_of)}"


def _feature(schema: FeatureSchema, side: Side, kind: FeatureKind, column: int) -> str:
    return schema.select(side, kind)[column].name
