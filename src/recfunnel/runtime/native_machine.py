"""A program in the hands of the tile machine: numpy in, numpy out.

Letters: Q queries, I items, C columns (candidates a query), S given scores, W width of a result.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.program import FeatureNames, Program, Storage, Tile, hot_arrays
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import DataError, InvalidInput, ModelError
from recfunnel.core.features import Features
from recfunnel.runtime import _native
from recfunnel.runtime.native_tables import native_table

ListArrays = tuple[IntArray, IntArray, FloatArray | None]
MOST_THREADS = 1024
FAULTS = (_native.InputError, _native.IdError, _native.NotFiniteError, TypeError)
"""What a call can fail with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOptions:
    """How a machine runs.

    Args:
        num_threads: cores one call may use.
        lanes: candidates in a block, 16, 32 or 48; 0 chooses.
        isa: instruction set; empty takes the best, or RECFUNNEL_ISA's.
        timed: measure every instruction, see `timings`; slower.
        prefetch: fetch the next block's records while one is computed.
    """

    num_threads: int = 1
    lanes: int = 0
    isa: str = ""
    timed: bool = False
    prefetch: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.num_threads <= MOST_THREADS:
            raise InvalidInput(
                f"num_threads is {self.num_threads}, must be 1 to {MOST_THREADS}; each is a core"
            )


