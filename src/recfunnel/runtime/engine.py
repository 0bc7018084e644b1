"""Executes a path for real under open-loop load.

Each server of each station is a process of its own, pinned to its cores, that loads the models it
runs (what is mapped from files is shared); a station's servers read one pipe, which makes them an
exact first-come-first-served queue. The processes stay alive between runs and between paths.
"""

import os
from collections.abc import Sequence

from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Mapping, Path, Pipeline, Stage, Station, stage_scorers
from recfunnel.runtime.arena import Arena, Layout, new_file, run_layout
from recfunnel.runtime.cascade import carried_scores, needed_models
from recfunnel.runtime.clock import now_s
from recfunnel.runtime.crew import Member
from recfunnel.runtime.crewed import Crewed
from recfunnel.runtime.generator import END, QUERY
from recfunnel.runtime.messages import (
    MAX_STATIONS,
    Done,
    Generate,
    Load,
    Serve,
    ServingSetup,
    Take,
    TimeCalls,
    Timed,
)
from recfunnel.runtime.noise import disturbance, read_machine
from recfunnel.runtime.placement import assign_cores, cores_wanted
from recfunnel.runtime.record import read_run, write_schedule
from recfunnel.runtime.served import OpenLoad, ServedRun

_SILENCE_S = 15.0
"""How long a process may say nothing after the moment it should have."""

_GENERATOR = "generator"


