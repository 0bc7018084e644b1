"""Measured profiles: the time that a call really takes, of the queries that really come."""

import numpy as np
import pytest

from recfunnel.core.results import LatencyProfile
from recfunnel.profile.measure import measure_profiles
from recfunnel.profile.request import HAND_OVER, RESTED, WAKE_UP, ProfileRequest
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.timing import TOP_K
from serving_world import Recipe, make_world, query_set

NUM_ITEMS = 120
REQUEST = ProfileRequest(
    sizes={"short": (10, NUM_ITEMS), "long": (NUM_ITEMS,), "reads": (10, 50)},
    repetitions=30,
    seconds=3.0,
)


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LatencyProfile]:
    recipes = [
        Recipe(name="short", sleep_s=0.001),
        Recipe(name="long", sleep_s=0.003),
        Recipe(name="reads", score_inputs=("short",)),
    ]
    setup = make_world(tmp_path_factory.mktemp("world"), recipes, num_items=NUM_ITEMS)
    with Engine(setup) as engine:
        found = measure_profiles(engine, REQUEST, query_set(50, NUM_ITEMS))
    return {profile.model: profile for profile in found}


def test_every_model_the_selection_and_the_hand_over_have_a_profile(
    profiles: dict[str, LatencyProfile],
) -> None:
    timed = {"short", "long", "reads", TOP_K}
    rested = {RESTED.name(model) for model in timed}
    assert set(profiles) == timed | rested | {HAND_OVER, WAKE_UP}
    assert profiles["short"].batch_sizes.tolist() == [10, NUM_ITEMS]
    assert profiles[TOP_K].batch_sizes.tolist() == [10, 50, NUM_ITEMS]
    assert all(profile.source == "measured" for profile in profiles.values())


def test_all_calls_are_timed_on_the_same_number_of_queries(
    profiles: dict[str, LatencyProfile],
) -> None:
    assert {profile.latency_s.shape[1] for profile in profiles.values()} == {30}


def test_a_call_takes_what_it_sleeps(profiles: dict[str, LatencyProfile]) -> None:
    for model, asleep_s in (("short", 0.001), ("long", 0.003)):
        times_s = profiles[model].latency_s
        assert times_s.min() >= asleep_s
        # Waking up late on a busy machine is the measurement's own noise, not the model's time.
        assert np.quantile(times_s, 0.25) < asleep_s + 0.003
