"""One deployment at work: from a question on the wire to an answer on the wire."""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import InvalidInput
from recfunnel.core.servable import PathMenu
from recfunnel.runtime.cascade import Question
from recfunnel.runtime.placement import assign_cores, available_cores
from recfunnel.runtime.server import stored_question
from recfunnel.schedule.base import Conditions, SchedulerSpec
from recfunnel.serve import wire
from recfunnel.serve.answers import answer_of, explained
from recfunnel.serve.deployment import Deployment
from recfunnel.serve.keys import Keys
from recfunnel.serve.loading import Loaded, LoadedPath, load
from recfunnel.serve.menu import brought, measured_menu
from recfunnel.serve.metrics import Metrics
from recfunnel.serve.questions import Asked, Reader
from recfunnel.serve.service import Overloaded, Ranked, Service

NUM_REHEARSED = 32
"""Stored questions that paths are timed on."""


@dataclass(frozen=True, eq=False, slots=True)
class Ready:
    """A deployment loaded, warmed up and timed; plain data, made outside the event loop.

    Args:
        deployment: what is served.
        loaded: its models and runners.
        menu: its paths as the scheduler sees them.
        reader: of questions.
        items: keys of the catalogue.
    """

    deployment: Deployment
    loaded: Loaded
    menu: PathMenu
    reader: Reader
    items: Keys


def make_ready(deployment: Deployment, say: Callable[[str], None], seconds: float) -> Ready:
    """Load, warm up and time a deployment.

    Args:
        deployment: what is to be served.
        say: told what happens.
        seconds: of timing for each path, about.

    Returns:
        What `Ranking` needs.

    Raises:
        StorageError: a model's folder is damaged.
        MissingExtraError: a runtime's framework is not installed.
    """
    loaded = load(deployment, say)
    items = deployment.item_keys()
    reader = Reader(
        deployment.dataset.schema,
        items,
        deployment.store(),
        deployment.num_candidates,
        catalogue=deployment.ranks_catalogue,
    )
    say(f"time {len(loaded.paths)} path(s)")
    menu = measured_menu(
        deployment.points,
        loaded.paths,
        _rehearsed(deployment.dataset.test),
        deployment.num_candidates,
        seconds=seconds,
    )
    gc.collect()
    gc.freeze()  # what is loaded stays; a collection in the middle of a question would be late
    return Ready(deployment, loaded, menu, reader, items)


def _rehearsed(queries: QuerySet) -> list[Question]:
    rows = np.unique(np.linspace(0, len(queries) - 1, NUM_REHEARSED).astype(int))
    return [stored_question(queries, int(row)) for row in rows]


IN_TURNS_BELOW_S = 2e-3
"""A single server whose plan takes less than this works in the event loop itself."""


def works_in_turns(ready: Ready) -> bool:
    """Whether the event loop does the ranking: one server, and quick."""
    one = list(ready.menu.num_servers.values()) == [1]
    return one and ready.menu.paths[0].stations[0].service.median_s[-1] < IN_TURNS_BELOW_S


def _cores(ready: Ready) -> tuple[tuple[tuple[int, ...], ...], ...]:
    return assign_cores(ready.loaded.paths[0].path.mapping, available_cores())


class Ranking:
    """Answers questions; made inside a running event loop.

    Args:
        ready: the deployment.
        scheduler: chooses the path of each question.
        metrics: told of every question.
        deadline_s: of questions that state none; the plan's when None.
    """

    def __init__(
        self,
        ready: Ready,
        scheduler: SchedulerSpec,
        metrics: Metrics,
        deadline_s: float | None = None,
    ) -> None:
        self.deployment, self.menu = ready.deployment, ready.menu
        self._ready, self._metrics = ready, metrics
        self._plan = ready.deployment.plan.content_hash
        self._most = ready.deployment.num_candidates
        promised_s = ready.deployment.plan.service_level.deadline_s
        self.deadline_s = promised_s if deadline_s is None else deadline_s
        conditions = Conditions(self.deadline_s, np.array([self._most], np.int64))
        cores = None if works_in_turns(ready) else _cores(ready)
        self.service = Service(
            ready.menu,
            ready.loaded.paths,
            scheduler.build(ready.menu, conditions),
            self.deadline_s,
            cores,
            self._most,
        )

    async def answer(self, question: wire.Question) -> wire.Answer:
        """Answer one question.

        Raises:
            InvalidInput: the question breaks a rule.
            Overloaded: turned away.
            Closed: the service is being shut down.
        """
        try:
            return await self._answer(question)
        except InvalidInput:
            self._metrics.failed("invalid")
            raise
        except Overloaded:
            self._metrics.failed("shed")
            raise
        except Exception:
            self._metrics.failed("error")
            raise

    async def _answer(self, question: wire.Question) -> wire.Answer:
        asked = await self._ready.reader.read(question)
        allowed_s = None if question.deadline_ms is None else question.deadline_ms / 1e3
        ranked = await self.service.rank(asked, allowed_s)
        loaded = self._ready.loaded.paths[ranked.path]
        stages = None
        if question.explain:  # in a thread, so that nobody else waits for it
            stages = await asyncio.to_thread(self._explained, asked, ranked, loaded, question.k)
        answer = answer_of(ranked, asked, question, loaded, self._ready.items, self._plan, stages)
        outcome = "late" if ranked.late else "degraded" if ranked.path else "ok"
        path = self.menu.paths[ranked.path]
        self._metrics.answered(
            outcome, path.name, ranked.latency_s, asked.num_candidates, path.quality
        )
        return answer

    def _explained(
        self, asked: Asked, ranked: Ranked, loaded: LoadedPath, k: int | None
    ) -> list[wire.StageExplained]:
        cascade = loaded.step_by_step
        size = asked.num_candidates
        question = brought(asked.question, cascade.pipeline, size, self._most)
        return explained(cascade, question, ranked.survivors.columns[:k])

    @property
    def plan(self) -> str:
        """Content hash of the plan."""
        return self._plan

    @property
    def texts(self) -> tuple[bool, bool]:
        """Whether users, and items, are called by text."""
        users = self.deployment.dataset.context_keys
        return users is not None and users.dtype.kind == "U", self._ready.items.is_text

    async def answer_each(self, questions: list[wire.Question]) -> list[wire.Answer]:
        """Answer several questions side by side, all or none.

        Raises:
            RecfunnelError: as `answer`, of the first question that failed.
        """
        found = await asyncio.gather(
            *(self.answer(question) for question in questions), return_exceptions=True
        )
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return [one for one in found if isinstance(one, wire.Answer)]

    async def answer_all(self, bulk: wire.Bulk) -> wire.BulkAnswer:
        """Answer several questions side by side; what fails is told in its place."""
        found = await asyncio.gather(
            *(self.answer(question) for question in bulk.requests), return_exceptions=True
        )
        return wire.BulkAnswer(entries=[_told(one) for one in found])


def _told(found: wire.Answer | BaseException) -> wire.BulkEntry:
    if isinstance(found, wire.Answer):
        return wire.BulkEntry(answer=found)
    if isinstance(found, InvalidInput | Overloaded):
        return wire.BulkEntry(error=str(found))
    raise found
