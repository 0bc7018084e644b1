"""From what a client asks to what a pipeline ranks.

Letters: n candidates.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recfunnel.core.arrays import IntArray, Ragged
from recfunnel.core.errors import DataError, InvalidInput
from recfunnel.core.features import Feature, Features, FeatureSchema
from recfunnel.runtime.cascade import Question
from recfunnel.serve import wire
from recfunnel.serve.keys import UNKNOWN, Keys
from recfunnel.serve.store import Context, ContextStore


@dataclass(frozen=True, eq=False, slots=True)
class Asked:
    """A question ready to be ranked.

    Args:
        question: with as many candidates as the plan's first stage reads, or None for all items.
        num_candidates: n, that it really brings; columns behind them are never ranked.
        known_user: whether the user was found.
    """

    question: Question
    num_candidates: int
    known_user: bool


class Reader:
    """Turns questions into arrays.

    Args:
        schema: of both sides.
        items: keys of the catalogue.
        store: of contexts.
        num_candidates: the most that a question may bring.
        catalogue: whether all items are ranked where no candidates are named.
    """

    def __init__(
        self,
        schema: FeatureSchema,
        items: Keys,
        store: ContextStore,
        num_candidates: int,
        *,
        catalogue: bool,
    ) -> None:
        self._schema, self._items, self._store = schema, items, store
        self._most, self._catalogue = num_candidates, catalogue
        self._nobody = Context(Features.unknown(schema, "context", 1), np.zeros(0, np.int64))

    async def read(self, asked: wire.Question) -> Asked:
        """Look everything up.

        Raises:
            InvalidInput: naming the field and the rule it breaks.
            StorageError: the store of contexts cannot be reached.
        """
        found = None if asked.user is None else await self._store.find(asked.user)
        context = found or self._nobody
        features = context.features
        if asked.features:
            features = self._given(features, asked.features)
        unwanted = self._unwanted(asked, context)
        if asked.candidates is None:
            if not self._catalogue:
                raise InvalidInput(
                    "candidates are missing; this plan ranks what each question names, "
                    f"1 to {self._most} items"
                )
            question = Question(features, unwanted)
            return Asked(question, self._most, found is not None)
        columns, excluded = self._columns(asked.candidates, unwanted)
        return Asked(
            Question(features, excluded, columns), len(asked.candidates), found is not None
        )

    def _unwanted(self, asked: wire.Question, context: Context) -> IntArray:
        """Rows of items that must not be answered, rising."""
        seen = context.seen[:0] if asked.keep_seen else context.seen
        if not asked.exclude:
            return seen
        rows = self._items.rows(asked.exclude)
        return np.union1d(seen, rows[rows != UNKNOWN])  # who excludes a stranger has what he wants

    def _columns(self, candidates: list[wire.Key], unwanted: IntArray) -> tuple[IntArray, IntArray]:
        """Item rows of the columns, filled up to what the plan reads; columns not to be ranked."""
        if len(candidates) > self._most:
            raise InvalidInput(
                f"candidates has {len(candidates)} items, this plan ranks at most {self._most}; "
                "leave some out or send several requests"
            )
        rows = self._items.rows(candidates)
        if (rows == UNKNOWN).any():
            stranger = candidates[int(np.flatnonzero(rows == UNKNOWN)[0])]
            raise InvalidInput(
                f"candidates names item {stranger!r}, which the plan does not know; it was made "
                f"for {len(self._items)} items"
            )
        columns = np.full(self._most, rows[0], np.int64)
        columns[: rows.size] = rows
        excluded = np.flatnonzero(np.isin(rows, unwanted)) if unwanted.size else unwanted
        return columns, excluded

    def _given(self, known: Features, given: dict[str, Any]) -> Features:
        """Features with some values replaced."""
        categorical, dense = known.categorical.copy(), known.dense.copy()
        lists = list(known.multi_valued)
        for name, value in given.items():
            feature = self._schema.feature(name)
            if feature.side != "context":
                raise InvalidInput(f"features.{name} describes items, not who asks")
            column = self._schema.column(name)
            if feature.kind == "categorical":
                categorical[0, column] = _id(feature, value)
            elif feature.kind == "dense":
                dense[0, column] = _number(feature, value)
            else:
                lists[column] = _listed(feature, value)
        features = Features(categorical, dense, tuple(lists))
        try:
            features.check(self._schema, "context")
        except DataError as error:
            raise InvalidInput(f"features: {error}") from error
        return features


def _id(feature: Feature, value: Any) -> int:
    if type(value) is not int or not 0 <= value < feature.cardinality:
        raise InvalidInput(
            f"features.{feature.name} is {value!r}, must be an id from 0 (unknown) to "
            f"{feature.cardinality - 1}"
        )
    return value


def _listed(feature: Feature, value: Any) -> Ragged:
    """One row of ids, each with a weight where they come as pairs."""
    if not isinstance(value, list):
        raise InvalidInput(
            f"features.{feature.name} is {value!r}, must be a list of ids or of [id, weight]"
        )
    if not any(isinstance(one, list) for one in value):
        return Ragged.from_rows([[_id(feature, one) for one in value]])
    if not all(isinstance(one, list) and len(one) == 2 for one in value):
        raise InvalidInput(
            f"features.{feature.name} gives some ids a weight and others none; give all of them "
            "one, as [id, weight]"
        )
    ids = [_id(feature, one[0]) for one in value]
    return Ragged.from_rows([ids], [[_number(feature, one[1]) for one in value]])


def _number(feature: Feature, value: Any) -> float:
    if type(value) not in {int, float} or not abs(value) <= np.finfo(np.float32).max:
        raise InvalidInput(f"features.{feature.name} is {value!r}, must be a finite number")
    return float(value)
