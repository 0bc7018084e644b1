"""Service times of whole stations for a run of queries, drawn from profiles.

Letters: N queries, S stations, R profiled queries.
"""

from collections.abc import Sequence

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.pipeline import Path
from recfunnel.core.results import LatencyProfile
from recfunnel.core.workload import sizes_for
from recfunnel.profile.request import HAND_OVER, WAKE_UP
from recfunnel.runtime.timing import TOP_K


def draw_service(
    path: Path,
    scorers: Sequence[tuple[str, ...]],
    profiles: Sequence[LatencyProfile],
    fractions: DoubleArray,
    rng: np.random.Generator,
) -> DoubleArray:
    """Service time of each query at each station.

    Each simulated query is given one profiled query, whose own times are added up over all calls:
    one with a long history is slow in every model that reads it. Selection and hand-over do not
    depend on the query and are drawn on their own.

    Args:
        path: stages and where they run.
        scorers: the models each stage calls (`stage_scorers`).
        profiles: of every model called, of `top_k` and of `hand_over`, for every platform and
            number of threads of the path.
        fractions: (N,), size of each query as a share (0, 1] of the first stage's candidates.
        rng: draws.

    Returns:
        (S, N), seconds.

    Raises:
        StudyError: something was not profiled.
        InvalidInput: a size is outside what was profiled.
    """
    book = {(p.model, p.platform, p.num_threads): p for p in profiles}
    luck = rng.random(fractions.size)
    offered = sizes_for(fractions, path.pipeline.stages[0].num_in)
    service_s = np.zeros((len(path.mapping.stations), fractions.size))
    stage = 0
    for number, station in enumerate(path.mapping.stations):
        where = station.platform, station.num_threads
        total_s = service_s[number]
        total_s += _drawn(_find(book, HAND_OVER, *where), np.ones_like(offered), _luck(rng, luck))
        for index in range(stage, stage + station.num_stages):
            sizes = np.minimum(offered, path.pipeline.stages[index].num_in)
            for model in scorers[index]:
                total_s += _drawn(_find(book, model, *where), sizes, luck)
            total_s += _drawn(_find(book, TOP_K, *where), sizes, _luck(rng, luck))
        stage += station.num_stages
    return service_s


def draw_wake_up(
    path: Path,
    profiles: Sequence[LatencyProfile],
    num_queries: int,
    rng: np.random.Generator,
) -> DoubleArray:
    """Delay of each query that finds every server at rest, summed over stations.

    Args:
        path: where stages run.
        profiles: of `wake_up`, for every platform and number of threads of the path.
        num_queries: N.
        rng: draws.

    Returns:
        (N,), seconds.

    Raises:
        StudyError: it was not profiled.
    """
    book = {(p.model, p.platform, p.num_threads): p for p in profiles}
    once = np.ones(num_queries, np.int64)
    total_s = np.zeros(num_queries)
    for station in path.mapping.stations:
        profile = _find(book, WAKE_UP, station.platform, station.num_threads)
        total_s += _drawn(profile, once, rng.random(num_queries))
    return total_s


def _luck(rng: np.random.Generator, like: DoubleArray) -> DoubleArray:
    return rng.random(like.size)


def _find(
    book: dict[tuple[str, str, int], LatencyProfile], model: str, platform: str, num_threads: int
) -> LatencyProfile:
    profile = book.get((model, platform, num_threads))
    if profile is None:
        raise StudyError(
            f"{model!r} has no profile on {platform!r} with {num_threads} threads; profile it"
        )
    return profile


def _drawn(profile: LatencyProfile, sizes: IntArray, luck: DoubleArray) -> DoubleArray:
    """Times of calls with these sizes (N,); equal luck (N,) means the same profiled query."""
    low, high = int(profile.batch_sizes[0]), int(profile.batch_sizes[-1])
    if int(sizes.min()) < low or int(sizes.max()) > high:
        raise InvalidInput(
            f"{profile.model!r} was profiled for {low} to {high} items, asked for "
            f"{int(sizes.min())} to {int(sizes.max())}; profile those sizes too"
        )
    columns = (luck * profile.latency_s.shape[1]).astype(np.int64)
    right = np.searchsorted(profile.batch_sizes, sizes)
    left = np.maximum(right - 1, 0)
    span = np.maximum(profile.batch_sizes[right] - profile.batch_sizes[left], 1)
    share = (profile.batch_sizes[right] - sizes) / span
    near_s, far_s = profile.latency_s[right, columns], profile.latency_s[left, columns]
    drawn: DoubleArray = near_s + share * (far_s - near_s)
    return drawn
