"""What engines share: processes that start with the first command and end with a failure."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from recfunnel.runtime.crew import Crew
from recfunnel.runtime.messages import ServingSetup
from recfunnel.runtime.placement import available_cores


class Crewed(ABC):
    """The life of an engine's processes; use in a `with` block.

    Args:
        setup: the runtimes, and where models and queries are stored.
        cores: to use; None takes all this process may use.
        patience_s: for loading models and other single commands.
    """

    def __init__(
        self,
        setup: ServingSetup,
        *,
        cores: tuple[int, ...] | None = None,
        patience_s: float = 180.0,
    ) -> None:
        self.setup = setup
        self.cores = cores or available_cores()
        self._patience_s = patience_s
        self._crew: Crew | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        self._end(kindly=True)

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Ids of the processes that are running."""
        return () if self._crew is None else self._crew.process_ids

    @abstractmethod
    def _forget(self) -> None:
        """Nothing is prepared any more: the processes are gone."""

    def _ask(
        self, commands: Sequence[tuple[str, object]], timeout_s: float | None = None
    ) -> list[Any]:
        """Give processes commands and wait for the answers; whoever is missing is started first.

        Args:
            commands: name of a process and what it shall do.
            timeout_s: for all of them; None means the engine's patience.

        Returns:
            Answers in the order of the commands.
        """
        if self._crew is None:
            self._crew = Crew(self.setup)
        try:
            return self._crew.ask(commands, self._patience_s if timeout_s is None else timeout_s)
        except BaseException:
            self._end(kindly=False)
            raise

    def _end(self, *, kindly: bool) -> None:
        if self._crew is not None:
            self._crew.close(kindly=kindly)
        self._crew = None
        self._forget()
