"""The arrays a user's own model file reads, held against what the file says it wants.

Letters: n candidates of one query, k features side by side, L values of the longest list, S given
scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.own_checks import (
    FileInput,
    Source,
    check_names,
    check_score_inputs,
    check_scores_shape,
    check_shape,
    dtype_of,
    rank_of,
    source_of,
)
from recfunnel.core.own_file import FileCall
from recfunnel.core.padding import padded

Rows = IntArray | slice
"""Which items: int64 (n,), or a run of them."""

_Sides = Mapping[str, tuple[Features, IntArray]]
"""Features of each side, and the n rows of them that are read."""


class FileInputs:
    """Makes the arrays of a call.

    Args:
        name: of the model, for errors.
        call: which features each input reads.
        wanted: what the file says of its inputs.
        schema: features there are.
        num_score_inputs: S.

    Raises:
        StudyError: an unknown input or feature, or one that does not fit what the file wants; the
            message names the input, what is wanted and what there is.
    """

    def __init__(
        self,
        name: str,
        call: FileCall,
        wanted: Sequence[FileInput],
        schema: FeatureSchema,
        num_score_inputs: int,
    ) -> None:
        self._once = call.context == "once"
        by_name = {one.name: one for one in wanted}
        check_score_inputs(name, call, num_score_inputs)
        check_names(name, call, by_name)
        check_scores_shape(name, call, by_name, num_score_inputs)
        self._scores = by_name.get(call.scores_input)
        self._columns = [
            _planned(name, by_name[key], features, schema, is_once=self._once)
            for key, features in call.inputs.items()
        ]

    def arrays(
        self, context: Features, items: Features, rows: Rows, given: FloatArray | None
    ) -> dict[str, NDArray[Any]]:
        """Arrays by input, in the order of the call; the scores of other models last.

        Args:
            context: 1 row.
            items: features of all items.
            rows: the n items that are ranked.
            given: (n, S), or None.
        """
        num_rows = rows.stop - rows.start if isinstance(rows, slice) else rows.size
        of_context = np.zeros(1 if self._once else num_rows, np.int64)
        of_items = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        sides: _Sides = {"context": (context, of_context), "candidate": (items, of_items)}
        arrays = {column.name: column.array(sides) for column in self._columns}
        if self._scores is not None and given is not None:
            arrays[self._scores.name] = np.asarray(given, self._scores.dtype or "float32")
        return arrays


@dataclass(frozen=True, slots=True)
class _Column:
    """One input of the file.

    Args:
        name: of the input.
        sources: what it reads, side by side.
        dtype: of the array.
        rank: its axes.
        num_values: L, where the file fixes it: the first so many values of a list are given.
    """

    name: str
    sources: tuple[Source, ...]
    dtype: str
    rank: int
    num_values: int | None

    def array(self, sides: _Sides) -> NDArray[Any]:
        first = self.sources[0]
        if first.is_list:
            whole = _lists(first, *sides[first.feature.side], self.num_values)
        elif self.rank == 1:
            whole = _values(first, *sides[first.feature.side])
        else:
            parts = [_values(source, *sides[source.feature.side]) for source in self.sources]
            whole = np.stack(parts, axis=1)
        return np.ascontiguousarray(whole, self.dtype)


def _planned(
    model: str,
    wanted: FileInput,
    features: str | tuple[str, ...],
    schema: FeatureSchema,
    *,
    is_once: bool,
) -> _Column:
    names = (features,) if isinstance(features, str) else features
    sources = tuple(source_of(model, wanted.name, name, schema) for name in names)
    what = f"input {wanted.name!r} of {model!r}"
    is_list = any(source.is_list for source in sources)
    if is_list and len(sources) > 1:
        raise StudyError(f"{what} reads {list(names)}: a multi-valued feature needs its own input")
    sides = {source.feature.side for source in sources}
    if is_once and len(sides) > 1:
        raise StudyError(
            f"{what} reads features of both sides, which differ in rows with context = 'once'"
        )
    rank = rank_of(what, wanted, features, is_list=is_list)
    width = None if is_list else len(sources)
    check_shape(what, wanted, width, is_once=is_once and "context" in sides)
    num_values = wanted.shape[1] if is_list and wanted.shape is not None else None
    return _Column(wanted.name, sources, dtype_of(what, wanted, sources), rank, num_values)


def _values(source: Source, features: Features, rows: IntArray) -> NDArray[Any]:
    """(n,), one feature."""
    of_kind = features.categorical if source.feature.kind == "categorical" else features.dense
    values: NDArray[Any] = of_kind[rows, source.column]
    return values


def _lists(
    source: Source, features: Features, rows: IntArray, num_values: int | None
) -> NDArray[Any]:
    """(n, L), ids of a multi-valued feature or a part; as long as the longest, or as stated."""
    ids, weights, present = padded(features.multi_valued[source.column].take(rows))
    parts: dict[str, NDArray[Any]] = {"": ids, "weights": weights, "present": present}
    array = parts[source.part]
    if num_values is None:
        return array
    filled = np.zeros((array.shape[0], num_values), array.dtype)
    filled[:, : array.shape[1]] = array[:, :num_values]
    return filled
