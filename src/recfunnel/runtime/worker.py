"""A process of the engine: carries out commands from its control pipe, one after another.

It ends when told to, when the pipe closes, or when the process that started it dies.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle
from time import perf_counter
from typing import Any

import threadpoolctl

from recfunnel.core.dataset import QuerySet, load_dataset
from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import base_name
from recfunnel.runtime.arena import Arena, Layout
from recfunnel.runtime.base import LoadedModel, remarks_of
from recfunnel.runtime.cascade import Cascade, OneByOne, StageRunner
from recfunnel.runtime.generator import pipe_sender, read_query, send_all
from recfunnel.runtime.messages import (
    Done,
    Failure,
    Generate,
    Load,
    Serve,
    ServingSetup,
    Stop,
    Take,
    TimeCalls,
)
from recfunnel.runtime.paths_messages import Dispatch, ServePaths, TakePaths, TakePolicy
from recfunnel.runtime.paths_server import PathsServer
from recfunnel.runtime.paths_worker import dispatch, serve_paths, take_paths, take_policy
from recfunnel.runtime.placement import make_urgent, pin
from recfunnel.runtime.runner import quickest
from recfunnel.runtime.server import Server, stored_question, unmapped
from recfunnel.runtime.timing import time_calls, warm_up
from recfunnel.schedule.dispatcher import Dispatcher


@dataclass(slots=True)
class _State:
    setup: ServingSetup
    control: "Connection[Any, Any]"
    readers: tuple[int, ...]
    writers: tuple[int, ...]
    queries: QuerySet | None = None
    loaded: dict[tuple[str, str], LoadedModel] = field(default_factory=dict)
    models: dict[str, LoadedModel] = field(default_factory=dict)
    num_threads: int = 0
    limits: Any = None
    server: Server | None = None
    paths_server: PathsServer | None = None
    dispatcher: Dispatcher | None = None


def run_worker(
    setup: ServingSetup,
    control: "Connection[Any, Any]",
    readers: tuple["Connection[Any, Any]", ...],
    writers: tuple["Connection[Any, Any]", ...],
) -> None:
    """Entry point of the process.

    Args:
        setup: where models and queries are.
        control: commands in, answers out.
        readers: reading end of each station's pipe.
        writers: writing end of each station's pipe.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    state = _State(
        setup, control, tuple(r.fileno() for r in readers), tuple(w.fileno() for w in writers)
    )
    with contextlib.suppress(EOFError):
        while not isinstance(command := control.recv(), Stop):
            control.send(_answer(state, command))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _answer(state: _State, command: object) -> object:
    try:
        return _carry_out(state, command)
    except Exception as error:  # told to the parent, which raises it
        return Failure(type(error).__name__, str(error), traceback.format_exc())


def _carry_out(state: _State, command: object) -> object:
    match command:
        case Load():
            return _load(state, command)
        case Take():
            return _take(state, command)
        case Serve(layout):
            arena = _receive_arena(state, layout)
            assert state.server is not None
            station = state.server.take.station
            send = pipe_sender(state.writers[min(station + 1, len(state.writers) - 1)])
            state.server.serve(arena, lambda: read_query(state.readers[station]), send)
            return Done()
        case Generate(layout):
            arena = _receive_arena(state, layout)
            notes = make_urgent()
            send_all(arena, pipe_sender(state.writers[0]))
            return Done(notes)
        case TakePaths():
            inputs = state.setup.score_inputs
            state.paths_server = take_paths(command, _queries(state), state.models, inputs)
            return Done()
        case TakePolicy():
            state.dispatcher = take_policy(command)
            return Done()
        case ServePaths(layout):
            arena = _receive_arena(state, layout)
            assert state.paths_server is not None
            serve_paths(command, state.paths_server, arena, state.readers, state.writers)
            return Done()
        case Dispatch(layout):
            arena = _receive_arena(state, layout)
            assert state.dispatcher is not None
            notes = make_urgent()
            dispatch(state.dispatcher, arena, state.readers, state.writers)
            return Done(notes)
        case TimeCalls():
            return time_calls(command, state.models, _queries(state))
        case _:
            raise StudyError(f"a worker has no command {type(command).__name__}")


def _receive_arena(state: _State, layout: Layout) -> Arena:
    descriptor = recv_handle(state.control)
    try:
        return Arena(layout, descriptor)
    finally:
        os.close(descriptor)


def _queries(state: _State) -> QuerySet:
    if state.queries is None:
        dataset = load_dataset(state.setup.dataset_folder)
        state.queries = unmapped(
            dataset.test if state.setup.split == "test" else dataset.validation
        )
    return state.queries


def _load(state: _State, command: Load) -> Done:
    notes = pin(command.cores)
    if not command.models:
        return Done(notes)
    queries = _queries(state)
    if command.num_threads != state.num_threads:
        state.loaded.clear()
        state.num_threads = command.num_threads
    for name, runtime in command.models:
        if (name, runtime) not in state.loaded:
            state.loaded[name, runtime] = state.setup.runtimes[runtime].load(
                state.setup.models_folder / base_name(name),
                queries.items,
                num_threads=command.num_threads,
            )
    state.models = {name: state.loaded[name, runtime] for name, runtime in command.models}
    # Libraries that came with the models made their own thread pools.
    state.limits = threadpoolctl.threadpool_limits(command.num_threads)
    remarks = tuple(said for model in state.models.values() for said in remarks_of(model))
    notes = tuple(dict.fromkeys(notes + pin(command.cores) + remarks))
    warm_up(tuple(state.models), state.models, queries)
    gc.collect()
    gc.freeze()  # what is loaded stays; a collection in the middle of a query would cost it dearly
    return Done(notes)


def _take(state: _State, command: Take) -> Done:
    queries = _queries(state)
    runner: StageRunner | None = None
    carried: tuple[tuple[str, ...], ...] = ()
    if command.pipeline is not None:
        inputs = state.setup.score_inputs
        cascade = Cascade(command.pipeline, state.models, len(queries.items), inputs)
        runner = quickest(OneByOne(cascade, range(*command.stages)))
        carried = cascade.carried
    state.server = Server(command, queries, runner, carried)
    if runner is not None and command.stages[0] == 0:
        _rehearse(runner, queries)
    return Done()


def _rehearse(runner: StageRunner, queries: QuerySet) -> None:
    """Run the station's own stages on real queries, for a tenth of a second at least."""
    began = perf_counter()
    row = 0
    while perf_counter() - began < 0.1:
        runner.run(stored_question(queries, row % len(queries)), None)
        row += 1