class Engine(Crewed):
    """Worker processes that serve one path after another; use in a `with` block.

    Args:
        setup: the runtime, and where models and queries are stored.
        cores: to use; None takes all this process may use.
        patience_s: for loading models and other single commands.

    Raises:
        WorkerError: from any method, when a process dies, fails or falls silent. All processes
            are ended then; the next `prepare` starts new ones.
    """

    def __init__(
        self,
        setup: ServingSetup,
        *,
        cores: tuple[int, ...] | None = None,
        patience_s: float = 180.0,
    ) -> None:
        super().__init__(setup, cores=cores, patience_s=patience_s)
        self._path: Path | None = None
        self._servers: tuple[tuple[str, ...], ...] = ()
        self._carried: tuple[tuple[str, ...], ...] = ()
        self._notes: tuple[str, ...] = ()

    def _forget(self) -> None:
        self._path, self._servers = None, ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the processes could not have when they last loaded, in words."""
        return self._notes

    def prepare(self, path: Path) -> None:
        """Load and warm up what each server of a path needs.

        Raises:
            StudyError: a model is unknown, or there are too many stations.
            StorageError: a model's folder is missing or damaged.
            WorkerError: a process died or did not answer in time.
        """
        inputs = self.setup.score_inputs
        needed_models(path.pipeline.models, inputs)
        calls = stage_scorers(path.pipeline, inputs)
        takes, loads, first = [], [], 0
        for number, station in enumerate(path.mapping.stations):
            stages = (first, first + station.num_stages)
            names = dict.fromkeys(name for stage in calls[slice(*stages)] for name in stage)
            loads.append(tuple((name, self._runtime_of(name, path)) for name in names))
            takes.append(Take(path.pipeline, number, stages, len(path.mapping.stations)))
            first = stages[1]
        self._carried = carried_scores(path.pipeline, inputs)
        self._deploy(path, loads, takes)

    def prepare_empty(self, *, num_servers: int, num_threads: int) -> None:
        """Serve queries that rank nothing: what remains is the cost of handing a query over."""
        stage = Stage(model="nothing", num_in=1, num_out=1)
        station = Station(
            platform="cpu", num_stages=1, num_servers=num_servers, num_threads=num_threads
        )
        path = Path(pipeline=Pipeline(stages=(stage,)), mapping=Mapping(stations=(station,)))
        self._carried = ((),)
        self._deploy(path, [()], [Take(None, 0, (0, 1), 1)])

    def load_models(
        self, models: tuple[tuple[str, str], ...], *, num_servers: int, num_threads: int
    ) -> tuple[str, ...]:
        """Load models into servers for `time_calls`, placed as a station would be.

        Args:
            models: names with the runtime of each.
            num_servers: how many processes load them.
            num_threads: cores each call may use.

        Returns:
            Names of the servers.
        """
        station = Station(
            platform="cpu", num_stages=1, num_servers=num_servers, num_threads=num_threads
        )
        cores = assign_cores(Mapping(stations=(station,)), self.cores)[0]
        servers = tuple(_server_name(0, i) for i in range(num_servers))
        loads = [Load(models, c, num_threads) for c in cores]
        answers = self._ask(list(zip(servers, loads, strict=True)))
        self._notes = tuple(dict.fromkeys(note for answer in answers for note in answer.notes))
        return servers

    def time_calls(
        self, commands: Sequence[tuple[str, TimeCalls]], timeout_s: float
    ) -> list[Timed]:
        """Time calls in several servers at once.

        Args:
            commands: name of a server (from `load_models`) and what it shall call.
            timeout_s: until all must have answered.

        Returns:
            Answers in the same order.
        """
        return self._ask(commands, timeout_s)

    def run(self, load: OpenLoad, *, drain_s: float = 5.0) -> ServedRun:
        """Serve a load with the prepared path.

        Args:
            load: queries and their times.
            drain_s: after the last arrival, how long queries may still be answered.

        Returns:
            What happened; queries not answered by then have infinite latency.

        Raises:
            StudyError: nothing is prepared, or the load is too long for the queue.
            WorkerError: a process died, failed or fell silent.
        """
        if self._path is None or self._crew is None:
            raise StudyError("prepare a path before running a load on it")
        if len(load) > self._crew.queue_capacity:
            raise StudyError(
                f"the load has {len(load)} queries, the queue holds {self._crew.queue_capacity}; "
                "run it in parts"
            )
        layout = run_layout(self._path, self._carried, len(load))
        try:
            return self._run(load, layout, drain_s)
        except BaseException:
            self._end(kindly=False)
            raise

    def _run(self, load: OpenLoad, layout: Layout, drain_s: float) -> ServedRun:
        assert self._crew is not None
        crew, descriptor = self._crew, new_file(layout)
        try:
            arena = Arena(layout, descriptor)
            end_s = write_schedule(arena, load, drain_s)
            before = read_machine(crew.process_ids)
            stations = [
                [crew.start(name, Serve(layout), descriptor) for name in names]
                for names in self._servers
            ]
            generator = crew.start(_GENERATOR, Generate(layout), descriptor)
        finally:
            os.close(descriptor)
        notes = self._wait(generator, stations, end_s)
        after = read_machine(crew.process_ids)
        counts = tuple(len(names) for names in self._servers)
        disturbed = disturbance(before, after)
        return read_run(arena, load, counts, disturbed, self._notes + notes)

    def _wait(
        self, generator: Member, stations: list[list[Member]], end_s: float
    ) -> tuple[str, ...]:
        """Wait until all is sent, then close the stations in order.

        Each pipe is first in first out, so an end mark follows the last query.
        """
        assert self._crew is not None
        everyone = [member for station in stations for member in station]
        sent = self._crew.gather([generator], end_s - now_s() + _SILENCE_S, everyone)
        for number, servers in enumerate(stations):
            for _ in servers:
                self._crew.write(number, QUERY.pack(END))
            later = [member for station in stations[number + 1 :] for member in station]
            self._crew.gather(servers, max(0.0, end_s - now_s()) + _SILENCE_S, later)
        done: Done = sent[generator.name]
        return done.notes

    def _runtime_of(self, model: str, path: Path) -> str:
        return dict(path.runtimes).get(model, self.setup.first_runtime)

    def _deploy(
        self,
        path: Path,
        loads: Sequence[tuple[tuple[str, str], ...]],
        takes: Sequence[Take],
    ) -> None:
        num_stations = len(path.mapping.stations)
        if num_stations > MAX_STATIONS:
            raise StudyError(f"the path has {num_stations} stations, the engine {MAX_STATIONS}")
        cores = assign_cores(path.mapping, self.cores)
        self._path = None
        self._servers = tuple(
            tuple(_server_name(number, server) for server in range(len(station)))
            for number, station in enumerate(cores)
        )
        commands: list[tuple[str, object]] = [(_GENERATOR, Load((), self.cores, 1))]
        roles: list[tuple[str, object]] = []
        for number, names in enumerate(self._servers):
            threads = path.mapping.stations[number].num_threads
            for name, own in zip(names, cores[number], strict=True):
                commands.append((name, Load(loads[number], own, threads)))
                roles.append((name, takes[number]))
        answers = self._ask(commands)
        self._ask(roles)
        said = [note for answer in answers for note in answer.notes]
        if (wanted := cores_wanted(path.mapping)) > len(self.cores):
            said.append(f"servers share cores: {wanted} wanted, {len(self.cores)} there")
        self._notes = tuple(dict.fromkeys(said))
        self._path = path


def _server_name(station: int, server: int) -> str:
    return f"station {station} server {server}"
