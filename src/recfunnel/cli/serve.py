"""`recfunnel serve`: a plan as a running service."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from recfunnel.cli.printing import say
from recfunnel.core.errors import MissingExtraError


def serve(
    plan: Path,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 0,
    deadline_ms: Annotated[float | None, Parameter(show_default=False)] = None,
    warm_up_seconds: float = 0.5,
    drain_seconds: float = 10.0,
    max_body_mib: float = 8.0,
) -> int:
    """Answer top-k over HTTP inside the deadline.

    Takes questions at /v1/rank once every path is loaded, warmed up and timed; /openapi.json
    describes them, a page at / shows how it goes. SIGTERM or Ctrl-C: no new connections, what is
    under way is answered, then it ends with exit code 0.

    Args:
        plan: `plan.json`, or the run folder it lies in.
        host: to listen on; only this machine reaches the default.
        port: 0 takes any free one.
        workers: processes, each a server of its own; 0 takes as many as the plan has servers.
        deadline_ms: of questions that state none; the plan's when left out.
        warm_up_seconds: spent on timing each path.
        drain_seconds: to answer what is under way when told to stop.
        max_body_mib: longest body of a request.
    """
    try:
        from recfunnel.serve.options import Options
        from recfunnel.serve.start import serve as serve_plan
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "serve") from error

    options = Options(
        host=host,
        port=port,
        workers=workers,
        deadline_s=None if deadline_ms is None else deadline_ms / 1e3,
        warm_up_s=warm_up_seconds,
        drain_s=drain_seconds,
        body_bytes=int(max_body_mib * 2**20),
    )
    serve_plan(plan, options, say)
    return 0
