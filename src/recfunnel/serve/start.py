"""From a plan file to a service that answers: in this process, or in several under watch."""

import sys
from collections.abc import Callable
from pathlib import Path

from recfunnel.core.errors import StudyError
from recfunnel.serve.deployment import Deployment, read_deployment
from recfunnel.serve.http import listen, serve_until_stopped
from recfunnel.serve.options import Options
from recfunnel.serve.ranking import make_ready
from recfunnel.serve.supervisor import Supervisor


def serve(place: Path, options: Options, say: Callable[[str], None]) -> None:
    """Serve until told to stop.

    A plan of one station is served by one process a server, so that servers share nothing but
    files. Several stations hand queries over inside one process, whose threads are the servers.

    Args:
        place: a plan file, or the run folder it lies in.
        options: how.
        say: told what happens.

    Raises:
        StorageError: a file is missing, damaged, or the plan was changed.
        StudyError: the plan cannot be served, or the port is taken.
        WorkerError: processes die before they take questions.
    """
    deployment = read_deployment(place)
    stations = deployment.points[0].path.mapping.stations
    workers = options.workers or (stations[0].num_servers if len(stations) == 1 else 1)
    if workers > 1 and sys.platform == "win32":
        raise StudyError("several workers share one socket, which Windows cannot; use --workers 1")
    taken = listen(options.host, options.port)
    at = f"http://{options.host}:{taken.getsockname()[1]}"

    def announce() -> None:
        say(f"serving at {at} with {workers} worker(s) (POST {at}/v1/rank)")

    with taken:
        if workers > 1:
            threads = max(station.num_threads for station in stations)
            Supervisor(place, options, workers, threads, say).run(taken, announce)
        else:
            ready = make_ready(_alone(deployment, options), say, options.warm_up_s)
            serve_until_stopped(ready, options, taken, announce)


def _alone(deployment: Deployment, options: Options) -> Deployment:
    """What a single process serves: one server when that was asked for, else all the plan has."""
    return deployment.for_one_server() if options.workers == 1 else deployment
