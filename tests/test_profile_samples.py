"""Samples: which times are believed, what stands for the population, how profiles are stored."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.core.errors import InvalidInput, StorageError, StudyError
from recfunnel.core.model import ModelCost
from recfunnel.core.pipeline import pipeline_of
from recfunnel.core.platform import Platform
from recfunnel.core.results import LatencyProfile
from recfunnel.hardware.cost import latency_s
from recfunnel.profile.blocks import GROUP, NOT_KEPT, blocks_of
from recfunnel.profile.modelled import modelled_profiles
from recfunnel.profile.noise import clean_calls, words
from recfunnel.profile.population import representative_rows
from recfunnel.profile.request import HAND_OVER, WAKE_UP, ProfileRequest, sizes_of
from recfunnel.profile.samples import Samples
from recfunnel.profile.storage import load_profiles, save_profiles
from recfunnel.runtime.messages import Timed
from recfunnel.runtime.noise import Disturbance
from recfunnel.runtime.timing import TOP_K
from serving_world import query_set

QUIET = Disturbance(seconds=1.0, steal_share=0.0, foreign_share=0.0)
BUSY = Disturbance(seconds=1.0, steal_share=0.0, foreign_share=0.4)


def test_a_clean_time_replaces_a_disturbed_one_and_is_never_replaced_by_one() -> None:
    samples = Samples.empty(1, 3)
    everywhere = np.arange(3)
    samples.note(everywhere, np.array([5.0, 5.0, 5.0]), np.array([False, True, False]))
    samples.note(everywhere, np.array([3.0, 1.0, 7.0]), np.array([False, False, True]))

    # Of two disturbed times the shorter one is nearer the truth.
    assert samples.seconds.tolist() == [[3.0, 5.0, 7.0]]
    assert samples.open_places().tolist() == [0]
    assert samples.disturbed_share(0) == pytest.approx(1 / 3)


def test_a_time_never_taken_becomes_the_median_of_its_call() -> None:
    samples = Samples.empty(2, 3)
    samples.note(np.array([0, 1, 3]), np.array([1.0, 3.0, 9.0]), np.ones(3, np.bool_))

    assert samples.missing_places().tolist() == [2, 4, 5]
    assert samples.filled().tolist() == [[1.0, 3.0, 2.0], [9.0, 9.0, 9.0]]


def test_calls_that_lost_their_core_or_a_busy_machine_are_not_believed() -> None:
    timed = Timed(np.array([1.0, 1.0]), np.array([False, True]))

    assert clean_calls(timed, QUIET).tolist() == [True, False]
    assert clean_calls(timed, BUSY).tolist() == [False, False]


def test_disturbance_is_said_in_words() -> None:
    assert words(0.0, 0.0, [QUIET] * 9 + [BUSY]) == ()
    assert words(0.2, 0.0, [QUIET]) == ("20% of the samples were taken while disturbed",)
    assert "5 of 10 rounds polluted" in words(0.0, 0.0, [QUIET, BUSY] * 5)[0]
    assert "medians instead" in words(0.0, 0.1, [QUIET])[0]


@given(count=st.integers(1, 400), seed=st.integers(0, 9))
def test_representative_rows_have_the_populations_spread(count: int, seed: int) -> None:
    queries = query_set(200, 300, longest_history=40)
    # What a query brings is its history, here listed twice: as a feature and as excluded columns.
    amount = np.sort(queries.context.multi_valued[0].lengths)

    rows = representative_rows(queries, count, np.random.default_rng(seed))

    assert rows.size == count
    taken = np.sort(queries.context.multi_valued[0].lengths[rows])
    # One row from each of `count` equal parts of the ordered population.
    edges = np.arange(count + 1) / count * amount.size
    low = amount[np.floor(edges[:-1]).astype(int)]
    high = amount[np.minimum(np.ceil(edges[1:]).astype(int), amount.size) - 1]
    assert (low <= taken).all()
    assert (taken <= high).all()


def test_profiles_survive_being_stored(tmp_path: Path) -> None:
    profile = LatencyProfile(
        "ease",
        "cpu",
        2,
        np.array([10, 20]),
        np.array([[1.0, 2.0], [3.0, 4.0]]),
        "measured",
        ("noisy",),
    )
    save_profiles(tmp_path / "profiles", [profile])
    (loaded,) = load_profiles(tmp_path / "profiles")

    assert (loaded.model, loaded.platform, loaded.num_threads) == ("ease", "cpu", 2)
    assert (loaded.source, loaded.notes) == ("measured", ("noisy",))
    np.testing.assert_array_equal(loaded.latency_s, profile.latency_s)
    np.testing.assert_array_equal(loaded.batch_sizes, profile.batch_sizes)

    (tmp_path / "profiles" / "0.latency_s.npy").unlink()
    with pytest.raises(StorageError, match=r"lacks 0\.latency_s\.npy"):
        load_profiles(tmp_path / "profiles")


def test_modelled_profiles_are_the_roofline_by_hand_and_labelled() -> None:
    platform = Platform(
        name="box",
        description="",
        memory_bytes=1,
        bandwidth_bytes_per_s=1e9,
        compute_flops_per_s=4e9,
        launch_overhead_s=1e-5,
        num_cores=4,
    )
    cost = ModelCost(
        flops_per_query=0.0, flops_per_item=1000.0, read_bytes_per_item=100.0, parameter_bytes=1
    )
    request = ProfileRequest(sizes={"m": (10, 100)}, num_threads=(1, 4), platform="box")

    profiles = {
        (p.model, p.num_threads): p for p in modelled_profiles({"m": cost}, platform, request)
    }

    assert {name for name, _ in profiles} == {"m", TOP_K, HAND_OVER, WAKE_UP}
    assert profiles["m", 1].source == "modelled"
    # 100 items: 100,000 FLOPs on one core of 1 GFLOP/s, against 10 µs of reading.
    assert profiles["m", 1].mean_s(100) == pytest.approx(1e-5 + 1e-4)
    assert profiles["m", 4].mean_s(100) == latency_s(cost, platform, 100, 4)


def test_a_profile_covers_every_size_a_pipeline_calls() -> None:
    inputs: dict[str, tuple[str, ...]] = {"a": (), "side": (), "b": ("a", "side")}
    pipelines = [pipeline_of(("a", "b"), (100, 30, 5)), pipeline_of(("a", "b"), (100, 20, 5))]

    assert sizes_of(pipelines, inputs) == {"a": (100,), "side": (20, 30), "b": (20, 30)}
    small = sizes_of(pipelines[:1], inputs, smallest_fraction=0.1)
    assert small == {"a": (10, 100), "side": (10, 30), "b": (10, 30)}


def test_a_request_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(StudyError, match="must rise"):
        ProfileRequest(sizes={"m": (10, 10)})
    with pytest.raises(StudyError, match="at least one model"):
        ProfileRequest(sizes={})
    with pytest.raises(InvalidInput, match="asked for"):
        representative_rows(query_set(5, 5), 0, np.random.default_rng(0))


@given(
    num_calls=st.integers(1, 7),
    num_queries=st.integers(1, 30),
    seed=st.integers(0, 5),
    share=st.floats(0.05, 1.0),
)
def test_blocks_hold_every_place_once_and_alternate(
    num_calls: int, num_queries: int, seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    everything = np.arange(num_calls * num_queries)
    places = rng.permutation(everything)[: max(1, int(share * everything.size))]

    blocks = list(blocks_of(places, num_queries, rng))

    kept = np.concatenate([kept for _, kept in blocks])
    assert sorted(kept[kept != NOT_KEPT].tolist()) == sorted(places.tolist())
    for called, kept in blocks:
        calls = called // num_queries
        alternating = len(set(calls.tolist()))
        # The first alternation warms up, the same calls follow and are kept.
        assert (kept[:alternating] == NOT_KEPT).all()
        np.testing.assert_array_equal(called[alternating:], kept[alternating:])
        assert alternating <= GROUP
