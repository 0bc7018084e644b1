"""Back-ends take turns, and each is timed alike."""

import time

import pytest

from recfunnel.bench.interleave import FEWEST_CALLS, WARM_CALLS, interleave
from recfunnel.bench.results import BackendResult, GroupResult, Timing, middle, ratio
from recfunnel.core.errors import StudyError


def backend(name: str, *rounds_s: float, way: str = "library") -> BackendResult:
    timing = Timing(rounds_s=rounds_s, p99_s=max(rounds_s), num_calls=len(rounds_s))
    return BackendResult(name=name, way=way, precision="float32", timing=timing, error=0.0)  # type: ignore[arg-type]


def group(*backends: BackendResult) -> GroupResult:
    return GroupResult(
        model="RM_small",
        setting="plain",
        num_candidates=100,
        num_items=0,
        largest=False,
        num_threads=1,
        backends=backends,
        foreign_share=0.0,
        steal_share=0.0,
    )


def test_every_back_end_is_timed_in_every_round() -> None:
    found = interleave(
        {"fast": lambda _: None, "slow": lambda _: time.sleep(0.004)},
        num_rounds=3,
        round_s=0.002,
        seed=0,
    )
    assert len(found.timings["fast"].rounds_s) == len(found.timings["slow"].rounds_s) == 3
    assert found.timings["slow"].num_calls == 3 * FEWEST_CALLS
    assert found.timings["slow"].median_s >= 0.004
    assert found.timings["fast"].median_s < 0.001


def test_queries_go_on_where_the_last_round_stopped() -> None:
    asked: list[int] = []
    interleave({"one": asked.append}, num_rounds=4, round_s=1e-9, seed=0)
    assert asked == list(range(4 * (WARM_CALLS + FEWEST_CALLS)))


def test_a_call_that_answers_several_queries_is_shared_out_among_them() -> None:
    def sleep(_: int) -> None:
        time.sleep(0.004)

    found = interleave(
        {"one": sleep, "four": sleep},
        num_rounds=2,
        round_s=0.01,
        seed=0,
        queries_a_call={"four": 4},
    )
    one, four = found.timings["one"], found.timings["four"]
    assert one.median_s >= 0.004 > 0.003 > four.median_s >= 0.001
    assert four.p99_s < one.p99_s


def test_the_order_changes_between_rounds() -> None:
    order: list[str] = []
    calls = {name: lambda _, name=name: order.append(name) for name in "abcd"}
    interleave(calls, num_rounds=6, round_s=1e-9, seed=3)
    rounds = [order[i : i + 20][::5] for i in range(0, len(order), 20)]
    assert all(sorted(names) == list("abcd") for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1


@pytest.mark.parametrize(("num_rounds", "round_s"), [(0, 1.0), (5, 0.0), (5, float("nan"))])
def test_no_rounds_or_no_time_is_refused(num_rounds: int, round_s: float) -> None:
    with pytest.raises(StudyError, match="at least one round"):
        interleave({}, num_rounds=num_rounds, round_s=round_s, seed=0)


def test_a_ratio_is_taken_round_by_round() -> None:
    # The machine was twice as slow in the second round, for both.
    found = ratio(backend("ours", 1.0, 2.0, 1.1, way="compiled"), backend("peer", 3.0, 6.0, 3.0))
    assert found.over == "peer"
    assert found.median == 3.0
    assert found.spread == pytest.approx((3.0 / 1.1, 3.0))


def test_the_fastest_library_is_none_of_ours() -> None:
    ours, slow, fast = backend("ours", 1.0, way="plain"), backend("a", 4.0), backend("b", 2.0)
    assert group(ours, slow, fast).fastest_library() == fast
    assert group(ours).fastest_library() is None
    assert group(ours, fast).fastest_library(("int8",)) is None
    assert group(fast).items_per_s(fast) == 50.0


def test_middle() -> None:
    assert middle((3.0, 1.0, 2.0)) == 2.0
    assert middle((4.0, 1.0, 2.0, 3.0)) == 2.5
