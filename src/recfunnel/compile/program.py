"""A program: a ranking graph written out as instructions over tiles, as the tile machine runs them.

Two lists. The `query` list runs once a query, on what is known of its context; the `block` list for
each block of candidates. A tile is some rows of its list's arena, one number a row for each
candidate of the block (one in all at the query list). A block instruction may read query tiles.
What a block's layers and dots read in bfloat16 alone is kept so, two numbers a row.

An instruction's name and fields are those of the machine's method that takes it.

Letters: K inputs and N outputs of a layer, U and V vectors of d numbers each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from numpy.typing import NDArray

from recfunnel.compile.widths import Parameters
from recfunnel.core.computed import AnyComputed
from recfunnel.core.errors import StorageError
from recfunnel.core.graph import Norm
from recfunnel.core.spec import Value, to_builtins
from recfunnel.core.storage import load_arrays, save_arrays

Precision = Literal["float32", "bfloat16", "int8"]
"""What a layer's products are computed in; sums are always float32 (int32 within an int8 dot)."""

Storage = Literal["float32", "float16", "bfloat16", "int8"]
"""What rows are kept as; an int8 row begins with one float32 scale."""


class Tile(Value, frozen=True, array_like=True):
    """Rows of an arena.

    Args:
        per_block: of the block's arena; false means the query's.
        row: first.
        width: how many numbers a candidate has.
        pairs: they are kept as bfloat16, two a row.
    """

    per_block: bool
    row: int
    width: int
    pairs: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """Base of all instructions; `out` is written, and says by its arena when the step runs."""


class LookupRow(Step, frozen=True, tag="lookup"):
    """A table row by a categorical feature of the side the step runs on."""

    out: Tile
    column: int
    table: str


class PoolRows(Step, frozen=True, tag="pool"):
    """The weighted sum of table rows over a multi-valued feature, divided by its norm."""

    out: Tile
    column: int
    table: str
    norm: Norm


class SumRow(Step, frozen=True, tag="row_sum"):
    """Sum over a context's list of weight times table[listed id, candidate's id]."""

    out: Tile
    list_column: int
    id_column: int
    table: str
    weighting: str


class LoadDense(Step, frozen=True, tag="dense"):
    """Dense features of the side the step runs on."""

    out: Tile
    columns: tuple[int, ...]


class LoadGiven(Step, frozen=True, tag="given"):
    """The given scores."""

    out: Tile


class LoadRecord(Step, frozen=True, tag="record"):
    """Columns of the candidates' records from `start`, as many as `out` is wide."""

    out: Tile
    start: int


class Scale(Step, frozen=True, tag="affine"):
    """(x - subtract) · scale, row by row; an empty name does nothing. `out` may be `x`."""

    out: Tile
    x: Tile
    subtract: str
    scale: str


class Layer(Step, frozen=True, tag="linear"):
    """weight · x, plus what is given of a bias and an addend, then max(·, 0) if `relu`.

    Args:
        out: N rows.
        x: K rows.
        weight: array (N, K); or the slot of a matrix built for the query, when `built`.
        built: whether `weight` names a slot.
        precision: of the products.
        bias: array (N,); may be empty.
        bias_at: a query tile to use as bias.
        addend: a tile of the same arena; may be `out` itself.
        relu: whether negative results become 0.
    """

    out: Tile
    x: Tile
    weight: str
    built: bool
    precision: Precision
    bias: str
    bias_at: Tile | None
    addend: Tile | None
    relu: bool


class BuildCross(Step, frozen=True, tag="build_cross"):
    """Build the matrix (N, V·d) of dots with y followed by a layer, into a slot, once a query.

    Args:
        slot: name of the result.
        y: U query vectors.
        weight: array (N, V·U).
        dim: d.
        precision: of the products the matrix is for.
    """

    slot: str
    y: Tile
    weight: str
    dim: int
    precision: Precision


class BuildScaled(Step, frozen=True, tag="build_scaled"):
    """Build the matrix base + weight · y, column by column, into a slot, once a query.

    Args:
        slot: name of the result.
        y: K numbers of the query.
        weight: array (N, K).
        base: array (N, K); may be empty.
        precision: of the products the matrix is for.
    """

    slot: str
    y: Tile
    weight: str
    base: str
    precision: Precision


class ClampNegative(Step, frozen=True, tag="relu"):
    """max(x, 0). `out` may be `x`."""

    out: Tile
    x: Tile


class AddTiles(Step, frozen=True, tag="add"):
    """x + y; y may be a query tile, `out` may be `x`."""

    out: Tile
    x: Tile
    y: Tile


class MultiplyTiles(Step, frozen=True, tag="multiply"):
    """x · y, row by row; y may be a query tile."""

    out: Tile
    x: Tile
    y: Tile


class CopyTile(Step, frozen=True, tag="copy"):
    """x again, elsewhere; a query tile is given to every candidate of a block."""

    out: Tile
    x: Tile


class DotsOfPairs(Step, frozen=True, tag="pair_dots"):
    """Dots of all unordered pairs of the vectors of x, in bfloat16 where x is kept so."""

    out: Tile
    x: Tile
    dim: int


