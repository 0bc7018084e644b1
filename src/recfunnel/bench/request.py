"""What a measurement of the engine is asked for."""

from typing import Literal

from recfunnel.bench.peers import peers_named
from recfunnel.bench.shapes import shape_named
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value

Part = Literal["plain", "catalogue", "largest", "scan", "cores", "cascade", "steady", "memory"]
"""Features of each candidate's own; a catalogue; the largest catalogue; the whole catalogue for one
query; two cores against one; two stages in one call; how steady calls are and what they allocate;
what a process holds that serves."""

PARTS: tuple[Part, ...] = (
    *("plain", "catalogue", "largest", "scan", "cores"),
    *("cascade", "steady", "memory"),
)


class EngineRequest(Value, frozen=True):
    """What to measure.

    Args:
        models: names of shapes.
        parts: of the measurement.
        candidates: a query, for plain and catalogue.
        num_items: of the usual catalogue.
        largest_items: of the largest.
        num_rows: of a DLRM's tables, about; None for the full size.
        peers: names of libraries; none for all.
        num_rounds: of turns.
        round_s: for each back-end in a round.
        num_pairs: candidates in all queries of a workload together, about.
        num_steady: calls from which the 99th percentile is read.
        seed: of everything random.
        quick: leave out libraries that take minutes to set up.
    """

    models: tuple[str, ...] = ("RM_small", "RM_med", "RM_large", "NeuMF_large")
    parts: tuple[Part, ...] = PARTS
    candidates: tuple[int, ...] = (1, 256, 1024, 4096)
    num_items: int = 10**6
    largest_items: int = 10**7
    num_rows: int | None = None
    peers: tuple[str, ...] = ()
    num_rounds: int = 7
    round_s: float = 0.05
    num_pairs: int = 1 << 20
    num_steady: int = 10_000
    seed: int = 0
    quick: bool = False

    def __post_init__(self) -> None:
        for what, value, least in (
            ("candidates", min(self.candidates, default=1), 1),
            ("items", self.num_items, 1),
            ("items of the largest catalogue", self.largest_items, 1),
            ("rounds", self.num_rounds, 1),
            ("candidates in all queries", self.num_pairs, 1),
            ("steady calls", self.num_steady, 100),
        ):
            if value < least:
                raise StudyError(f"{value} {what}, must be at least {least}")
        if not self.round_s > 0:
            raise StudyError(f"{self.round_s:g} s for a round, must be above 0")
        for name in self.models:
            shape_named(name)
        peers_named(self.peers)


QUICK = EngineRequest(
    models=("RM_small", "RM_large", "NeuMF_large"),
    parts=("plain", "catalogue", "scan", "cores", "cascade", "steady", "memory"),
    candidates=(1, 256, 1024),
    num_items=20_000,
    num_rows=200_000,
    num_rounds=5,
    round_s=0.01,
    num_pairs=1 << 17,
    num_steady=5_000,
    quick=True,
)
"""A first look in less than a minute, on tables that fit anywhere: not the targets' sizes."""
