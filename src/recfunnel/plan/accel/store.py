"""What a search found, kept on disk by what it was asked, so that a killed search goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from recfunnel.core.results import Estimate
from recfunnel.core.spec import Value
from recfunnel.core.storage import content_hash, read_json, write_json

V = TypeVar("V", bound=Value)

METHOD = 1
"""Goes up when what is found for the same question changes."""


class RankFound(Value, frozen=True):
    """How a group of designs ranks.

    Args:
        ndcg: mean over queries.
        overshoot: of each stage's filter.
    """

    ndcg: Estimate
    overshoot: tuple[float, ...]


class LoadFound(Value, frozen=True):
    """A design under load.

    Args:
        p99_s: at the load.
        throughput_qps: of queries that always wait.
        busiest: unit.
    """

    p99_s: Estimate
    throughput_qps: Estimate
    busiest: str


class Found:
    """Answers by question.

    Args:
        folder: where they are kept; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, kind: str, question: object, of: type[V], answer: Callable[[], V]) -> V:
        """What was found before, or is found now and kept."""
        if self._folder is None:
            return answer()
        file = self._folder / f"{kind}-{content_hash([METHOD, question])}.json"
        if not file.exists():
            write_json(file, answer())
        return read_json(file, of)
