"""Of runtimes that rank alike, each call uses the fastest, and that is what is planned with."""

import dataclasses

import numpy as np

from recfunnel.core.pipeline import Mapping, Path, Station, pipeline_of
from recfunnel.core.results import LatencyProfile
from recfunnel.profile.request import HAND_OVER, RESTED
from recfunnel.profile.runtimes import fastest_runtimes
from recfunnel.runtime.timing import FUSED_CALL, TOP_K

SIZES = (64, 512)
INPUTS: dict[str, tuple[str, ...]] = {"front": (), "rerank": ("front",)}


def profile(model: str, runtime: str, *means_s: float, threads: int = 1) -> LatencyProfile:
    spread = np.array([0.5, 1.0, 1.5])
    sizes = SIZES if len(means_s) == 2 else (1,)
    return LatencyProfile(
        model=model,
        platform="cpu",
        num_threads=threads,
        batch_sizes=np.array(sizes, np.int64),
        latency_s=np.array(means_s)[:, np.newaxis] * spread,
        source="measured",
        runtime=runtime,
    )


PROFILES = (
    profile("front", "quick", 1.0, 9.0),
    profile("front", "steady", 2.0, 5.0),
    profile(RESTED.name("front"), "quick", 3.0, 4.0),
    profile(RESTED.name("front"), "steady", 2.0, 6.0),
    profile("rerank", "steady", 7.0, 8.0),
    profile("front", "steady", 1.0, 2.0, threads=2),
    profile(HAND_OVER, "", 0.1),
)


def test_each_size_is_taken_from_the_runtime_that_is_fastest_there() -> None:
    merged, _ = fastest_runtimes(PROFILES)
    front = next(p for p in merged if p.model == "front" and p.num_threads == 1)

    np.testing.assert_allclose(front.latency_s.mean(axis=1), [1.0, 5.0])


def test_the_rested_profile_follows_the_choice_of_the_busy_one() -> None:
    merged, _ = fastest_runtimes(PROFILES)
    rested = next(p for p in merged if p.model == RESTED.name("front"))

    np.testing.assert_allclose(rested.latency_s.mean(axis=1), [3.0, 6.0])


def test_nothing_is_lost_and_nothing_is_twice() -> None:
    merged, _ = fastest_runtimes(PROFILES)
    keys = [(p.model, p.num_threads) for p in merged]

    assert sorted(keys) == sorted({(p.model, p.num_threads) for p in PROFILES})


def test_a_path_is_told_the_runtime_of_every_model_it_calls() -> None:
    _, choice = fastest_runtimes(PROFILES)
    one = Mapping(stations=(Station(platform="cpu", num_stages=2),))
    path = Path(pipeline=pipeline_of(("front", "rerank"), (512, 64, 10)), mapping=one)
    named = choice.named(path, INPUTS)

    assert dict(named.runtimes) == {"front": "steady", "rerank": "steady"}
    assert (named.pipeline, named.mapping) == (path.pipeline, path.mapping)

    alone = Mapping(stations=(Station(platform="cpu", num_stages=1),))
    short = Path(pipeline=pipeline_of(("rerank",), (64, 10)), mapping=alone)
    assert dict(choice.named(short, INPUTS).runtimes) == {"front": "quick", "rerank": "steady"}


def test_a_time_inside_a_call_is_compared_with_the_call_added_and_others_with_the_selection() -> (
    None
):
    """Inside 1 s of a call of 5 s against 4 s with a selection of 3 s; then with one of 1 s."""
    inside = dataclasses.replace(profile("front", "quick", 1.0, 1.0), fused_sizes=SIZES)
    outside = profile("front", "steady", 4.0, 4.0)
    around = profile(FUSED_CALL, "", 5.0, 5.0)
    for selection_s, chosen in ((3.0, "quick"), (1.0, "steady")):
        select = profile(TOP_K, "", selection_s, selection_s)
        merged, choice = fastest_runtimes([inside, outside, around, select])

        assert set(choice.fastest.values()) == {chosen}
        assert merged[0].fused_sizes == (SIZES if chosen == "quick" else ())


def test_modelled_profiles_name_no_runtime() -> None:
    _, choice = fastest_runtimes([profile("front", "", 1.0, 2.0)])
    one = Mapping(stations=(Station(platform="cpu", num_stages=1),))
    path = Path(pipeline=pipeline_of(("front",), (512, 10)), mapping=one)

    assert choice.named(path, INPUTS).runtimes == ()
