"""Executes several paths for real, side by side, under open-loop load.

Every server of a platform is a process of its own that holds the models of all paths that run
there. One more process lets queries arrive and drives the dispatcher, the very object that the
simulator drives. What a station keeps of a query waits in shared memory for the next one.
"""

import os

import numpy as np

from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Mapping
from recfunnel.core.servable import PathMenu
from recfunnel.runtime.arena import Arena, new_file
from recfunnel.runtime.clock import now_s
from recfunnel.runtime.crew import Crew, Member
from recfunnel.runtime.crewed import Crewed
from recfunnel.runtime.messages import MAX_SERVERS, Done, Load, ServingSetup
from recfunnel.runtime.noise import disturbance, read_machine
from recfunnel.runtime.paths_messages import Dispatch, ServePaths, TakePaths, TakePolicy
from recfunnel.runtime.paths_run import (
    PathsRun,
    SizedLoad,
    paths_layout,
    read_paths_run,
    write_load,
)
from recfunnel.runtime.paths_stations import (
    executable_path,
    models_on,
    most_handed_on,
    platform_stations,
)
from recfunnel.runtime.placement import assign_cores, cores_wanted, spare_cores
from recfunnel.schedule.base import Conditions, SchedulerSpec

_SILENCE_S = 15.0
"""How long a process may say nothing after the moment it should have."""

_DISPATCHER = "dispatcher"


class PathsEngine(Crewed):
    """Worker processes that serve the paths of a menu; use in a `with` block.

    Args:
        setup: the runtimes, and where models and queries are stored.
        cores: to use; None takes all this process may use.
        patience_s: for loading models.

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
        self._menu: PathMenu | None = None
        self._servers: tuple[str, ...] = ()
        self._notes: tuple[str, ...] = ()

    def _forget(self) -> None:
        self._menu, self._servers = None, ()

    def prepare(self, menu: PathMenu) -> None:
        """Load and warm up, in every server, the models of all paths of its platform.

        Raises:
            StudyError: a path cannot be executed here, a model is unknown, or there are too many
                servers.
            StorageError: a model's folder is missing or damaged.
            WorkerError: a process died or did not answer in time.
        """
        paths = tuple(executable_path(menu, number) for number in range(len(menu)))
        stations = platform_stations(menu, paths)
        cores = assign_cores(Mapping(stations=stations), self.cores)
        if sum(map(len, cores)) > MAX_SERVERS:
            raise StudyError(
                f"the platforms have {sum(map(len, cores))} servers, the engine at most "
                f"{MAX_SERVERS}"
            )
        self._menu = None
        commands: list[tuple[str, object]] = [
            (_DISPATCHER, Load((), spare_cores(cores, self.cores), 1))
        ]
        roles: list[tuple[str, object]] = []
        for station, own_cores in zip(stations, cores, strict=True):
            models = models_on(station.platform, paths, self.setup)
            for number, core in enumerate(own_cores):
                name = f"{station.platform} server {number}"
                commands.append((name, Load(models, core, station.num_threads)))
                roles.append((name, TakePaths(paths, station.platform)))
        answers = self._ask(commands)
        self._ask(roles)
        said = [note for answer in answers for note in answer.notes]
        if (wanted := cores_wanted(Mapping(stations=stations))) > len(self.cores):
            said.append(f"servers share cores: {wanted} wanted, {len(self.cores)} there")
        self._notes = tuple(dict.fromkeys(said))
        self._servers = tuple(name for name, _ in roles)
        self._menu = menu

    def run(
        self,
        load: SizedLoad,
        scheduler: SchedulerSpec,
        conditions: Conditions,
        *,
        drain_s: float = 5.0,
    ) -> PathsRun:
        """Serve a load, each query on the path the scheduler chooses.

        Args:
            load: queries, their times and sizes.
            scheduler: built afresh for this run.
            conditions: what it may know in advance.
            drain_s: after the last arrival, how long queries may still be answered.

        Returns:
            What happened.

        Raises:
            StudyError: nothing is prepared, or the menu lacks a path the scheduler names.
            InvalidInput: a size is outside the paths' profiles.
            WorkerError: a process died, failed or fell silent.
        """
        if self._menu is None or self._crew is None:
            raise StudyError("prepare a menu before running a load on it")
        try:
            return self._run(self._menu, self._crew, load, scheduler, conditions, drain_s)
        except BaseException:
            self._end(kindly=False)
            raise

    def _run(
        self,
        menu: PathMenu,
        crew: Crew,
        load: SizedLoad,
        scheduler: SchedulerSpec,
        conditions: Conditions,
        drain_s: float,
    ) -> PathsRun:
        crew.ask([(_DISPATCHER, TakePolicy(menu, scheduler, conditions))], self._patience_s)
        paths = [executable_path(menu, number) for number in range(len(menu))]
        num_out = max(path.pipeline.num_out for path in paths)
        most = most_handed_on(paths, self.setup.score_inputs)
        layout = paths_layout(len(load), num_out, *most)
        descriptor = new_file(layout)
        try:
            arena = Arena(layout, descriptor)
            end_s = write_load(arena, load, drain_s)
            before = read_machine(crew.process_ids)
            servers = [
                crew.start(name, ServePaths(layout, number), descriptor)
                for number, name in enumerate(self._servers)
            ]
            dispatcher = crew.start(_DISPATCHER, Dispatch(layout), descriptor)
        finally:
            os.close(descriptor)
        said = self._wait(crew, dispatcher, servers, end_s)
        after = read_machine(crew.process_ids)
        num_stations = np.array([len(path.mapping.stations) for path in paths])
        disturbed = disturbance(before, after)
        return read_paths_run(arena, load, num_stations, disturbed, self._notes + said)

    def _wait(
        self, crew: Crew, dispatcher: Member, servers: list[Member], end_s: float
    ) -> tuple[str, ...]:
        found = crew.gather([dispatcher], end_s - now_s() + _SILENCE_S, servers)
        late = [member for member in servers if member.name not in found]
        crew.gather(late, max(0.0, end_s - now_s()) + _SILENCE_S)
        done: Done = found[dispatcher.name]
        return done.notes
