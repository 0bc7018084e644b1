"""A loaded model made of a function that scores the candidates of one query.

Letters: Q queries, C columns, n candidates scored at once, S score inputs.
"""

from collections.abc import Callable

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import InvalidInput
from recfunnel.core.features import Features
from recfunnel.core.model import check_scores
from recfunnel.runtime.base import check_given

CANDIDATES_AT_ONCE = 1 << 14
"""Candidates scored in one call; bounds memory."""

Rows = IntArray | slice
"""Which items: int64 (n,), or a run of them."""

ScoreRows = Callable[[Features, Rows, FloatArray | None], FloatArray]
"""(context of 1 row, items, given (n, S) or None) to scores: (n,), or (1,) for all alike."""


class OneQueryModel:
    """Scores queries one by one, each in steps that bound memory.

    Args:
        name: in the study.
        score_inputs: names of the models whose scores it reads.
        num_items: rows of the item features.
        score_rows: scores candidates of one query.
        step: candidates scored at once.
    """

    def __init__(
        self,
        name: str,
        score_inputs: tuple[str, ...],
        num_items: int,
        score_rows: ScoreRows,
        step: int = CANDIDATES_AT_ONCE,
    ) -> None:
        self._name, self._score_inputs = name, score_inputs
        self._num_items, self._score_rows, self._step = num_items, score_rows, step

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
            ModelError: the model returned another shape or a value that is not finite.
            InvalidInput: `given` does not hold the scores it reads, or there is no such item.
        """
        num_columns = self._num_items if candidates is None else candidates.shape[1]
        shape = (len(context), num_columns)
        check_given(self, given, shape)
        self._check_candidates(candidates)
        scores = np.empty(shape, np.float32)
        for query in range(shape[0]):
            own = context if shape[0] == 1 else context.row(query)
            for start in range(0, num_columns, self._step):
                span = slice(start, min(start + self._step, num_columns))
                rows = span if candidates is None else candidates[query, span]
                of_span = None if given is None else given[query, span]
                found = self._score_rows(own, rows, of_span)
                wanted = (span.stop - span.start,)
                if found.shape not in {wanted, (1,)}:
                    check_scores(self._name, found, wanted)
                scores[query, span] = found
        check_scores(self._name, scores, shape)
        return scores

    def _check_candidates(self, candidates: IntArray | None) -> None:
        if candidates is None or not candidates.size:
            return
        low, high = int(candidates.min()), int(candidates.max())
        if low < 0 or high >= self._num_items:
            raise InvalidInput(
                f"{self._name!r} ranks items 0 to {self._num_items - 1}, was asked for {low} to "
                f"{high}"
            )
