"""One server of a station: takes queries first come first served, runs its stages, hands on."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import Ragged
from recfunnel.core.dataset import QuerySet
from recfunnel.core.features import Features
from recfunnel.runtime.arena import Arena, Slots
from recfunnel.runtime.cascade import Question, StageRunner, Survivors
from recfunnel.runtime.clock import now_s
from recfunnel.runtime.generator import END
from recfunnel.runtime.messages import Take

_SLOT_POLL_S = 0.0005


@dataclass(frozen=True, eq=False, slots=True)
class Server:
    """What one worker does in a station.

    Args:
        take: which station and stages.
        queries: that may be asked.
        runner: of its stages; None answers nothing.
        carried: for each stage, the models whose scores it hands on.
    """

    take: Take
    queries: QuerySet
    runner: StageRunner | None
    carried: tuple[tuple[str, ...], ...]

    def serve(self, arena: Arena, receive: Callable[[], int], send: Callable[[int], None]) -> None:
        """Answer queries until `END` arrives.

        Args:
            arena: of the run.
            receive: waits for the number of the next query.
            send: hands a query's number to the next station.
        """
        station, last = self.take.station, self.take.station == self.take.num_stations - 1
        begin_s, finish_s = arena["begin_s"][station], arena["finish_s"][station]
        give_up_s = arena["give_up_s"]
        first, end = self.take.stages
        incoming = Slots(arena, station - 1, self.carried[first - 1]) if station else None
        outgoing = None if last else Slots(arena, station, self.carried[end - 1])
        while (query := receive()) != END:
            started_s = now_s()
            if started_s > give_up_s[0]:
                continue
            begin_s[query] = started_s
            before = None if incoming is None else incoming.get(query)
            survivors = self._run(question_of(self.queries, arena, query), before)
            if outgoing is None:
                arena["answer_size"][query] = survivors.columns.size
                arena["answer"][query, : survivors.columns.size] = survivors.columns
                finish_s[query] = now_s()
            else:
                _wait_for_slot(arena, station + 1, query, outgoing.num_slots)
                outgoing.put(query, survivors)
                finish_s[query] = now_s()
                send(query)

    def _run(self, question: Question, before: Survivors | None) -> Survivors:
        if self.runner is None:
            return Survivors(question.excluded[:0])
        return self.runner.run(question, before)


def question_of(queries: QuerySet, arena: Arena, query: int) -> Question:
    """What a query of a run asks."""
    row = int(arena["query_rows"][query])
    return stored_question(queries, row, float(arena["fraction"][query]))


def stored_question(queries: QuerySet, row: int, fraction: float = 1.0) -> Question:
    """What one row of a query set asks."""
    candidates = None if queries.candidates is None else queries.candidates[row]
    return Question(queries.context.row(row), queries.excluded.row(row), candidates, fraction)


def unmapped(queries: QuerySet) -> QuerySet:
    """The same queries with plain arrays over the mapped files: indexing those is much faster."""
    return QuerySet(
        queries.schema,
        plain_features(queries.context),
        plain_features(queries.items),
        None if queries.candidates is None else np.asarray(queries.candidates),
        plain_ragged(queries.excluded),
        plain_ragged(queries.relevance),
    )


def plain_features(features: Features) -> Features:
    """The same features with plain arrays over the mapped files."""
    multi = tuple(plain_ragged(ragged) for ragged in features.multi_valued)
    return Features(np.asarray(features.categorical), np.asarray(features.dense), multi)


def plain_ragged(ragged: Ragged) -> Ragged:
    """The same rows with plain arrays over the mapped files."""
    weights = None if ragged.weights is None else np.asarray(ragged.weights)
    return Ragged(np.asarray(ragged.values), np.asarray(ragged.offsets), weights)


def _wait_for_slot(arena: Arena, station: int, query: int, num_slots: int) -> None:
    """Wait until the query that used the slot before has been read by the next station."""
    if query < num_slots:
        return
    finish_s, give_up_s = arena["finish_s"][station], arena["give_up_s"]
    while np.isnan(finish_s[query - num_slots]) and now_s() < give_up_s[0]:
        time.sleep(_SLOT_POLL_S)
