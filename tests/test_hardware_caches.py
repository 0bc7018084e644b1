"""Row caches: exact, against plain simulations and against libCacheSim."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import cache_oracles
from cache_oracles import ORACLES
from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.hardware.caches.base import CachePolicySpec, cache_policies, count_hits
from recfunnel.hardware.caches.belady import Belady
from recfunnel.hardware.caches.fifo import Fifo
from recfunnel.hardware.caches.lfu import Lfu
from recfunnel.hardware.caches.lru import Lru, lru_hits, stack_distances
from recfunnel.hardware.caches.s3fifo import S3Fifo
from recfunnel.hardware.caches.static import Static
from recfunnel.hardware.caches.trace import RowTrace, row_trace
from recfunnel.testing.cache_policy import CachePolicyContract

POLICIES = tuple(ORACLES)


def policy(kind: str) -> CachePolicySpec:
    return cache_policies.parse({"kind": kind})


def zipf_like(seed: int, num_rows: int, num_lookups: int) -> NDArray[np.int64]:
    """Popular and rare rows, drawn anew; the popular ones change half-way."""
    rng = rng_for(seed, "cache trace")
    drawn = (num_rows * rng.random(num_lookups) ** 3).astype(np.int64)
    drawn[num_lookups // 2 :] = (drawn[num_lookups // 2 :] + num_rows // 3) % num_rows
    return drawn


@st.composite
def traces(draw: st.DrawFn) -> RowTrace:
    ids = draw(st.lists(st.integers(0, draw(st.integers(0, 40))), min_size=1, max_size=300))
    trace = row_trace(np.array(ids))
    return trace.warmed_up_by(draw(st.integers(0, len(ids) - 1)))


class TestLru(CachePolicyContract):
    spec = Lru()


class TestFifo(CachePolicyContract):
    spec = Fifo()


class TestLfu(CachePolicyContract):
    spec = Lfu()


class TestS3Fifo(CachePolicyContract):
    spec = S3Fifo()


class TestBelady(CachePolicyContract):
    spec = Belady()


class TestStatic(CachePolicyContract):
    spec = Static()
    evicts = False


CAPACITIES = st.lists(st.integers(1, 45), min_size=1, max_size=20)


@pytest.mark.parametrize("kind", POLICIES)
@settings(deadline=None)
@given(trace=traces(), capacities=CAPACITIES)
def test_hits_are_those_of_a_plain_simulation(
    kind: str, trace: RowTrace, capacities: list[int]
) -> None:
    counted = count_hits(policy(kind), trace, capacities)
    rows = trace.rows.tolist()
    expected = [sum(ORACLES[kind](rows, c)[trace.num_warm_up :]) for c in capacities]
    assert counted.hits.tolist() == expected
    assert counted.num_counted == len(rows) - trace.num_warm_up


@pytest.mark.parametrize("kind", POLICIES)
def test_hits_are_those_of_a_plain_simulation_on_a_longer_trace(kind: str) -> None:
    trace = row_trace(zipf_like(1, 900, 12_000)).warmed_up_by(2_000)
    capacities = [1, 7, 50, 200, 600]
    rows = trace.rows.tolist()
    expected = [sum(ORACLES[kind](rows, c)[2_000:]) for c in capacities]
    assert count_hits(policy(kind), trace, capacities).hits.tolist() == expected


@settings(deadline=None)
@given(trace=traces(), capacities=CAPACITIES)
def test_static_rows_are_the_hottest_of_the_warm_up(trace: RowTrace, capacities: list[int]) -> None:
    if not trace.num_warm_up:
        with pytest.raises(StudyError, match="no warm-up; give one"):
            count_hits(policy("static"), trace, capacities)
        return
    rows = trace.rows.tolist()
    expected = [sum(cache_oracles.static(rows, c, trace.num_warm_up)) for c in capacities]
    assert count_hits(policy("static"), trace, capacities).hits.tolist() == expected


def test_stack_distances_are_the_hits_of_every_capacity() -> None:
    trace = row_trace(zipf_like(3, 3_000, 80_000))
    hits = np.cumsum(stack_distances(trace, 1_000))
    for capacity in (1, 2, 63, 64, 65, 500, 999, 1_000):
        assert hits[capacity] == lru_hits(trace, capacity)


def test_distances_beyond_many_superblocks_are_counted() -> None:
    # a sweep over n rows, twice: every distance of the second sweep is n
    for num_rows in (70_000, 300_000):
        sweep = np.arange(num_rows)
        distances = stack_distances(row_trace(np.concatenate([sweep, sweep])), num_rows)
        assert distances[num_rows] == num_rows
        assert distances.sum() == num_rows


@settings(deadline=None)
@given(trace=traces())
def test_stack_policies_hit_no_less_with_more_capacity_and_belady_hits_most(
    trace: RowTrace,
) -> None:
    capacities = np.arange(1, 42)
    best = count_hits(policy("belady"), trace.warmed_up_by(0), capacities).hits
    assert (np.diff(best) >= 0).all()
    assert (np.diff(count_hits(policy("lru"), trace, capacities).hits) >= 0).all()
    for kind in POLICIES:
        assert (count_hits(policy(kind), trace.warmed_up_by(0), capacities).hits <= best).all()


def test_fifo_may_hit_less_with_more_capacity() -> None:
    # Belady, Nelson, Shedler 1969: three places miss 9 of 12 lookups, four miss 10
    trace = row_trace(np.array([1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5]))
    assert count_hits(policy("fifo"), trace, [3, 4]).misses.tolist() == [9, 10]


def test_counts_come_in_the_order_of_the_capacities() -> None:
    trace = row_trace(zipf_like(6, 300, 3_000))
    forth = count_hits(policy("lfu"), trace, [5, 50, 5, 200])
    back = count_hits(policy("lfu"), trace, [200, 5, 50, 5])
    assert forth.hits.tolist() == back.hits[[1, 2, 3, 0]].tolist()
    assert forth.hit_rates[1] == forth.hits[1] / 3_000


@pytest.mark.parametrize(
    ("capacities", "message"),
    [([], "no capacity"), ([5, 0], "cache of 0"), ([5, 10**20], "a capacity is 1 to")],
)
def test_a_cache_without_rows_is_refused(capacities: list[int], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        count_hits(policy("lru"), row_trace(np.array([1, 2])), capacities)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"small_share": 0.0}, "small_share is 0.0"),
        ({"ghost_share": -1.0}, "ghost_share is -1.0"),
        ({"uses_to_stay": 0}, "uses_to_stay is 0"),
    ],
)
def test_absurd_settings_of_s3fifo_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        cache_policies.parse({"kind": "s3fifo", **change})


def test_settings_of_s3fifo_matter() -> None:
    trace = row_trace(zipf_like(7, 2_000, 20_000))
    usual = count_hits(S3Fifo(), trace, [200]).hits[0]
    others = (S3Fifo(small_share=0.5), S3Fifo(ghost_share=0.0), S3Fifo(uses_to_stay=1))
    assert usual not in [count_hits(other, trace, [200]).hits[0] for other in others]


@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize("seed", range(3))
def test_hits_are_those_of_libcachesim(kind: str, seed: int) -> None:
    library = pytest.importorskip(
        "libcachesim", reason="libcachesim is not installed; it comes with the extra oracles"
    )
    ids = zipf_like(seed, 3_000, 40_000)
    trace = row_trace(ids)
    capacities = [20, 170, 1_000]
    names = {"lru": "LRU", "fifo": "FIFO", "lfu": "LFU", "s3fifo": "S3FIFO", "belady": "Belady"}
    upcoming = next_lookups(trace.rows)
    theirs = []
    for capacity in capacities:
        cache = getattr(library, names[kind])(cache_size=capacity)
        hits = 0
        for now, row in enumerate(trace.rows.tolist()):
            request = library.Request(
                obj_size=1, obj_id=row + 1, clock_time=now, next_access_vtime=upcoming[now]
            )
            hits += cache.get(request)
        theirs.append(hits)
    assert count_hits(policy(kind), trace, capacities).hits.tolist() == theirs


def next_lookups(rows: NDArray[np.uint32]) -> list[int]:
    """When each lookup's row is looked up next; libCacheSim's largest number for never."""
    upcoming: dict[int, int] = {}
    found = [0] * rows.size
    for now in reversed(range(rows.size)):
        found[now] = upcoming.get(int(rows[now]), np.iinfo(np.int64).max)
        upcoming[int(rows[now])] = now
    return found
