"""What all parts of a measurement share: its settings, its libraries, and what was left out.

Letters: B candidates a query.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recfunnel.bench.backend import Backend, exact_scores, load_peers, peer_backend
from recfunnel.bench.interleave import Interleaved, interleave
from recfunnel.bench.model import BenchModel
from recfunnel.bench.ours import OurEngine
from recfunnel.bench.peer import LoadedPeer, Peer
from recfunnel.bench.peers import peers_named, usable_peers
from recfunnel.bench.queries import Draw, Workload, flat_queries
from recfunnel.bench.results import Missing
from recfunnel.bench.roof import call_bound
from recfunnel.core.progress import Progress

FEWEST_FLAT = 4
"""Queries a library cycles through, at least."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One model, with everything that runs it.

    Args:
        model: its shape and parameters.
        ours: our machines for it.
        peers: libraries that have it loaded.
    """

    model: BenchModel
    ours: OurEngine
    peers: list[tuple[Peer, LoadedPeer]]


@dataclass(slots=True)
class Run:
    """A measurement under way.

    Args:
        peers: names of libraries asked for.
        num_rounds: of turns.
        round_s: for each back-end in a round.
        num_pairs: candidates in all queries of a workload together, about.
        flat_pairs: the same for libraries.
        seed: of everything random.
        quick: leave out libraries that take minutes to set up.
        cache: for what libraries compile.
        progress: told of everything.
        missing: what was left out so far.
    """

    peers: tuple[str, ...]
    num_rounds: int
    round_s: float
    num_pairs: int
    flat_pairs: int
    seed: int
    quick: bool
    cache: Path
    progress: Progress
    missing: list[Missing] = field(default_factory=list)

    def draw(self, num_candidates: int) -> Draw:
        """How queries of that size are drawn."""
        return Draw(num_candidates, self.num_pairs, self.seed)

    def subject(self, model: BenchModel) -> Subject:
        """A model with the libraries that can run it; the others are noted as missing."""
        usable, missing = usable_peers(peers_named(self.peers), model, quick=self.quick)
        loaded, failed = load_peers(usable, model, self.cache, self.progress)
        self.missing += [*missing, *failed]
        return Subject(model, OurEngine(model), loaded)

    def libraries(self, subject: Subject, workload: Workload) -> list[Backend]:
        """All of a subject's libraries on a workload, on one core."""
        if not subject.peers:
            return []
        model, size = subject.model, workload.candidates.shape[1]
        exact = exact_scores(model, workload)
        as_written = call_bound(model.graph("plain"), model.parameters, size)
        num_queries = max(FEWEST_FLAT, self.flat_pairs // size)
        flat = list(flat_queries(model, workload, num_queries))
        return [peer_backend(peer, ready, flat, exact, as_written) for peer, ready in subject.peers]

    def take_turns(self, backends: Sequence[Backend], label: str) -> Interleaved:
        """Time back-ends in the run's rounds; times are those of one query.

        Args:
            backends: to time.
            label: of the progress bar.
        """
        return interleave(
            {backend.name: backend.answer for backend in backends},
            num_rounds=self.num_rounds,
            round_s=self.round_s,
            seed=self.seed,
            progress=self.progress,
            label=label,
            queries_a_call={backend.name: backend.num_queries for backend in backends},
        )
