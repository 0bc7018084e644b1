"""What a process of an engine of several paths does with each of its commands."""

from collections.abc import Mapping, Sequence

from recfunnel.core.dataset import QuerySet
from recfunnel.core.pipeline import Pipeline
from recfunnel.runtime.arena import Arena
from recfunnel.runtime.base import LoadedModel
from recfunnel.runtime.cascade import Cascade, OneByOne, StageRunner
from recfunnel.runtime.messages import MAX_STATIONS
from recfunnel.runtime.paths_dispatch import Dispatching
from recfunnel.runtime.paths_messages import ServePaths, TakePaths, TakePolicy
from recfunnel.runtime.paths_server import PathsServer, done_sender, sized, start_receiver
from recfunnel.runtime.paths_stations import handed_on_scores, stages_on
from recfunnel.runtime.runner import quickest
from recfunnel.runtime.server import stored_question
from recfunnel.schedule.dispatcher import Dispatcher

_REHEARSALS = 5


def take_paths(
    command: TakePaths,
    queries: QuerySet,
    models: Mapping[str, LoadedModel],
    score_inputs: Mapping[str, tuple[str, ...]],
) -> PathsServer:
    """Become a server; every path that begins here is run a few times, so that none is cold."""

    def runner_of(pipeline: Pipeline, stages: range) -> StageRunner:
        cascade = Cascade(pipeline, models, len(queries.items), score_inputs)
        return quickest(OneByOne(cascade, stages))

    runners: dict[tuple[int, int], StageRunner] = {}
    for number, path in enumerate(command.paths):
        for station, stages in stages_on(path, command.platform).items():
            runners[number, station] = runner_of(path.pipeline, stages)
    for (number, station), runner in runners.items():
        if station == 0:
            pipeline = command.paths[number].pipeline
            for row in range(_REHEARSALS):
                question = stored_question(queries, row % len(queries))
                runner.run(sized(question, pipeline, pipeline.stages[0].num_in), None)
    handed_on = handed_on_scores(command.paths, score_inputs)
    return PathsServer(queries, tuple(path.pipeline for path in command.paths), runners, handed_on)


def serve_paths(
    command: ServePaths,
    server: PathsServer,
    arena: Arena,
    readers: Sequence[int],
    writers: Sequence[int],
) -> None:
    """Answer what the own pipe brings."""
    receive = start_receiver(readers[MAX_STATIONS + command.server])
    server.serve(arena, receive, done_sender(writers[0], command.server))


def take_policy(command: TakePolicy) -> Dispatcher:
    """A dispatcher with a fresh policy."""
    policy = command.scheduler.build(command.menu, command.conditions)
    return Dispatcher(command.menu, policy, command.conditions.deadline_s)


def dispatch(
    dispatcher: Dispatcher, arena: Arena, readers: Sequence[int], writers: Sequence[int]
) -> None:
    """Let a run's queries arrive and tell servers what to start."""
    counts = list(dispatcher.menu.num_servers.values())
    first = [sum(counts[:number]) for number in range(len(counts))]
    pipes = list(writers[MAX_STATIONS : MAX_STATIONS + sum(counts)])
    Dispatching(arena, dispatcher, pipes, first, readers[0]).run()
