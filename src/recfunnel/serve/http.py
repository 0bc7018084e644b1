"""A process that answers over HTTP until it is told to stop."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from recfunnel.core.errors import StudyError
from recfunnel.serve.app import HttpService
from recfunnel.serve.metrics import Metrics
from recfunnel.serve.options import Options
from recfunnel.serve.ranking import Ranking, Ready


def listen(host: str, port: int) -> socket.socket:
    """Take a port, so that a busy one is known before anything is loaded.

    Raises:
        StudyError: it cannot be had.
    """
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise StudyError(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another one with "
            "--port, or --port 0 for any"
        ) from error
    return taken


def serve_until_stopped(
    ready: Ready, options: Options, taken: socket.socket, announce: Callable[[], None]
) -> None:
    """Answer until SIGINT or SIGTERM, then what is under way.

    Args:
        ready: the deployment.
        options: how.
        taken: from `listen`.
        announce: called when questions are taken.
    """
    with asyncio.Runner(loop_factory=_loop()) as runner:
        runner.run(_serve(ready, options, taken, announce))


async def _serve(
    ready: Ready, options: Options, taken: socket.socket, announce: Callable[[], None]
) -> None:
    metrics = Metrics()
    ranking = Ranking(ready, options.scheduler, metrics, options.deadline_s)
    try:
        http = HttpService(ranking, metrics, options.body_bytes)
        await _until_stopped(http, options, taken, announce)
        await ranking.service.drain(options.drain_s)
    finally:
        ranking.service.close()


async def _until_stopped(
    http: HttpService, options: Options, taken: socket.socket, announce: Callable[[], None]
) -> None:
    server = _Server(
        uvicorn.Config(
            http.app(),
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=max(1, round(options.drain_s)),
        )
    )

    stopped = asyncio.Event()

    def stop() -> None:
        http.is_leaving = True
        stopped.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    http.is_ready = True
    leaving = asyncio.create_task(_leave(server, stopped, options.drain_s))
    announce()
    await server.serve(sockets=[taken])
    leaving.cancel()


async def _leave(server: uvicorn.Server, stopped: asyncio.Event, drain_s: float) -> None:
    """Take no new connection, and let clients hang up: each answer tells them to.

    A connection that is closed while its client is about to ask again costs that client an error,
    so those at rest are closed last, and only after a while without a question.
    """
    await stopped.wait()
    for listening in server.servers:
        listening.close()
    deadline = asyncio.get_running_loop().time() + min(_LAME_S, drain_s)
    while server.server_state.connections and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.02)
    server.should_exit = True


_LAME_S = 2.0
"""How long connections at rest may still bring a question after the order to stop."""


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the loop has ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _loop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # not on every system; the standard loop serves as well, slower
        return asyncio.new_event_loop
    return uvloop.new_event_loop
