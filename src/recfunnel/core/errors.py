"""Every error recfunnel raises on purpose.

RecfunnelError
├── InvalidInput          what the caller gave breaks a rule (also a ValueError)
│   ├── DataError         a source file, or what it holds
│   └── StudyError        a study, a recipe, a spec or a command-line value
├── ModelError            a model returned the wrong shape, a NaN, or did not learn at all
├── RunFolderError        the run folder is in use, another study's, or another version's
├── WorkerError           a process of the engine died, failed or fell silent
├── StorageError          a file could not be read or written: no space, no permission, truncated
└── MissingExtraError     an optional library is not installed; names the extra that brings it

A message names the thing, the rule with both numbers, and the remedy.
*Infeasible* and *not steady* are answers, not errors: they travel as values.
"""


class RecfunnelError(Exception):
    """Base of every deliberate error."""


class InvalidInput(RecfunnelError, ValueError):  # noqa: N818 - reads as what happened
    """Something the caller gave breaks a rule."""


class DataError(InvalidInput):
    """A data file is missing, malformed, or holds a value outside its range."""


class StudyError(InvalidInput):
    """A study, recipe, spec or command-line value breaks a rule."""


class ModelError(RecfunnelError):
    """A model broke its contract: wrong shape, NaN, or no usable result."""


class RunFolderError(RecfunnelError):
    """A run folder is in use, belongs to another study, or to another version."""


class WorkerError(RecfunnelError):
    """A process of the execution engine died, failed or did not answer."""


class StorageError(RecfunnelError):
    """A file could not be read or written whole."""


class MissingExtraError(RecfunnelError):
    """An optional library is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library!r} is not installed; run: pip install 'recfunnel[{extra}]'")
