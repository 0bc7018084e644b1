"""A back-end with a workload before it: what is called, and what it should have answered.

Letters: B candidates a query.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recfunnel.bench.model import BenchModel
from recfunnel.bench.peer import LoadedPeer, Peer
from recfunnel.bench.queries import FlatQuery, Workload
from recfunnel.bench.results import Missing, Precision, Way
from recfunnel.bench.roof import Bound
from recfunnel.compile.evaluate import evaluate
from recfunnel.core.arrays import DoubleArray, FloatArray, IntArray
from recfunnel.core.errors import RecfunnelError
from recfunnel.core.progress import Progress

MOST_CHECKED = 256
"""Candidates of one query whose scores are held against float64."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One back-end, ready.

    Args:
        name: unique in its group.
        way: how it scores.
        precision: of its arithmetic.
        answer: scores of the query of that number, any number from 0.
        error: largest difference of a score to float64, over the largest score.
        bound: what one query costs at least on this machine; None where that is not known.
        num_queries: answered by one call.
    """

    name: str
    way: Way
    precision: Precision
    answer: Callable[[int], object]
    error: float
    bound: Bound | None = None
    num_queries: int = 1


def exact_scores(model: BenchModel, workload: Workload) -> DoubleArray:
    """Scores of the first query's first candidates, in float64.

    Args:
        model: asked.
        workload: its queries.
    """
    return exact_scores_of(model, workload, workload.candidates[0, :MOST_CHECKED])


def exact_scores_of(model: BenchModel, workload: Workload, candidates: IntArray) -> DoubleArray:
    """Scores of some candidates of the first query, in float64.

    Args:
        model: asked.
        workload: its queries.
        candidates: rows of its items.
    """
    scores: DoubleArray = evaluate(
        model.graph(workload.setting),
        model.parameters,
        workload.context.row(0),
        workload.items.take(candidates),
    )[0]
    return scores


def error_of(scores: FloatArray, exact: DoubleArray) -> float:
    """Largest difference, over the largest score.

    Args:
        scores: of the first query, B of them in any shape; inf comes back for another number.
        exact: of its first candidates.
    """
    found = np.asarray(scores).reshape(-1)
    if found.size < exact.size:
        return float("inf")
    return float(np.abs(found[: exact.size] - exact).max() / np.abs(exact).max())


def load_peers(
    peers: Sequence[Peer], model: BenchModel, cache: Path, progress: Progress
) -> tuple[list[tuple[Peer, LoadedPeer]], list[Missing]]:
    """Set libraries up for one core; those that fail are named with their reason.

    Args:
        peers: usable ones.
        model: to run.
        cache: for what they compile.
        progress: told of each.
    """
    loaded: list[tuple[Peer, LoadedPeer]] = []
    missing: list[Missing] = []
    for peer in progress.track(peers, f"{model.name}: set up libraries"):
        try:
            loaded.append((peer, peer.load(model, 1, cache)))
        except (ImportError, OSError, RuntimeError, RecfunnelError) as error:
            first = str(error).strip().splitlines()[:1]
            missing.append(Missing(name=peer.name, why=" ".join([type(error).__name__, *first])))
    return loaded, missing


def peer_backend(
    peer: Peer, loaded: LoadedPeer, queries: Sequence[FlatQuery], exact: DoubleArray, bound: Bound
) -> Backend:
    """A library with its inputs converted beforehand.

    Args:
        peer: the library.
        loaded: set up.
        queries: cycled.
        exact: scores of the first.
        bound: of the model as it is written.
    """
    ready = [loaded.prepare(query) for query in queries]

    def answer(number: int) -> FloatArray:
        return loaded.run(ready[number % len(ready)])

    error = error_of(answer(0), exact)
    return Backend(peer.name, "library", peer.precision, answer, error, bound)
