"""Progress of long work, told to whoever listens; silent by default.

Rooms report; the command line draws. `track` is the usual way:

    for batch in progress.track(batches, "train dlrm_small"):
        ...
"""

from collections.abc import Iterable, Iterator, Sized
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

T = TypeVar("T")


class Task(Protocol):
    """One bar."""

    def advance(self, steps: float = 1) -> None:
        """Say that `steps` more are done."""
        ...

    def note(self, text: str) -> None:
        """Replace the short text beside the bar, such as the current loss."""
        ...


class Progress:
    """Where rooms report long work. This base class is silent; the command line overrides it."""

    def task(self, label: str, total: float | None = None) -> AbstractContextManager[Task]:
        """Open a bar for the length of a `with` block.

        Args:
            label: what is being done, such as `train ials`.
            total: number of steps; None when it cannot be known.

        Returns:
            A context manager that yields the task.
        """
        del label, total
        return nullcontext(_SilentTask())

    def log(self, text: str) -> None:
        """Say one line that should stay on the screen and in the run's log."""

    def track(self, steps: Iterable[T], label: str, total: float | None = None) -> Iterator[T]:
        """Iterate `steps` while a bar advances."""
        if total is None and isinstance(steps, Sized):
            total = len(steps)
        with self.task(label, total) as task:
            for step in steps:
                yield step
                task.advance()


class _SilentTask:
    def advance(self, steps: float = 1) -> None:
        del steps

    def note(self, text: str) -> None:
        del text


SILENT = Progress()
"""Progress nobody watches."""
