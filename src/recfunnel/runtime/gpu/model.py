"""A model on a GPU behind the protocol of every runtime.

Letters: Q queries, C columns, S score inputs.
"""

from threading import Lock

import numpy as np
import torch

from recfunnel.compile.load import StoredGraph
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import InvalidInput, ModelError
from recfunnel.core.features import Features
from recfunnel.core.model import check_scores
from recfunnel.runtime.base import check_given
from recfunnel.runtime.gpu.buckets import LEAST, bucket_of, buckets_up_to
from recfunnel.runtime.gpu.calls import Device, PreparedCall
from recfunnel.runtime.gpu.message import CallShape, fill_columns
from recfunnel.runtime.gpu.resident import DeviceMemory, Resident

MOST_COLUMNS = 1 << 17
"""Candidates scored at once; more are taken in turns."""

PAIRS_AT_ONCE = 1 << 18
"""Queries times columns (or list values) scored at once when many queries come together."""


class TorchGpuModel:
    """A model on a device, with the states of its items there.

    Single queries come in a few shapes, each prepared once and kept; many queries together are
    scored as they come. Calls from several threads take turns.

    Args:
        stored: the model.
        resident: the same on the device.
        device: where.
    """

    def __init__(self, stored: StoredGraph, resident: Resident, device: Device) -> None:
        self._name, self._score_inputs = stored.name, stored.score_inputs
        self._resident, self._device = resident, device
        self._calls: dict[CallShape, PreparedCall] = {}
        self._lock = Lock()

    @property
    def name(self) -> str:
        """The model's name in the study."""
        return self._name

    @property
    def score_inputs(self) -> tuple[str, ...]:
        """Names of the models whose scores it reads, in the order of `given`."""
        return self._score_inputs

    @property
    def memory(self) -> DeviceMemory:
        """What it takes of the device, without messages and what recorded graphs work in."""
        return self._resident.memory

    @property
    def has_fused_head(self) -> bool:
        """Whether its graph ends in what one kernel of ours can compute."""
        return self._resident.head is not None

    @property
    def num_prepared(self) -> int:
        """Shapes of calls that are prepared."""
        return len(self._calls)

    def prepare(self, num_candidates: int) -> None:
        """Prepare calls of up to so many candidates, largest first: graphs share their memory.

        A model that reads lists of the context is prepared for the shortest; longer ones are
        prepared when they come.

        Args:
            num_candidates: the most that will be asked for.
        """
        if not self._resident.num_items:
            return
        lengths = (LEAST,) * len(self._resident.reads.lists)
        with self._lock:
            for size in reversed(buckets_up_to(min(num_candidates, MOST_COLUMNS))):
                self._prepared(CallShape(1, size, None, lengths))

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
            ModelError: a score is not finite, or the device's memory does not hold the work.
            InvalidInput: `given` does not hold the scores it reads, a candidate is no item, or an
                id of the context is outside its table.
        """
        num_items = self._resident.num_items
        shape = (len(context), num_items if candidates is None else candidates.shape[1])
        check_given(self, given, shape)
        scores = np.empty(shape, np.float32)
        lengths = self._resident.reads.list_lengths(context)
        step = max(1, PAIRS_AT_ONCE // max(1, *lengths, min(shape[1], MOST_COLUMNS)))
        with self._lock:
            for first in range(0, shape[0], step):
                rows = slice(first, min(first + step, shape[0]))
                part = (
                    context
                    if step >= shape[0]
                    else context.take(np.arange(*rows.indices(shape[0])))
                )
                for start in range(0, shape[1], MOST_COLUMNS):
                    columns = slice(start, min(start + MOST_COLUMNS, shape[1]))
                    scores[rows, columns] = self._score(
                        part,
                        columns,
                        None if candidates is None else candidates[rows, columns],
                        None if given is None else given[rows, columns],
                    )
        check_scores(self._name, scores, shape)
        return scores

    def score_top_k(
        self,
        context: Features,
        candidates: IntArray | None,
        k: int,
        given: FloatArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """The best k columns of one query; only these leave the device.

        Args:
            context: one row.
            candidates: int64 (1, C); None means all items in order.
            k: how many; fewer come back when there are fewer.
            given: float32 (1, C, S); None when it reads none.

        Returns:
            int64 (k,) columns and float32 (k,) scores, best first, among equals the lower column
            first.

        Raises:
            InvalidInput: as for `score`; or more than one query, or k below 0.
        """
        num_columns = self._resident.num_items if candidates is None else candidates.shape[1]
        if len(context) != 1 or k < 0:
            raise InvalidInput(f"top-k is of one query and k 0 or more; got {len(context)} and {k}")
        check_given(self, given, (1, num_columns))
        if num_columns > MOST_COLUMNS or not num_columns:
            scores = self.score(context, candidates, given)[0]
            best = np.argsort(-scores, kind="stable")[:k]
            return best, scores[best]
        with self._lock:
            call = self._filled(context, slice(0, num_columns), candidates, given)
            columns, scores = call.top_k(num_columns, k)
        check_scores(self._name, scores, (min(k, num_columns),))
        return columns, scores

    def _score(
        self,
        context: Features,
        columns: slice,
        candidates: IntArray | None,
        given: FloatArray | None,
    ) -> FloatArray:
        """Scores of some columns, those of the call as it was prepared; valid until the next."""
        call = self._filled(context, columns, candidates, given)
        return call.scores()[:, : columns.stop - columns.start]

    def _filled(
        self,
        context: Features,
        columns: slice,
        candidates: IntArray | None,
        given: FloatArray | None,
    ) -> PreparedCall:
        """A prepared call with its message written."""
        Q, C = len(context), columns.stop - columns.start
        first = columns.start if candidates is None else None
        size = bucket_of(C) if Q == 1 and candidates is not None else C
        lengths = self._resident.reads.list_lengths(context)
        call = self._prepared(CallShape(Q, size, first, lengths))
        fill_columns(call.message, candidates, given, self._resident.num_items)
        self._resident.reads.fill(call.message, context)
        return call

    def _prepared(self, shape: CallShape) -> PreparedCall:
        kept = self._calls.get(shape)
        if kept is not None:
            return kept
        comes_again = shape.num_queries == 1 and not shape.first_item
        try:
            call = PreparedCall(self._resident, shape, self._device, records=comes_again)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{self._name!r} has no memory left on {self._device.name!r} for calls of "
                f"{shape.num_columns} candidates ({error}); ask for fewer, keep fewer models "
                "there, or use dtype 'bfloat16'"
            ) from error
        if comes_again:
            self._calls[shape] = call
        return call
