"""From a plan file to a service that answers."""

from collections.abc import Callable
from pathlib import Path

from recfunnel.serve.deployment import read_deployment
from recfunnel.serve.http import listen
from recfunnel.serve.options import Options
from recfunnel.serve.supervisor import Supervisor


def serve(place: Path, options: Options, say: Callable[[str], None]) -> None:
    """Serve until told to stop.

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
    workers, _ = deployment.split(options.workers)
    with listen(options.host, options.port) as taken:
        at = f"http://{options.host}:{taken.getsockname()[1]}"
        Supervisor(place, options, taken, say).run(
            deployment,
            lambda: say(f"serving at {at} with {workers} worker(s) (POST {at}/v1/rank)"),
        )
