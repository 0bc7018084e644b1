"""What a library to compare with must bring: what it needs, and how it is set up and called."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recfunnel.bench.model import BenchModel
from recfunnel.bench.queries import FlatQuery
from recfunnel.bench.results import Precision
from recfunnel.core.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class LoadedPeer:
    """A library with the model in it.

    Args:
        prepare: brings a query into the form the library likes best; not timed.
        run: scores what was prepared: float32, one a candidate, in any shape; timed.
    """

    prepare: Callable[[FlatQuery], Any]
    run: Callable[[Any], FloatArray]


class Peer:
    """Role of a library to compare with. Not timed: imports, conversion, compiling."""

    __slots__ = ()

    name: str
    """Short; it names the library and what is special."""

    precision: Precision
    """Of its arithmetic."""

    modules: tuple[str, ...]
    """What must be importable."""

    slow_to_build: bool = False
    """Whether setting it up takes longer than measuring it: left out of a quick look."""

    def takes(self, model: BenchModel) -> bool:
        """Whether it can run this model."""
        del model
        return True

    @abstractmethod
    def load(self, model: BenchModel, num_threads: int, cache: Path) -> LoadedPeer:
        """Set the library up; tables are shared with the model where the library can.

        Args:
            model: to run.
            num_threads: cores a call may use; process-wide in some libraries.
            cache: folder for what is worth keeping.
        """