class DotsAcross(Step, frozen=True, tag="cross_dots"):
    """Dots of each vector of x with each of y, x outermost; y may be a query tile.

    They are in bfloat16 where x is kept so; a query's y is rounded then.
    """

    out: Tile
    x: Tile
    y: Tile
    dim: int


class RecordScore(Step, frozen=True, tag="record_score"):
    """A score straight from a record: head · max(0, weight · x + what is given) + its bias.

    Given are a bias and what the record itself adds to the hidden layer. The hidden layer has N
    outputs, a multiple of 16.

    Args:
        out: one row.
        start: first column of x.
        width: columns of x.
        constant: first of N columns of the record that are added; -1 adds none.
        y: U vectors of the query; the layer then reads the dots of each vector of x with each.
        dim: d, of the vectors; 1 without any.
        weight: array (N, K), or a slot.
        built: whether `weight` names a slot.
        precision: of the products, not int8.
        bias: array (N,); may be empty.
        bias_at: a query tile to use as bias.
        head: array (1, N).
        head_bias: array (1,); may be empty.
    """

    out: Tile
    start: int
    width: int
    constant: int
    y: Tile | None
    dim: int
    weight: str
    built: bool
    precision: Precision
    bias: str
    bias_at: Tile | None
    head: str
    head_bias: str


AnyStep = (
    LookupRow
    | PoolRows
    | SumRow
    | LoadDense
    | LoadGiven
    | LoadRecord
    | Scale
    | Layer
    | BuildCross
    | BuildScaled
    | ClampNegative
    | AddTiles
    | MultiplyTiles
    | CopyTile
    | DotsOfPairs
    | DotsAcross
    | RecordScore
)


class FeatureNames(Value, frozen=True):
    """Names of the features of one side, for messages.

    Args:
        categorical: in column order.
        dense: in column order.
        multi_valued: in column order.
    """

    categorical: tuple[str, ...] = ()
    dense: tuple[str, ...] = ()
    multi_valued: tuple[str, ...] = ()


class Listing(Value, frozen=True):
    """The part of a program that is text.

    Args:
        query: instructions run once a query.
        block: instructions run for each block of candidates.
        query_rows: rows of the query's arena.
        block_rows: rows of a block's arena.
        result: the tile a candidate's result is left in; one row for a score.
        tables: how rows are stored, by name of each table.
        context: names of the context's features.
        items: names of the candidates' features.
        given_width: how many scores of other models it reads.
        record_width: columns of a record; 0 reads none.
        fits: fingerprint of the model's parameters it was made from.
        computed: tables whose rows are made for each call, lowered; they name arrays.
        decoders: precision of their decoders' layers.
        hot: names of those some rows of which are kept, see `hot_arrays`.
    """

    query: tuple[AnyStep, ...]
    block: tuple[AnyStep, ...]
    query_rows: int
    block_rows: int
    result: Tile
    tables: dict[str, Storage]
    context: FeatureNames
    items: FeatureNames
    given_width: int
    record_width: int
    fits: str
    computed: tuple[AnyComputed, ...] = ()
    decoders: Precision = "float32"
    hot: tuple[str, ...] = ()


def hot_arrays(table: str) -> tuple[str, str]:
    """Names of the arrays that hold a computed table's kept rows and the index that finds them."""
    return f"{table} hot rows", f"{table} hot index"


@dataclass(frozen=True, eq=False, slots=True)
class Program:
    """A whole program.

    Args:
        listing: instructions and what they are about.
        arrays: everything they name: layers and vectors float32, tables as their storage says.
    """

    listing: Listing
    arrays: Mapping[str, NDArray[Any]]


def save_program(folder: Path, program: Program, parameters: Parameters) -> None:
    """Store a program as one folder that appears whole; an older one is replaced.

    Arrays that are the model's own parameters are not written again.

    Args:
        folder: final place.
        program: what to store.
        parameters: the model's, from which it was made.

    Raises:
        StorageError: no space, no permission.
    """
    own = [name for name, array in program.arrays.items() if parameters.get(name) is not array]
    manifest = {
        "listing": to_builtins(program.listing),
        "own": own,
        "shared": sorted(set(program.arrays) - set(own)),
    }
    arrays = {f"array{number}": program.arrays[name] for number, name in enumerate(own)}
    save_arrays(folder, arrays, manifest)


def load_program(folder: Path, parameters: Parameters, fits: str) -> Program:
    """Read what `save_program` wrote; large arrays stay mapped to their files.

    Args:
        folder: where it was stored.
        parameters: of the model it was made from.
        fits: their fingerprint.

    Raises:
        StorageError: missing, damaged, of another version, or made from another model.
    """
    arrays, manifest = load_arrays(folder)
    try:
        listing = msgspec.convert(manifest["listing"], Listing)
        own, shared = cast("list[str]", manifest["own"]), cast("list[str]", manifest["shared"])
        if listing.fits != fits:
            raise StorageError(
                f"{folder} was compiled from other parameters ({listing.fits}) than the model has "
                f"now ({fits}); delete it, and it is compiled again"
            )
        found = {name: arrays[f"array{number}"] for number, name in enumerate(own)}
        found |= {name: parameters[name] for name in shared}
    except (KeyError, msgspec.ValidationError) as error:
        raise StorageError(
            f"{folder} is damaged ({error}); delete it, and it is compiled again"
        ) from error
    return Program(listing, found)
