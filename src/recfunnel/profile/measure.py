"""Times every model over batch sizes, in the very processes and calls that serve.

All servers that a machine's cores allow run at the same time, as they do under load; models and
sizes alternate in random order (`recfunnel.profile.blocks` says how).
Every call is timed on the same R queries: column r of every profile is the same query, and a query
that is slow in one model can be slow in the next.

Letters: L calls (a model at a size), R queries.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.dataset import QuerySet
from recfunnel.core.progress import SILENT, Progress, Task
from recfunnel.core.results import LatencyProfile
from recfunnel.core.seeds import rng_for, seed_for
from recfunnel.profile.blocks import GROUP, NOT_KEPT, blocks_of
from recfunnel.profile.hand_over import measure_hand_over
from recfunnel.profile.noise import clean_calls, words
from recfunnel.profile.population import representative_rows
from recfunnel.profile.request import BUSY, RESTED, Pace, ProfileRequest
from recfunnel.profile.samples import Samples
from recfunnel.runtime.clock import now_s
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.messages import Call, TimeCalls, Timed
from recfunnel.runtime.noise import Disturbance, disturbance, read_machine
from recfunnel.runtime.timing import FUSED_CALL, TOP_K

_ROUND_S = 0.5
"""A round is judged as a whole: long enough to see what others used of the machine."""

_FIRST_PASS = 0.7
"""Share of the time meant for the first pass; the rest repeats what was disturbed."""

_HOPELESS = 0.8
"""Share of disturbed samples still disturbed after a repetition, above which it is given up."""

_PRICE_OF_ALL_PACES = sum(1 + pace.idle_ratio for pace in (BUSY, RESTED))
_FEWEST_QUERIES = 24
_PILOT_CALLS = 3
_GRACE_S = 60.0


def measure_profiles(
    engine: Engine, request: ProfileRequest, queries: QuerySet, progress: Progress = SILENT
) -> tuple[LatencyProfile, ...]:
    """Time all models of a request, the selection, and handing a query over.

    Args:
        engine: whose processes do the work; any path it had prepared must be prepared again.
        request: what to time.
        queries: the population, the same that the engine's setup names.
        progress: told about samples taken.

    Returns:
        For each number of threads, a profile of each model on each of its runtimes, of `top_k` and,
        where a runtime runs all stages in one call, of `fused_call`, busy and rested; of
        `hand_over` and of `wake_up`.

    Raises:
        WorkerError: a process died, failed or fell silent.
        StorageError: a model's folder is missing or damaged.
    """
    profiles: list[LatencyProfile] = []
    rows: IntArray | None = None
    first = engine.setup.first_runtime
    runtimes = [name for name in engine.setup.runtimes if request.models_on(name, first)]
    for threads in request.num_threads:
        for pace, runtime in product((BUSY, RESTED), runtimes):
            rng = rng_for(request.seed, "profile", threads, pace.suffix, runtime)
            session = _Session(engine, request, threads, pace, runtime, len(runtimes), rng)
            session.open(queries)
            if rows is None:  # the same queries for all: columns of all profiles belong together
                sample = rng_for(request.seed, "profiled queries")
                rows = representative_rows(queries, session.affordable_queries(), sample)
            profiles += session.measure(rows, progress)
        assert rows is not None
        profiles += measure_hand_over(engine, request, rows, session.num_servers, threads)
    return tuple(profiles)


@dataclass(slots=True)
class _Session:
    """Measuring with one number of threads at one pace on one of several runtimes."""

    engine: Engine
    request: ProfileRequest
    num_threads: int
    pace: Pace
    runtime: str
    num_runtimes: int
    rng: np.random.Generator
    models: tuple[str, ...] = ()
    calls: list[tuple[str, int]] = field(init=False)
    servers: tuple[str, ...] = ()
    cost_s: DoubleArray = field(init=False)
    rounds: list[Disturbance] = field(default_factory=list)

    def __post_init__(self) -> None:
        request, first = self.request, self.engine.setup.first_runtime
        self.models = request.models_on(self.runtime, first)
        self.calls = [(model, size) for model in self.models for size in request.sizes[model]]
        if self.runtime == first:  # selecting is the same on all
            self.calls += [(TOP_K, size) for size in request.all_sizes]
        if self.fused and self.runtime == self._first_fused():
            self.calls += [(FUSED_CALL, size) for size in request.all_sizes]

    @property
    def fused(self) -> bool:
        """Whether stages are timed inside the call that runs all of them."""
        return self.engine.setup.runtimes[self.runtime].fused

    def _first_fused(self) -> str:
        setup, request = self.engine.setup, self.request
        names = (n for n, spec in setup.runtimes.items() if spec.fused)
        return next(n for n in names if request.models_on(n, setup.first_runtime))

    @property
    def num_servers(self) -> int:
        """As many as the cores allow: their contention is part of what is served."""
        return max(1, len(self.engine.cores) // self.num_threads)

    @property
    def budget_s(self) -> float:
        """Seconds for this number of threads, pace and runtime; a slow pace gets more."""
        share = (1 + self.pace.idle_ratio) / _PRICE_OF_ALL_PACES / self.num_runtimes
        return self.request.seconds / len(self.request.num_threads) * share

    def open(self, queries: QuerySet) -> None:
        """Load the models and learn roughly what each call costs."""
        self.servers = self.engine.load_models(
            tuple((model, self.runtime) for model in self.models),
            num_servers=self.num_servers,
            num_threads=self.num_threads,
        )
        rows = self.rng.integers(len(queries), size=_PILOT_CALLS)
        pilot = [Call(model, size, int(row)) for model, size in self.calls for row in rows]
        commands = [(name, self._command(pilot, 0.0, _GRACE_S)) for name in self.servers]
        answers = self.engine.time_calls(commands, 2 * _GRACE_S)
        done = min(answer.seconds.size for answer in answers) // _PILOT_CALLS
        times_s = np.stack([a.seconds[: done * _PILOT_CALLS] for a in answers])
        self.cost_s = np.median(times_s.reshape(len(answers), done, _PILOT_CALLS), axis=(0, 2))
        self.cost_s = np.append(self.cost_s, np.full(len(self.calls) - done, _GRACE_S))

    def affordable_queries(self) -> int:
        """R: as many as the first pass has time for, between 24 and what was asked."""
        one_each_s = float(self.cost_s.sum()) * (1 + self.pace.idle_ratio) / self.num_servers
        affordable = int(_FIRST_PASS * self.budget_s / one_each_s)
        return min(self.request.repetitions, max(_FEWEST_QUERIES, affordable))

    def measure(self, rows: IntArray, progress: Progress) -> list[LatencyProfile]:
        """Fill the table of samples and cut it into profiles."""
        samples = Samples.empty(len(self.calls), rows.size)
        deadline_s = now_s() + self.budget_s
        threads = f"{self.num_threads} thread" + ("s" if self.num_threads > 1 else "")
        label = f"profile{self.pace.suffix}, {threads}, {self.runtime}"
        with progress.task(label, total=samples.seconds.size) as task:
            self._pass(samples, samples.missing_places(), rows, deadline_s + self.budget_s, task)
            self._repeat(samples, rows, deadline_s, task)
        return self._profiles(samples)

    def _repeat(self, samples: Samples, rows: IntArray, deadline_s: float, task: Task) -> None:
        """Time disturbed places again while there is time and it helps."""
        left = samples.open_places()
        while left.size and now_s() < deadline_s:
            task.note(f"{left.size} samples were disturbed; once more")
            self._pass(samples, left, rows, deadline_s, task)
            before, left = left.size, samples.open_places()
            if left.size > _HOPELESS * before:
                return  # the whole machine is busy, not a moment of it

    def _pass(
        self, samples: Samples, places: IntArray, rows: IntArray, deadline_s: float, task: Task
    ) -> None:
        """Time all these places once, in rounds of blocks shared by all servers."""
        blocks = blocks_of(places, rows.size, self.rng)
        open_before = samples.open_places().size
        while now_s() < deadline_s and (shares := self._shares(blocks, rows.size)):
            self._round(samples, shares, rows)
            open_now = samples.open_places().size
            task.advance(open_before - open_now)
            open_before = open_now

    def _shares(
        self, blocks: Iterator[tuple[IntArray, IntArray]], num_queries: int
    ) -> list[list[tuple[IntArray, IntArray]]]:
        """About half a second's worth of blocks for each server; empty when none are left."""
        shares: list[list[tuple[IntArray, IntArray]]] = [[] for _ in self.servers]
        load_s = np.zeros(len(shares))
        while load_s.min() < _ROUND_S and (block := next(blocks, None)) is not None:
            least = int(load_s.argmin())
            shares[least].append(block)
            price_s = self.cost_s[block[0] // num_queries].sum()
            load_s[least] += price_s * (1 + self.pace.idle_ratio)
        return shares if any(shares) else []

    def _round(
        self, samples: Samples, shares: list[list[tuple[IntArray, IntArray]]], rows: IntArray
    ) -> None:
        """Time each server's blocks, all servers at once."""
        todo = [_joined(share) for share in shares]
        before = read_machine(self.engine.process_ids)
        answers = self.engine.time_calls(
            [
                (name, self._command(self._calls_at(places, rows), self.pace.idle_ratio))
                for name, (places, _) in zip(self.servers, todo, strict=True)
            ],
            2 * _GRACE_S,
        )
        disturbed = disturbance(before, read_machine(self.engine.process_ids))
        self.rounds.append(disturbed)
        for (_, kept), timed in zip(todo, answers, strict=True):
            _enter(samples, kept, timed, disturbed)

    def _calls_at(self, places: IntArray, rows: IntArray) -> list[Call]:
        numbers, columns = np.divmod(places, rows.size)
        return [
            Call(self.calls[number][0], self.calls[number][1], int(rows[column]))
            for number, column in zip(numbers.tolist(), columns.tolist(), strict=True)
        ]

    def _command(
        self, calls: list[Call], idle_ratio: float, at_most_s: float = _GRACE_S
    ) -> TimeCalls:
        seed = seed_for(self.request.seed, "calls", int(self.rng.integers(1 << 31)))
        return TimeCalls(tuple(calls), idle_ratio, seed, now_s() + at_most_s, GROUP)

    def _profiles(self, samples: Samples) -> list[LatencyProfile]:
        seconds = samples.filled()
        profiles = []
        for model in dict.fromkeys(name for name, _ in self.calls):
            mine = [i for i, (name, _) in enumerate(self.calls) if name == model]
            disturbed = float(np.mean([samples.disturbed_share(i) for i in mine]))
            missing = float(np.isnan(samples.seconds[mine]).mean())
            profiles.append(
                LatencyProfile(
                    model=self.pace.name(model),
                    platform=self.request.platform,
                    num_threads=self.num_threads,
                    batch_sizes=np.array([self.calls[i][1] for i in mine], np.int64),
                    latency_s=seconds[mine],
                    source="measured",
                    notes=(*words(disturbed, missing, self.rounds), *self.engine.notes),
                    runtime="" if model in (TOP_K, FUSED_CALL) else self.runtime,
                    fused_sizes=self._fused_sizes(model),
                )
            )
        return profiles

    def _fused_sizes(self, model: str) -> tuple[int, ...]:
        if not self.fused or model in (TOP_K, FUSED_CALL):
            return ()
        return tuple(size for name, size in self.calls if name == model)


def _joined(blocks: list[tuple[IntArray, IntArray]]) -> tuple[IntArray, IntArray]:
    """Blocks one behind the other: what to call, and where to keep it."""
    none = np.zeros(0, np.int64)
    called = np.concatenate([none, *(called for called, _ in blocks)])
    return called, np.concatenate([none, *(kept for _, kept in blocks)])


def _enter(samples: Samples, places: IntArray, timed: Timed, disturbed: Disturbance) -> None:
    done = places[: timed.seconds.size]
    wanted = done != NOT_KEPT
    clean = clean_calls(timed, disturbed)
    samples.note(done[wanted], timed.seconds[wanted], clean[wanted])
