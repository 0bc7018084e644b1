"""Which pipelines and mappings are looked at: all of them, each once, none that makes no sense."""

import math
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.errors import StudyError
from recfunnel.plan.mappings import (
    MAX_SHARES,
    compositions,
    enumerate_mappings,
    may_overtake,
    stages_of,
)
from recfunnel.plan.space import SearchSpace, enumerate_pipelines

MODELS = ("a", "b", "c", "d")


@settings(deadline=None)
@given(
    num_models=st.integers(1, 4),
    max_stages=st.integers(1, 4),
    keeps=st.sets(st.integers(5, 60), min_size=1, max_size=4),
)
def test_there_are_as_many_pipelines_as_counting_says(
    num_models: int, max_stages: int, keeps: set[int]
) -> None:
    space = SearchSpace(max_stages=max_stages, keep_counts=tuple(keeps), num_answers=5)
    found = enumerate_pipelines(space, MODELS[:num_models], 100)
    wanted = sum(
        math.perm(num_models, stages) * math.comb(len(keeps), stages - 1)
        for stages in range(1, max_stages + 1)
    )
    assert len(found) == len(set(found)) == wanted


def test_keep_counts_fall_and_no_model_comes_twice() -> None:
    space = SearchSpace(max_stages=4, keep_counts=(80, 5, 40, 20), num_answers=5)
    for pipeline in enumerate_pipelines(space, MODELS, 100):
        sizes = [stage.num_out for stage in pipeline.stages[:-1]]
        assert all(before > after for before, after in pairwise([100, *sizes]))
        assert len(set(pipeline.models)) == len(pipeline.models)
        assert pipeline.num_out == 5


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"max_stages": 5}, "max_stages is 5"),
        ({"max_stages": 0}, "max_stages is 0"),
        ({"keep_counts": (32,)}, "keep-count 32 is below the 64"),
        ({"keep_counts": (128, 128)}, "twice"),
        ({"keep_counts": ()}, "keep_counts is empty"),
        ({"thread_counts": (0,)}, "at least 1"),
        ({"num_answers": 0}, "num_answers is 0"),
    ],
)
def test_a_space_that_breaks_a_rule_says_which(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        SearchSpace(**wrong)  # type: ignore[arg-type]


def test_a_space_is_held_against_the_study() -> None:
    with pytest.raises(
        StudyError,
        match=r"keep-count 128 must be below the 100 .* --set space.keep_counts=\[64,80\]",
    ):
        enumerate_pipelines(SearchSpace(keep_counts=(64, 80, 128)), MODELS, 100)
    with pytest.raises(StudyError, match=r"keep-count 100 .* --set space.max_stages=1"):
        enumerate_pipelines(SearchSpace(keep_counts=(100,)), MODELS, 100)
    with pytest.raises(StudyError, match=r"64 items .* only 50 .* --set space.num_answers=50"):
        enumerate_pipelines(SearchSpace(max_stages=1), MODELS, 50)
    with pytest.raises(StudyError, match="names 'x'; known: a, b"):
        enumerate_pipelines(SearchSpace(models=("x",)), MODELS, 5000)


@settings(deadline=None, max_examples=40)
@given(
    num_stages=st.integers(1, 4),
    num_cores=st.integers(1, MAX_SHARES),
    thread_counts=st.sampled_from([(1,), (1, 2), (2,), (1, 2, 4)]),
)
def test_up_to_eight_cores_every_full_use_of_the_cores_is_listed_once(
    num_stages: int, num_cores: int, thread_counts: tuple[int, ...]
) -> None:
    found = enumerate_mappings(num_stages, num_cores, thread_counts=thread_counts)
    listed = {
        tuple((s.num_stages, s.num_servers, s.num_threads) for s in mapping.stations)
        for mapping in found
    }
    assert len(listed) == len(found)
    wanted = set()
    for stations in range(1, num_stages + 1):
        for sizes in compositions(num_stages, stations):
            for servers in product(range(1, num_cores + 1), repeat=stations):
                for threads in product(thread_counts, repeat=stations):
                    left = num_cores - sum(s * t for s, t in zip(servers, threads, strict=True))
                    if 0 <= left < min(threads):
                        wanted.add(tuple(zip(sizes, servers, threads, strict=True)))
    assert listed == wanted


@settings(deadline=None, max_examples=40)
@given(num_stages=st.integers(1, 4), num_cores=st.integers(9, 128))
def test_many_cores_are_all_used_and_mappings_do_not_explode(
    num_stages: int, num_cores: int
) -> None:
    found = enumerate_mappings(num_stages, num_cores)
    assert len(found) <= 1 + 3 * 7 + 3 * 21 + 35
    for mapping in found:
        assert mapping.num_stages == num_stages
        assert sum(s.num_servers * s.num_threads for s in mapping.stations) == num_cores


def test_queries_overtake_only_behind_several_servers_of_an_earlier_station() -> None:
    flags = {m.name: may_overtake(m) for m in enumerate_mappings(2, 3)}
    assert flags == {
        "3x1t cpu [2 stages]": False,
        "1x1t cpu → 2x1t cpu": False,
        "2x1t cpu → 1x1t cpu": True,
    }


def test_stages_are_numbered_through_the_stations() -> None:
    assert stages_of([2, 1]) == (range(2), range(2, 3))
