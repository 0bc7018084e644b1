"""The small form in which a ranking model leaves its framework: what is computed from what.

A graph is a list of nodes, each naming the earlier nodes it reads. Runtimes, passes and exporters
share it; none of them needs the framework the model was trained in. Parameters are named, and live
beside the graph as plain arrays. A table that nodes look up may be computed instead of stored, see
`core.computed`.

Every node belongs to a *side*, which follows from what it reads: `context` is the same for all
candidates of a query, `candidate` the same for an item in every query, `pair` differs for each.
Values are rows of float32 of a fixed width: one row a query, an item, or a pair.

Letters: K inputs and N outputs of a layer, d dimensions of a vector, U and V vectors side by side.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import msgspec

from recfunnel.core.computed import AnyComputed
from recfunnel.core.errors import ModelError
from recfunnel.core.features import Side
from recfunnel.core.spec import Value

GRAPH_FILE = "graph.json"
"""Where a finished model's folder keeps its graph; absent when the model has none."""

PARAMETERS_FILE = "parameters.safetensors"
"""Where it keeps the parameters, by name."""

NodeSide = Literal["context", "candidate", "pair"]
Norm = Literal["sum", "mean", "l2"]
T = TypeVar("T", bound="Op")


class Op(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="op"):
    """Base of all operations. Fields that end in `_of` hold positions of earlier nodes."""


class Lookup(Op, frozen=True, tag="lookup"):
    """The table row of a categorical feature: d wide.

    Args:
        side: whose feature.
        column: of that side's categorical features.
        table: parameter (ids, d), or (ids,) for d = 1; or a computed table.
    """

    side: Side
    column: int
    table: str


class Pool(Op, frozen=True, tag="pool"):
    """Weighted sum of table rows over a multi-valued feature, divided by a norm: d wide.

    Args:
        side: whose feature.
        column: of that side's multi-valued features.
        table: parameter (ids, d), or a computed table.
        norm: `sum` divides by nothing, `mean` by the sum of |weight|, `l2` by the root of the sum
            of weight²; norms below 1e-12 count as 1e-12, so that an empty list gives zeros.
    """

    side: Side
    column: int
    table: str
    norm: Norm = "sum"


class RowSum(Op, frozen=True, tag="row_sum"):
    """Sum over a context's list of weight times table[listed id, candidate's id]: 1 wide.

    Args:
        list_column: of the context's multi-valued features.
        id_column: of the candidates' categorical features.
        table: parameter (ids, ids), or a computed table.
        weighting: parameter (W,), what weights 1, 2, ... W count as, linear in between and constant
            outside; empty takes weights as they are.
    """

    list_column: int
    id_column: int
    table: str
    weighting: str = ""


class Dense(Op, frozen=True, tag="dense"):
    """Some dense features of a side.

    Args:
        side: whose.
        columns: of that side's dense features.
    """

    side: Side
    columns: tuple[int, ...]


class Given(Op, frozen=True, tag="given"):
    """Scores of the models this one reads, as the call brings them.

    Args:
        width: S, how many.
    """

    width: int


class Affine(Op, frozen=True, tag="affine"):
    """(x - subtract) / divide * multiply, column by column; a part left empty does nothing.

    Args:
        x_of: position of x.
        subtract: parameter (width,).
        divide: parameter (width,).
        multiply: parameter (width,).
    """

    x_of: int
    subtract: str = ""
    divide: str = ""
    multiply: str = ""


class Linear(Op, frozen=True, tag="linear"):
    """x · weightᵀ + bias: N wide.

    Args:
        x_of: position of x, K wide.
        weight: parameter (N, K), or (K,) for N = 1.
        bias: parameter (N,); empty for none.
    """

    x_of: int
    weight: str
    bias: str = ""


class Relu(Op, frozen=True, tag="relu"):
    """max(x, 0).

    Args:
        x_of: position of x.
    """

    x_of: int


class Sum(Op, frozen=True, tag="sum"):
    """Sum of values of one width, from any sides.

    Args:
        terms_of: their positions, at least one.
    """

    terms_of: tuple[int, ...]


class Multiply(Op, frozen=True, tag="multiply"):
    """Product, column by column.

    Args:
        x_of: position of one.
        y_of: position of the other, as wide.
    """

    x_of: int
    y_of: int


class Concat(Op, frozen=True, tag="concat"):
    """Values side by side.

    Args:
        parts_of: their positions, at least one.
    """

    parts_of: tuple[int, ...]


class Slice(Op, frozen=True, tag="slice"):
    """Columns start to stop of x.

    Args:
        x_of: position of x.
        start: first column.
        stop: one past the last.
    """

    x_of: int
    start: int
    stop: int


class PairDots(Op, frozen=True, tag="pair_dots"):
    """Dots of all unordered pairs of different vectors: V(V-1)/2 wide.

    In the order (1, 0), (2, 0), (2, 1), (3, 0), ...

    Args:
        x_of: position of V vectors side by side.
        dim: d.
    """

    x_of: int
    dim: int


