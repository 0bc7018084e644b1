"""One server of several paths: does what it is told, one start after another."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from recfunnel.core.dataset import QuerySet
from recfunnel.core.pipeline import Pipeline
from recfunnel.runtime.arena import Arena, Slots
from recfunnel.runtime.cascade import Question, StageRunner
from recfunnel.runtime.clock import now_s
from recfunnel.runtime.paths_messages import DONE, NOBODY, START
from recfunnel.runtime.server import stored_question

Told = tuple[int, int, int, int, int, int]
"""Query, path, station, part, first candidate, candidates."""


@dataclass(frozen=True, eq=False, slots=True)
class PathsServer:
    """What one worker does for several paths.

    Args:
        queries: that may be asked.
        pipelines: of all paths.
        runners: by path and station, of the stages that are run here.
        handed_on: for each path, for each of its stations but the last, the models whose scores
            the next one reads.
    """

    queries: QuerySet
    pipelines: tuple[Pipeline, ...]
    runners: Mapping[tuple[int, int], StageRunner]
    handed_on: tuple[tuple[tuple[str, ...], ...], ...]

    def serve(self, arena: Arena, receive: Callable[[], Told], done: Callable[[], None]) -> None:
        """Answer until nobody follows.

        Args:
            arena: of the run.
            receive: waits for the next start.
            done: says that it is answered.
        """
        begin_s, finish_s, give_up_s = arena["begin_s"], arena["finish_s"], arena["give_up_s"]
        answer, score, rows = arena["answer"], arena["score"], arena["query_rows"]
        while (told := receive())[0] != NOBODY:
            query, path, station, part, first, size = told
            started_s = now_s()
            if started_s > give_up_s[0]:
                done()
                continue
            begin_s[query, station + part] = started_s
            pipeline, handed_on = self.pipelines[path], self.handed_on[path]
            before = Slots(arena, 0, handed_on[station - 1]).get(query) if station else None
            asked = stored_question(self.queries, int(rows[query]))
            question = part_of(asked, first, size, len(self.queries.items))
            found = self.runners[path, station].run(sized(question, pipeline, size), before)
            if station < len(handed_on):
                Slots(arena, 0, handed_on[station]).put(query, found)
            else:
                count = found.columns.size
                answer[query, part, :count] = found.columns + first
                score[query, part, :count] = found.scores[pipeline.stages[-1].model]
            finish_s[query, station + part] = now_s()
            done()


def sized(question: Question, pipeline: Pipeline, num_candidates: int) -> Question:
    """A question that brings exactly so many candidates, its first ones, to a pipeline."""
    # half a candidate less, so that rounding up never meets a rounding error
    fraction = min(1.0, (num_candidates - 0.5) / pipeline.stages[0].num_in)
    if num_candidates == pipeline.stages[0].num_in:
        fraction = 1.0
    return Question(question.context, question.excluded, question.candidates, fraction)


def part_of(question: Question, first: int, num_candidates: int, num_items: int) -> Question:
    """The same question about a run of its candidates, which come first."""
    if first == 0:
        return question
    candidates = question.candidates
    if candidates is None:
        candidates = np.arange(num_items)
    end = first + num_candidates
    inside = question.excluded[(question.excluded >= first) & (question.excluded < end)]
    return Question(question.context, inside - first, np.roll(candidates, -first))


def start_receiver(descriptor: int) -> Callable[[], Told]:
    """A `receive` that reads starts from a pipe."""

    def receive() -> Told:
        query, *place = START.unpack(os.read(descriptor, START.size))
        path, station, part, first, size = place
        return query, path, station, part, first, size

    return receive


def done_sender(descriptor: int, server: int) -> Callable[[], None]:
    """A `done` that writes the server's number into a pipe."""
    message = DONE.pack(server)
    return lambda: _write(descriptor, message)


def _write(descriptor: int, message: bytes) -> None:
    os.write(descriptor, message)