class NativeMachine:
    """A program bound to the items it ranks.

    Ids and numbers of the items are checked once, here: they must not change afterwards.

    Args:
        name: of the model, for messages.
        program: what to run.
        items: features of I items.
        records: (I, ...), rows of the compiled catalogue as stored; None when it reads none.
        storage: what the records are stored as.
        options: how.

    Raises:
        DataError: an item's id is outside its table, or a number is not finite.
        ModelError: the program contradicts itself or its arrays, or the instruction set asked for
            is unknown or not this processor's.
    """

    def __init__(
        self,
        name: str,
        program: Program,
        items: Features,
        records: NDArray[Any] | None = None,
        storage: Storage = "float32",
        options: MachineOptions = MachineOptions(),
    ) -> None:
        self.name, self.options = name, options
        try:
            checked = features_in_order(items)
        except InvalidInput as error:
            raise InvalidInput(f"items of {name!r}: {error}") from error
        try:
            self.native = _native.Machine(
                _feed(program, options.isa),
                *checked,
                records,
                storage,
                options.num_threads,
                options.lanes,
                options.timed,
                options.prefetch,
            )
        except _native.ProgramError as error:
            raise ModelError(f"the program of {name!r} is damaged: {error}") from error
        except _native.InputError as error:
            raise InvalidInput(f"{name!r}: {error}") from error
        except (_native.IdError, _native.NotFiniteError) as error:
            raise DataError(f"items of {name!r}: {error}") from error
        except (ValueError, RuntimeError) as error:  # an instruction set that is not there
            raise ModelError(f"{name!r} cannot run here: {error}") from error
        self._score: Any = self.native.score
        self._top_k: Any = self.native.top_k

    def score(
        self,
        context: Features,
        candidates: IntArray | None,
        given: FloatArray | None = None,
        out: FloatArray | None = None,
    ) -> FloatArray:
        """Run the program for each query.

        Args:
            context: Q rows. Arrays of the right type that are not contiguous are copied.
            candidates: int64 (Q, C), rows of the items; None means all of them in order.
            given: float32 (Q, C, S); None when the program reads none.
            out: contiguous float32 of the result's shape to write it to; None for a new array.

        Returns:
            float32 (Q, C); (Q, C, W) for a program whose result is wider than 1. `out` where it
            was given; what it holds after an error means nothing.

        Raises:
            InvalidInput: a wrong shape or type, or a candidate that is no item.
            DataError: an id of the context outside its table; the message names the feature.
            ModelError: a number, going in or coming out, that is not finite.
        """
        try:
            lists = [(r.values, r.offsets, r.weights) for r in context.multi_valued]
            found: FloatArray = self._score(
                context.categorical, context.dense, lists, candidates, given, out
            )
        except FAULTS as error:
            self._explain(error)
            found = self._again(self._score, context, candidates, given, _checked(out))
        return found if out is None else out

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
            given: float32 (1, C, S); None when the program reads none.
            excluded: positions that must not be kept; repeats are harmless.

        Returns:
            Their positions, rising, and their scores. Among equal scores lower positions are kept.

        Raises:
            InvalidInput: as `score`, more than one query, or an excluded position out of range.
            DataError: as `score`.
            ModelError: as `score`.
        """

        if not isinstance(k, int | np.integer):
            raise InvalidInput(f"k is {k!r}, must be a whole number")

        def best(*arguments: Any) -> Any:
            categorical, dense, lists, *rest = arguments
            return self._top_k(categorical, dense, lists, k, *rest, excluded)

        try:
            lists = [(r.values, r.offsets, r.weights) for r in context.multi_valued]
            found: tuple[IntArray, FloatArray] = best(
                context.categorical, context.dense, lists, candidates, given
            )
        except FAULTS as error:
            self._explain(error)
            if excluded is not None:
                excluded = in_order(excluded, np.int64, 1, "excluded positions")
            again: tuple[IntArray, FloatArray] = self._again(best, context, candidates, given)
            return again
        return found

    def timings(self) -> list[tuple[str, bool, float, int]]:
        """Instruction, whether it runs for blocks, seconds and runs so far; see `timed`."""
        found: list[tuple[str, bool, float, int]] = self.native.timings()
        return found

    def _explain(self, error: Exception) -> None:
        """Raise a fault as the error it is; return for one that contiguous copies may cure."""
        if isinstance(error, _native.InputError):
            raise InvalidInput(f"{self.name!r}: {error}") from error
        if isinstance(error, _native.IdError):
            raise DataError(f"context of {self.name!r}: {error}") from error
        if isinstance(error, _native.NotFiniteError):
            raise ModelError(f"{self.name!r}: {error}") from error

    def _again(
        self,
        call: Any,
        context: Features,
        candidates: IntArray | None,
        given: FloatArray | None,
        *rest: object,
    ) -> Any:
        """Call with contiguous arrays, after looking at their types and dimensions."""
        categorical, dense, lists = features_in_order(context)
        if candidates is not None:
            candidates = in_order(candidates, np.int64, 2, "candidates")
        if given is not None:
            given = in_order(given, np.float32, 3, "given scores")
        try:
            return call(categorical, dense, lists, candidates, given, *rest)
        except FAULTS as error:
            self._explain(error)
            raise


def in_order(array: NDArray[Any], dtype: type, ndim: int, what: str) -> NDArray[Any]:
    """The same numbers, contiguous.

    Raises:
        InvalidInput: another type or number of dimensions.
    """
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != ndim:
        has = f"{getattr(array, 'dtype', type(array).__name__)} of {np.ndim(array)} dimensions"
        raise InvalidInput(f"{what} must be {np.dtype(dtype)} of {ndim} dimensions, not {has}")
    return np.ascontiguousarray(array)


def features_in_order(features: Features) -> tuple[IntArray, FloatArray, list[ListArrays]]:
    """Arrays of features, contiguous: ids, numbers, and lists with offsets and weights.

    Raises:
        InvalidInput: another type or number of dimensions.
    """
    lists = [
        (
            in_order(ragged.values, np.int64, 1, "values of a multi-valued feature"),
            in_order(ragged.offsets, np.int64, 1, "offsets of a multi-valued feature"),
            None
            if ragged.weights is None
            else in_order(ragged.weights, np.float32, 1, "weights of a multi-valued feature"),
        )
        for ragged in features.multi_valued
    ]
    return (
        in_order(features.categorical, np.int64, 2, "categorical features"),
        in_order(features.dense, np.float32, 2, "dense features"),
        lists,
    )


def _checked(out: FloatArray | None) -> FloatArray | None:
    """An array to write to, which is never copied."""
    if out is None:
        return None
    if not (isinstance(out, np.ndarray) and out.dtype == np.float32):
        raise InvalidInput(f"out must be a float32 array, not {getattr(out, 'dtype', type(out))}")
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise InvalidInput("out must be contiguous and writeable")
    return out


def _feed(program: Program, isa: str) -> Any:
    """The native program: every array, then every instruction by its own method."""
    listing = program.listing
    fed = _native.Program(
        listing.query_rows, listing.block_rows, msgspec.structs.astuple(listing.result), isa
    )
    for name, array in program.arrays.items():
        fed.array(name, np.ascontiguousarray(array))
    for name, storage in listing.tables.items():
        fed.table(name, storage)
    for table in listing.computed:
        made = native_table(table, program.arrays, listing.decoders, isa)
        kept = hot_arrays(table.name) if table.name in listing.hot else ()
        rows, index = [program.arrays[name] for name in kept] or (None, None)
        fed.computed(table.name, made, rows, index)
    for of_items, names in ((False, listing.context), (True, listing.items)):
        _name(fed, names, of_items=of_items)
    for step in (*listing.query, *listing.block):
        fields = {name: _plain(getattr(step, name)) for name in step.__struct_fields__}
        getattr(fed, str(step.__struct_config__.tag))(**fields)
    return fed


def _name(fed: Any, names: FeatureNames, *, of_items: bool) -> None:
    fed.names(of_items, list(names.categorical), list(names.dense), list(names.multi_valued))


def _plain(value: object) -> object:
    if isinstance(value, Tile):
        return msgspec.structs.astuple(value)
    return list(value) if isinstance(value, tuple) else value