class CrossDots(Op, frozen=True, tag="cross_dots"):
    """Dots of each vector of x with each of y: V·U wide, x outermost.

    Args:
        x_of: position of V vectors side by side.
        y_of: position of U vectors.
        dim: d.
    """

    x_of: int
    y_of: int
    dim: int


class CrossLinear(Op, frozen=True, tag="cross_linear"):
    """A linear layer on `CrossDots`, made by a pass: N wide.

    With y constant in a query it is one (N, V·d) matrix a query, applied to x.

    Args:
        x_of: position of V vectors side by side.
        y_of: position of U vectors.
        dim: d.
        weight: parameter (N, V·U).
    """

    x_of: int
    y_of: int
    dim: int
    weight: str


class ScaledLinear(Op, frozen=True, tag="scaled_linear"):
    """Linear(x, base) + Linear(x · y column by column, weight), made by a pass: N wide.

    With y constant in a query it is one (N, K) matrix a query, applied to x.

    Args:
        x_of: position of x, K wide.
        y_of: position of y, K wide.
        weight: parameter (N, K).
        base: parameter (N, K); empty for none.
    """

    x_of: int
    y_of: int
    weight: str
    base: str = ""


class Record(Op, frozen=True, tag="record"):
    """Columns of the candidate's record in a compiled catalogue, made by a pass.

    Args:
        start: first column.
        stop: one past the last.
    """

    start: int
    stop: int


AnyOp = (
    Lookup
    | Pool
    | RowSum
    | Dense
    | Given
    | Affine
    | Linear
    | Relu
    | Sum
    | Multiply
    | Concat
    | Slice
    | PairDots
    | CrossDots
    | CrossLinear
    | ScaledLinear
    | Record
)


def reads(op: Op) -> tuple[int, ...]:
    """Positions of the nodes an operation reads, in the order of its fields."""
    found: list[int] = []
    for name in op.__struct_fields__:
        if name.endswith("_of"):
            value = getattr(op, name)
            found += [value] if isinstance(value, int) else value
    return tuple(found)


def with_reads(op: T, moved: Mapping[int, int]) -> T:
    """The same operation, reading other positions.

    Args:
        op: an operation.
        moved: new position for each position it reads.

    Returns:
        A copy.
    """
    changes = {
        name: moved[value] if isinstance(value, int) else tuple(moved[i] for i in value)
        for name in op.__struct_fields__
        if name.endswith("_of") and (value := getattr(op, name)) is not None
    }
    return msgspec.structs.replace(op, **changes)


def parameters_of(op: Op) -> tuple[str, ...]:
    """Names of the parameters and computed tables an operation reads."""
    names = ("table", "weighting", "subtract", "divide", "multiply", "weight", "bias", "base")
    found = [getattr(op, name, "") for name in names]
    return tuple(name for name in found if isinstance(name, str) and name)


def side_of(op: Op, sides: Sequence[NodeSide]) -> NodeSide:
    """The side of an operation.

    Args:
        op: an operation.
        sides: of all earlier nodes.

    Returns:
        Its own for what reads features, the common one of what it reads, or `pair`.
    """
    if isinstance(op, Lookup | Pool | Dense):
        return op.side
    if isinstance(op, Record):
        return "candidate"
    if isinstance(op, Given | RowSum):
        return "pair"
    below = {sides[i] for i in reads(op)}
    return below.pop() if len(below) == 1 else "pair"


class RankingGraph(Value, frozen=True):
    """A whole model: from features to one score a candidate.

    Args:
        nodes: operations, each reading only earlier ones.
        score_of: position of the score, 1 wide; higher ranks first.
        computed: tables that nodes look up and that are not stored.
    """

    nodes: tuple[AnyOp, ...]
    score_of: int
    computed: tuple[AnyComputed, ...] = ()

    def __post_init__(self) -> None:
        for position, op in enumerate(self.nodes):
            for read in reads(op):
                if not 0 <= read < position:
                    raise ModelError(
                        f"node {position} of a ranking graph reads node {read}; "
                        "nodes may read only earlier ones"
                    )
        if not 0 <= self.score_of < len(self.nodes):
            raise ModelError(f"a graph of {len(self.nodes)} nodes has no node {self.score_of}")
        if len(self.computed_by_name) < len(self.computed):
            names = ", ".join(table.name for table in self.computed)
            raise ModelError(f"computed tables need different names; got {names}")

    @property
    def computed_by_name(self) -> dict[str, AnyComputed]:
        """Computed tables by name."""
        return {table.name: table for table in self.computed}

    @property
    def parameter_names(self) -> frozenset[str]:
        """Names of all parameters that are read, by nodes or by computed tables."""
        named = {name for op in self.nodes for name in parameters_of(op)}
        computed = self.computed_by_name
        below = {
            name for table in named & set(computed) for name in computed[table].parameter_names
        }
        return frozenset(named - set(computed) | below)

    def sides(self) -> tuple[NodeSide, ...]:
        """The side of each node."""
        found: list[NodeSide] = []
        for op in self.nodes:
            found.append(side_of(op, found))
        return tuple(found)
