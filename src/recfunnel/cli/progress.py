"""Progress bars on the terminal's error stream, so that standard output stays clean."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from recfunnel.core.progress import SILENT, Progress, Task

_LOG_EVERY_S = 15.0


def reporting(*, quiet: bool) -> AbstractContextManager[Progress]:
    """Context manager that yields where progress goes."""
    return nullcontext[Progress](SILENT) if quiet else TerminalProgress()


class TerminalProgress(Progress):
    """Bars with rate and remaining time; plain lines now and then where there is no terminal.

    Use as a context manager around the whole command.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> "TerminalProgress":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def task(self, label: str, total: float | None = None) -> Iterator[Task]:
        """Open a bar for the length of the block."""
        bar = self._bars.add_task(label, total=total, note="")
        task = _Bar(self, bar, label, total)
        try:
            yield task
        finally:
            self._bars.remove_task(bar)

    def log(self, text: str) -> None:
        """Print a line above the bars."""
        self.console.print(text, highlight=False)

    def update(self, bar: TaskID, steps: float, note: str | None) -> None:
        """Move one bar."""
        if note is None:
            self._bars.update(bar, advance=steps)
        else:
            self._bars.update(bar, advance=steps, note=note)


class _Bar:
    def __init__(
        self, progress: TerminalProgress, bar: TaskID, label: str, total: float | None
    ) -> None:
        self._progress, self._bar, self._label, self._total = progress, bar, label, total
        self._done = 0.0
        self._note = ""
        self._said_at = time.monotonic()

    def advance(self, steps: float = 1) -> None:
        self._done += steps
        self._progress.update(self._bar, steps, None)
        self._say()

    def note(self, text: str) -> None:
        self._note = text
        self._progress.update(self._bar, 0, text)

    def _say(self) -> None:
        """Without a terminal nobody sees bars: tell now and then how far long work is."""
        now = time.monotonic()
        if self._progress.console.is_terminal or now - self._said_at < _LOG_EVERY_S:
            return
        self._said_at = now
        of = f" of {self._total:g}" if self._total else ""
        self._progress.log(f"  {self._label}: {self._done:g}{of} {self._note}")
