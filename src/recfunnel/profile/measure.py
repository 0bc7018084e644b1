"""Times every model over batch sizes, in the very processes and calls that serve.

All servers that a machine's cores allow run at the same time, as they do under load; models and
sizes alternate in random order, so that a slow minute of the machine falls on all of them alike.
Every call is timed on the same R queries: column r of every profile is the same query, and a query
that is slow in one model can be slow in the next.

Letters: L calls (a model at a size), R queries.
"""

from dataclasses import dataclass, field

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.dataset import QuerySet
from recfunnel.core.progress import SILENT, Progress, Task
from recfunnel.core.results import LatencyProfile
from recfunnel.core.seeds import rng_for, seed_for
from recfunnel.profile.hand_over import measure_hand_over
from recfunnel.profile.noise import clean_calls, words
from recfunnel.profile.population import representative_rows
from recfunnel.profile.request import ProfileRequest
from recfunnel.profile.samples import Samples
from recfunnel.runtime.clock import now_s
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.messages import Call, TimeCalls, Timed
from recfunnel.runtime.noise import Disturbance, disturbance, read_machine
from recfunnel.runtime.timing import TOP_K

_ROUND_S = 0.5
"""A round is judged as a whole: long enough to see what others used of the machine."""

_FIRST_PASS = 0.7
"""Share of the time meant for the first pass; the rest repeats what was disturbed."""

_FEWEST_QUERIES = 24
_PILOT_CALLS = 3
_GRACE_S = 60.0


def measure_profiles(
    engine: Engine, request: ProfileRequest, queries: QuerySet, progress: Progress = SILENT
) -> tuple[LatencyProfile, ...]:
    """Time all models of a request, the selection (`top_k`) and the hand-over (`hand_over`).

    Args:
        engine: whose processes do the work; any path it had prepared must be prepared again.
        request: what to time.
        queries: the population, the same that the engine's setup names.
        progress: told about samples taken.

    Returns:
        For each number of threads, a profile of each model, of `top_k` and of `hand_over`.

    Raises:
        WorkerError: a process died, failed or fell silent.
        StorageError: a model's folder is missing or damaged.
    """
    profiles: list[LatencyProfile] = []
    rows: IntArray | None = None
    for threads in request.num_threads:
        session = _Session(engine, request, threads, rng_for(request.seed, "profile", threads))
        session.open(queries)
        if rows is None:  # the same queries for all: columns of all profiles belong together
            sample = rng_for(request.seed, "profiled queries")
            rows = representative_rows(queries, session.affordable_queries(), sample)
        profiles += session.measure(rows, progress)
        profiles.append(measure_hand_over(engine, request, rows, session.num_servers, threads))
    return tuple(profiles)


@dataclass(slots=True)
class _Session:
    """Measuring with one number of threads."""

    engine: Engine
    request: ProfileRequest
    num_threads: int
    rng: np.random.Generator
    calls: list[tuple[str, int]] = field(init=False)
    servers: tuple[str, ...] = ()
    cost_s: DoubleArray = field(init=False)
    rounds: list[Disturbance] = field(default_factory=list)

    def __post_init__(self) -> None:
        request = self.request
        self.calls = [(model, size) for model, sizes in request.sizes.items() for size in sizes]
        self.calls += [(TOP_K, size) for size in request.all_sizes]

    @property
    def num_servers(self) -> int:
        """As many as the cores allow: their contention is part of what is served."""
        return max(1, len(self.engine.cores) // self.num_threads)

    @property
    def budget_s(self) -> float:
        """Seconds for this number of threads."""
        return self.request.seconds / len(self.request.num_threads)

    def open(self, queries: QuerySet) -> None:
        """Load the models and learn roughly what each call costs."""
        self.servers = self.engine.load_models(
            tuple(self.request.sizes), num_servers=self.num_servers, num_threads=self.num_threads
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
        one_each_s = float(self.cost_s.sum()) * (1 + self.request.idle_ratio) / self.num_servers
        affordable = int(_FIRST_PASS * self.budget_s / one_each_s)
        return min(self.request.repetitions, max(_FEWEST_QUERIES, affordable))

    def measure(self, rows: IntArray, progress: Progress) -> list[LatencyProfile]:
        """Fill the table of samples and cut it into profiles."""
        samples = Samples.empty(len(self.calls), rows.size)
        deadline_s = now_s() + self.budget_s
        label = f"profile, {self.num_threads} thread" + ("s" if self.num_threads > 1 else "")
        with progress.task(label, total=samples.seconds.size) as task:
            self._pass(samples, samples.missing_places(), rows, deadline_s + self.budget_s, task)
            while (left := samples.open_places()).size and now_s() < deadline_s:
                task.note(f"{left.size} samples were disturbed; once more")
                self._pass(samples, left, rows, deadline_s, task)
        return self._profiles(samples)

    def _pass(
        self, samples: Samples, places: IntArray, rows: IntArray, deadline_s: float, task: Task
    ) -> None:
        """Time all these places once, in rounds, in random order, shared by all servers."""
        left = self.rng.permutation(places)
        open_before = samples.open_places().size
        while left.size and now_s() < deadline_s:
            taken = self._round(samples, left, rows)
            left = left[taken:]
            open_now = samples.open_places().size
            task.advance(open_before - open_now)
            open_before = open_now

    def _round(self, samples: Samples, places: IntArray, rows: IntArray) -> int:
        """Time the first places, about half a second's worth; how many were taken."""
        num_queries = rows.size
        price_s = self.cost_s[places // num_queries] * (1 + self.request.idle_ratio)
        count = int(np.searchsorted(np.cumsum(price_s), _ROUND_S * len(self.servers))) + 1
        count = min(places.size, max(count, len(self.servers)))
        shares = [places[s : count : len(self.servers)] for s in range(len(self.servers))]
        before = read_machine(self.engine.process_ids)
        answers = self.engine.time_calls(
            [
                (name, self._command(self._calls_at(share, rows), self.request.idle_ratio))
                for name, share in zip(self.servers, shares, strict=True)
            ],
            2 * _GRACE_S,
        )
        disturbed = disturbance(before, read_machine(self.engine.process_ids))
        self.rounds.append(disturbed)
        for share, timed in zip(shares, answers, strict=True):
            _enter(samples, share, timed, disturbed)
        return count

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
        return TimeCalls(tuple(calls), idle_ratio, seed, now_s() + at_most_s)

    def _profiles(self, samples: Samples) -> list[LatencyProfile]:
        seconds = samples.filled()
        profiles = []
        for model in dict.fromkeys(name for name, _ in self.calls):
            mine = [i for i, (name, _) in enumerate(self.calls) if name == model]
            share = float(np.mean([samples.disturbed_share(i) for i in mine]))
            profiles.append(
                LatencyProfile(
                    model=model,
                    platform=self.request.platform,
                    num_threads=self.num_threads,
                    batch_sizes=np.array([self.calls[i][1] for i in mine], np.int64),
                    latency_s=seconds[mine],
                    source="measured",
                    notes=words(share, self.rounds),
                )
            )
        return profiles


def _enter(samples: Samples, places: IntArray, timed: Timed, disturbed: Disturbance) -> None:
    done = places[: timed.seconds.size]
    samples.note(done, timed.seconds, clean_calls(timed, disturbed))
