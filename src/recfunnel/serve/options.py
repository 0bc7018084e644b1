"""How a deployment is served: what the command line says, as one value every process gets."""

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.schedule.base import SchedulerSpec
from recfunnel.schedule.marginal_value import MarginalValue


class Options(Value, frozen=True):
    """How to serve.

    Args:
        host: to listen on; only this machine reaches the default.
        port: 0 takes any free one.
        workers: processes, each a server of its own; 0 takes as many as the plan has servers.
        deadline_s: of questions that state none; the plan's when None.
        warm_up_s: spent on timing each path.
        drain_s: to answer what is under way when told to stop.
        body_bytes: longest body of a request.
        scheduler: chooses the path of each question.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 0
    deadline_s: float | None = None
    warm_up_s: float = 0.5
    drain_s: float = 10.0
    body_bytes: int = 8 << 20
    scheduler: SchedulerSpec = MarginalValue()

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise StudyError(f"port is {self.port}, must be 0 to 65535")
        if self.workers < 0:
            raise StudyError(f"workers is {self.workers}, must be 0 (as planned) or more")
        for name in ("warm_up_s", "drain_s", "body_bytes"):
            if not getattr(self, name) > 0:
                raise StudyError(f"{name} is {getattr(self, name)}, must be above 0")
        if self.deadline_s is not None and not self.deadline_s > 0:
            raise StudyError(f"the deadline is {self.deadline_s} s, must be above 0")
