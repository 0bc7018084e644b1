"""Lists, ranks and pair tables of the models, made once and kept as long as there is room.

Letters: J judged queries, C columns, D depth, V relevant columns.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from recfunnel.core.arrays import FloatArray
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.model import ScoreTable, check_scores
from recfunnel.quality import kernels
from recfunnel.quality.judged import JudgedQueries
from recfunnel.quality.kernels import Ranks
from recfunnel.quality.memory import BoundedCache
from recfunnel.quality.ordering import order_columns, places_of
from recfunnel.quality.threads import RowThreads

LEAST_DEPTH = 256
"""Pair tables are at least so deep, or hold all columns."""


class ModelLists:
    """How each model ranks all columns of every judged query.

    Args:
        judged: J queries.
        tables: a score table of each model, (Q, C).
        cache: where large tables are kept between calls.
        threads: who works.

    Raises:
        InvalidInput: two tables of one model, or another type than float32.
        ModelError: a table of another shape than the queries, or a score that is not finite.
    """

    def __init__(
        self,
        judged: JudgedQueries,
        tables: Iterable[ScoreTable],
        cache: BoundedCache,
        threads: RowThreads,
    ) -> None:
        self._judged = judged
        self._tables = _checked(tables, (judged.num_queries, judged.num_columns))
        self._cache = cache
        self._threads = threads
        self._relevant: dict[str, Ranks] = {}

    @property
    def models(self) -> tuple[str, ...]:
        """Models with a score table."""
        return tuple(self._tables)

    def check(self, models: tuple[str, ...]) -> None:
        """Hold the models of a pipeline against the tables.

        Raises:
            StudyError: one has no scores.
        """
        for model in models:
            if model not in self._tables:
                known = ", ".join(self._tables)
                raise StudyError(f"{model!r} has no stored scores; known: {known}; score it first")

    def scores(self, model: str) -> FloatArray:
        """(Q, C), the scores of all queries, as stored."""
        return self._tables[model].scores

    def order(self, model: str) -> Ranks:
        """(J, C), columns from best to worst, excluded ones last."""
        order: Ranks | None = self._cache.find(("order", model))
        if order is None:
            order = order_columns(self._judged, self._tables[model].scores, self._threads)
            self._cache.keep(("order", model), order)
        return order

    def ranks(self, model: str) -> Ranks:
        """(J, C), the rank (0 is best) of each column."""
        ranks: Ranks | None = self._cache.find(("ranks", model))
        if ranks is None:
            ranks = places_of(self.order(model), self._threads)
            self._cache.keep(("ranks", model), ranks)
        return ranks

    def relevant(self, model: str) -> Ranks:
        """(V,), the rank (0 is best) of each relevant column among all columns."""
        if model not in self._relevant:
            rows, columns = self._judged.row_ids, self._judged.columns
            self._relevant[model] = self.ranks(model)[rows, columns]
        return self._relevant[model]

    def pair(self, front: str, back: str, num_places: int) -> Ranks:
        """(J, D), ranks by `back` in the order of `front`'s list, D at least `num_places`."""
        pair: Ranks | None = self._cache.find(("pair", front, back))
        if pair is None or pair.shape[1] < num_places:
            # Powers of two, so that rising keep-counts gather only a few times anew.
            depth = max(LEAST_DEPTH, 1 << (num_places - 1).bit_length())
            pair = self._gather(front, back, min(depth, self._judged.num_columns))
            self._cache.keep(("pair", front, back), pair)
        return pair

    def _gather(self, front: str, back: str, depth: int) -> Ranks:
        order, ranks = self.order(front), self.ranks(back)
        pair = np.empty((len(self._judged), depth), order.dtype)
        self._threads.run(
            lambda start, stop: kernels.gather_pair(order, ranks, start, stop, pair),
            len(self._judged),
        )
        return pair


def _checked(tables: Iterable[ScoreTable], shape: tuple[int, int]) -> Mapping[str, ScoreTable]:
    by_model: dict[str, ScoreTable] = {}
    for table in tables:
        if table.model in by_model:
            raise InvalidInput(f"two score tables of {table.model!r}; give one")
        if table.scores.dtype != np.float32:
            raise InvalidInput(f"scores of {table.model!r} are {table.scores.dtype}, not float32")
        check_scores(table.model, table.scores, shape)
        by_model[table.model] = table
    return by_model
