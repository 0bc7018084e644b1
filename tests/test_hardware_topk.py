"""The streaming top-k filter: laws for any scores, published overshoot and losses, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.hardware.topk.bins import linear_edges, tail_edges
from recfunnel.hardware.topk.filter import TopKFilter
from recfunnel.hardware.topk.run import FilterRun, filter_scores, recall

NUM = 4096
DRAWS = 60  # as many as the published figures are means of

LINEAR = {bins: TopKFilter(edges=linear_edges(bins)) for bins in (16, 64, 256, 1024)}


def draw(name: str, num_queries: int = DRAWS, seed: int = 0) -> np.ndarray:
    rng, shape = np.random.default_rng(seed), (num_queries, NUM)
    if name == "uniform":
        return rng.random(shape)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-rng.normal(-3, 1.5, shape)))
    alpha, beta = map(int, name.removeprefix("beta ").split())
    return rng.beta(alpha, beta, shape)


def with_changes(topk: TopKFilter, **changes: object) -> TopKFilter:
    kept = {name: getattr(topk, name) for name in topk.__struct_fields__}
    return TopKFilter(**{**kept, **changes})


score_tables = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 40)),
    elements=st.one_of(
        st.floats(-0.5, 1.5, width=32),
        st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, 3e38, -3e38]),
    ),
)
some_edges = st.lists(st.floats(0, 1), min_size=1, max_size=20).map(lambda e: tuple(sorted(e)))


@settings(max_examples=200, deadline=None)  # the first call compiles
@given(score_tables, some_edges, st.integers(1, 24), st.integers(1, 9), st.data())
def test_recall_is_1_and_at_least_k_pass_for_any_scores(
    scores: np.ndarray, edges: tuple[float, ...], bits: int, parts: int, data: st.DataObject
) -> None:
    n = scores.shape[1]
    k = data.draw(st.integers(1, n))
    exact = [{"sub_batches": min(parts, n), "policy": "running", "margin": np.inf}, {}]
    for changes in exact:
        topk = TopKFilter(edges=edges, score_bits=bits, **changes)
        run = filter_scores(topk, scores, k)
        assert (run.num_passed >= k).all()
        np.testing.assert_array_equal(recall(run.passed, scores, k), 1.0)
        np.testing.assert_array_equal(run.num_passed, run.passed.sum(axis=1))


@settings(max_examples=200, deadline=None)  # the first call compiles
@given(score_tables, some_edges, st.integers(1, 6), st.sampled_from([1, 3]), st.data())
def test_passes_what_counting_by_hand_passes(
    scores: np.ndarray, edges: tuple[float, ...], parts: int, lanes: int, data: st.DataObject
) -> None:
    n = scores.shape[1]
    k, parts = data.draw(st.integers(1, n)), min(parts, n)
    policy = data.draw(st.sampled_from(["global", "quota", "running"]))
    bits = 12
    topk = TopKFilter(edges=edges, score_bits=bits, sub_batches=parts, policy=policy, lanes=lanes)
    run = filter_scores(topk, scores, k)
    ends = [(j + 1) * n // parts for j in range(parts)]
    assert run.fill_cycles[0] == sum(
        -(-(end - start) // lanes) for start, end in zip([0, *ends], ends, strict=False)
    )
    for query, row in enumerate(scores.astype(np.float64)):
        code = np.clip(np.floor(row * 2**bits), 0, 2**bits - 1)
        bins = [sum(c >= np.ceil(edge * 2**bits) for edge in edges) for c in code]
        passed, walked = by_hand(bins, k, ends, policy, len(edges))
        assert set(np.flatnonzero(run.passed[query])) == passed
        assert run.walk_cycles[query] == walked
        assert run.drain_cycles[query] == -(-n // lanes)


@settings(deadline=None)
@given(score_tables, some_edges, st.sampled_from(["global", "quota", "running"]), st.data())
def test_rows_of_different_lengths_pass_as_if_alone(
    scores: np.ndarray, edges: tuple[float, ...], policy: str, data: st.DataObject
) -> None:
    n = scores.shape[1]
    k, parts = data.draw(st.integers(1, n)), data.draw(st.integers(1, min(n, 3)))
    lengths = np.array([data.draw(st.integers(parts, n)) for _ in scores])
    topk = TopKFilter(edges=edges, policy=policy, sub_batches=parts, truncate="arrival")
    run = filter_scores(topk, scores, k, lengths=lengths)
    for query, length in enumerate(lengths):
        alone = filter_scores(topk, scores[[query], :length], min(k, length))
        np.testing.assert_array_equal(run.passed[query, :length], alone.passed[0])
        assert not run.passed[query, length:].any()
        assert run.cycles[query] == alone.cycles[0]
        assert run.num_outside[query] == alone.num_outside[0]


def test_bad_lengths_are_said() -> None:
    for lengths in ([5], [-1], [1, 1]):
        with pytest.raises(StudyError, match="need a length of 0 to 4 each"):
            filter_scores(LINEAR[16], np.ones((1, 4)), 1, lengths=np.array(lengths))


def by_hand(
    bins: list[int], k: int, ends: list[int], policy: str, top: int
) -> tuple[set[int], int]:
    """Candidates passed and bins walked."""
    passed: set[int] = set()
    walked, start = 0, 0
    for end in ends if policy != "global" else ends[-1:]:
        seen = range(start if policy == "quota" else 0, end)
        if policy == "running":
            target = max(1, -(-k * end // len(bins)))
        else:
            target = -(-k // len(ends)) if policy == "quota" else k
        threshold = top
        while threshold > 0 and sum(bins[i] >= threshold for i in seen) < target:
            threshold -= 1
        walked += top - threshold + 1
        passed |= {i for i in range(start, end) if bins[i] >= threshold}
        start = end
    return passed, walked


@settings(max_examples=200, deadline=None)  # the first call compiles
@given(score_tables, some_edges, st.integers(1, 45), st.data())
def test_a_small_buffer_loses_nothing_when_it_spills_and_keeps_k_when_it_raises(
    scores: np.ndarray, edges: tuple[float, ...], room: int, data: st.DataObject
) -> None:
    n = scores.shape[1]
    k = data.draw(st.integers(1, n))
    roomy = filter_scores(TopKFilter(edges=edges), scores, k)

    spilled = filter_scores(TopKFilter(edges=edges, buffer_entries=room), scores, k)
    np.testing.assert_array_equal(spilled.passed, roomy.passed)
    np.testing.assert_array_equal(spilled.num_spilled, max(0, n - room))
    assert (spilled.high_water <= room).all()

    dropped = TopKFilter(edges=edges, buffer_entries=room, overflow="drop")
    np.testing.assert_array_equal(filter_scores(dropped, scores, k).num_lost, max(0, n - room))

    if room >= k:
        topk = TopKFilter(edges=edges, buffer_entries=room, overflow="raise")
        raised = filter_scores(topk, scores, k)
        assert (raised.num_passed >= k).all()
        assert (raised.num_passed <= roomy.num_passed).all()
        assert (raised.high_water <= room).all()
        unharmed = raised.num_lost == 0
        np.testing.assert_array_equal(raised.passed[unharmed], roomy.passed[unharmed])


@settings(deadline=None)
@given(score_tables, some_edges, st.data())
def test_an_exact_cut_is_the_best_k_of_the_scores_it_holds(
    scores: np.ndarray, edges: tuple[float, ...], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, scores.shape[1]))
    topk = TopKFilter(edges=edges, score_bits=10, truncate="exact")
    run = filter_scores(topk, scores, k)
    held = np.clip(np.floor(scores.astype(np.float64) * 1024), 0, 1023)
    np.testing.assert_array_equal(run.num_passed, k)
    np.testing.assert_array_equal(recall(run.passed, held, k), 1.0)


PUBLISHED = [
    ("uniform", 512, (1.26, 1.06, 1.02, 1.00)),
    ("beta 1 30", 512, (1.15, 1.15, 1.07, 1.01)),
    ("beta 1 30", 64, (2.23, 1.27, 1.08, 1.02)),
    ("beta 2 20", 512, (1.95, 1.11, 1.04, 1.01)),
    ("sigmoid", 64, (1.22, 1.05, 1.01, 1.00)),
]


@pytest.mark.parametrize(("name", "k", "published"), PUBLISHED)
def test_overshoot_of_linear_bins_is_as_published(
    name: str, k: int, published: tuple[float, ...]
) -> None:
    """Both are means over draws: 3 standard errors of the difference, and half a last digit."""
    scores = draw(name, 5 * DRAWS)
    for bins, wanted in zip(LINEAR, published, strict=True):
        over = filter_scores(LINEAR[bins], scores, k).num_passed / k
        error = over.std() * np.sqrt(1 / DRAWS + 1 / over.size)
        assert abs(over.mean() - wanted) < 3 * error + 0.005


@pytest.mark.parametrize("name", ["uniform", "beta 1 30", "beta 2 20", "sigmoid"])
@pytest.mark.parametrize("k", [64, 512])
def test_sixteen_edges_at_the_tail_are_alike_for_every_distribution(name: str, k: int) -> None:
    """Published: overshoot 1.08 to 1.09, recall 0.97 to 0.98 when cut to k."""
    edges = tail_edges(draw(name, 50, seed=1), 16, k / NUM)
    scores = draw(name, 300)
    whole = filter_scores(TopKFilter(edges=edges), scores, k)
    cut = filter_scores(TopKFilter(edges=edges, truncate="bins"), scores, k)
    assert 1.075 < (whole.num_passed / k).mean() < 1.095
    assert 0.965 < recall(cut.passed, scores, k).mean() < 0.985


@pytest.mark.parametrize(
    ("name", "bins", "by_arrival", "by_bins"),
    [("beta 1 30", 64, 0.87, 0.90), ("beta 2 20", 16, 0.52, 0.72)],
)
def test_recall_of_a_cut_is_as_published(
    name: str, bins: int, by_arrival: float, by_bins: float
) -> None:
    scores = draw(name)
    for how, wanted in (("arrival", by_arrival), ("bins", by_bins)):
        run = filter_scores(with_changes(LINEAR[bins], truncate=how), scores, 512)
        np.testing.assert_array_equal(run.num_passed, 512)
        shares = recall(run.passed, scores, 512)
        assert abs(shares.mean() - wanted) < 3 * shares.std() * np.sqrt(2 / DRAWS) + 0.005


def test_an_early_drop_saves_room_until_it_takes_what_is_wanted() -> None:
    scores = draw("beta 1 30")
    mild, harsh = (
        filter_scores(with_changes(LINEAR[64], min_score=least), scores, 512)
        for least in (0.05, 0.07)
    )
    assert abs(mild.high_water.mean() - 874) < 10  # published; 3 standard errors
    np.testing.assert_array_equal(recall(mild.passed, scores, 512), 1.0)
    assert abs(recall(harsh.passed, scores, 512).mean() - 0.91) < 0.01
    assert (harsh.num_passed < 512).mean() > 0.9


def test_recall_by_width_of_scores_is_as_published() -> None:
    scores = draw("beta 1 30")
    for bits, wanted in ((8, 0.98), (12, 0.998), (16, 1.0)):
        topk = with_changes(LINEAR[64], truncate="exact", score_bits=bits)
        shares = recall(filter_scores(topk, scores, 512).passed, scores, 512)
        assert abs(shares.mean() - wanted) < 0.001


@pytest.mark.parametrize(
    ("parts", "wanted"), [(2, 0.983), (4, 0.970), (8, 0.955), (16, 0.937), (32, 0.909)]
)
def test_recall_of_exact_quotas_is_as_published(parts: int, wanted: float) -> None:
    scores = draw("uniform", 5 * DRAWS)
    topk = TopKFilter(edges=linear_edges(16), truncate="exact", policy="quota", sub_batches=parts)
    shares = recall(filter_scores(topk, scores, 512).passed, scores, 512)
    assert abs(shares.mean() - wanted) < 3 * shares.std() * np.sqrt(1.2 / DRAWS) + 0.0005


def test_quotas_lose_half_of_what_comes_sorted_and_a_carried_threshold_does_not() -> None:
    rng = np.random.default_rng(0)
    scores = draw("uniform")
    upstream = scores + 0.2 * rng.standard_normal(scores.shape)
    scores = np.take_along_axis(scores, np.argsort(-upstream, axis=1), axis=1)

    def mean_recall(**changes: object) -> float:
        topk = with_changes(LINEAR[1024], sub_batches=8, **changes)
        return float(recall(filter_scores(topk, scores, 512).passed, scores, 512).mean())

    assert mean_recall(policy="quota") < 0.6
    assert mean_recall(policy="running", margin=np.inf) == 1.0
    assert mean_recall(policy="global") == 1.0


def test_a_carried_threshold_with_a_margin_beats_quotas_at_every_number_of_parts() -> None:
    scores = draw("uniform")
    for parts in (2, 8, 32):
        topk = with_changes(LINEAR[1024], sub_batches=parts, policy="running", margin=1.25)
        run = filter_scores(topk, scores, 512)
        assert recall(run.passed, scores, 512).mean() > 0.998
        assert run.num_passed.mean() < 1.25 * 512


def test_each_phase_takes_its_cycles() -> None:
    scores = np.array([[0.9, 0.1, 0.6, 0.3, 0.7, 0.2]])
    topk = TopKFilter(edges=(0.25, 0.5, 0.75))
    run = filter_scores(topk, scores, 2)  # 0.9 | 0.6 0.7 | 0.3 | 0.1 0.2
    assert phases(run) == (6, 2, 6, 0, 0)
    assert run.cycles[0] == 14
    assert run.num_passed[0] == 3
    two = filter_scores(with_changes(topk, lanes=4, drain="linked"), scores, 2)
    assert phases(two) == (2, 2, 1, 0, 0)
    cut = filter_scores(with_changes(topk, truncate="exact"), scores, 2)
    assert phases(cut) == (6, 2, 6, 3 * 2, 0)
    np.testing.assert_array_equal(np.flatnonzero(cut.passed[0]), [0, 4])
    parts = filter_scores(with_changes(topk, sub_batches=2, policy="quota", lanes=2), scores, 2)
    assert phases(parts) == (4, 1 + 2, 3, 0, 0)  # 0.9 of the first run, 0.7 of the second


def test_a_full_buffer_is_looked_through_before_it_throws_out() -> None:
    scores = np.array([[0.1, 0.9, 0.8, 0.6, 0.2, 0.95]])
    topk = TopKFilter(edges=(0.25, 0.5, 0.75), buffer_entries=3, overflow="raise")
    run = filter_scores(topk, scores, 2)
    # 0.1 0.9 0.8, then 2 are above 0.75: 0.6 and 0.2 are not taken; for 0.95 the 0.1 goes
    assert phases(run) == (6, 1, 3, 0, 3)
    np.testing.assert_array_equal(np.flatnonzero(run.passed[0]), [1, 2, 5])
    assert run.num_lost[0] == 0


def test_of_equals_those_that_came_first_stay_in_a_full_buffer() -> None:
    scores = np.array([[0.8, 0.9, 0.85, 0.95]])
    topk = TopKFilter(edges=(0.5,), buffer_entries=3, overflow="raise")
    run = filter_scores(topk, scores, 2)
    np.testing.assert_array_equal(run.passed[0], [True, True, True, False])
    assert run.num_lost[0] == 1


def test_a_carried_threshold_cut_by_arrival_passes_k_of_all_runs_together() -> None:
    topk = with_changes(
        LINEAR[16], sub_batches=4, policy="running", margin=np.inf, truncate="arrival"
    )
    run = filter_scores(topk, draw("uniform", 5), 512)
    np.testing.assert_array_equal(run.num_passed, 512)
    assert not run.passed[:, 1024:].any()  # the first run alone has as many


def test_rounding_does_not_ask_a_run_for_one_more_than_its_share() -> None:
    """35 * (29 / 35) is above 29 in floating point."""
    topk = TopKFilter(edges=(0.5,), sub_batches=6, policy="running")
    run = filter_scores(topk, np.full((1, 35), 0.9), 35)
    assert run.walk_cycles[0] == 6


def phases(run: FilterRun) -> tuple[int, ...]:
    cycles = (run.fill_cycles, run.walk_cycles, run.drain_cycles, run.sort_cycles)
    return tuple(int(phase[0]) for phase in (*cycles, run.stall_cycles))


def test_its_registers_and_memory_are_those_of_the_published_block() -> None:
    assert LINEAR[16].counter_bits(NUM) == 16 * 13
    assert LINEAR[16].buffer_bits(NUM) == NUM * (16 + 12)
    assert with_changes(LINEAR[16], buffer_entries=512).buffer_bits(NUM) == 512 * 28


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": ()}, "a filter of 1 bins; it needs 2"),
        ({"edges": (0.5, 0.4)}, "must not fall"),
        ({"edges": (0.5, float("nan"))}, "must not fall"),
        ({"edges": (-1.0, 0.5)}, "widen the range"),
        ({"low": 1.0}, "range must be finite and not empty"),
        ({"score_bits": 0}, "scores of 0 bits"),
        ({"lanes": 0}, "0 lanes and 1 sub-batches"),
        ({"sub_batches": -1}, "1 lanes and -1 sub-batches"),
        ({"buffer_entries": 0}, "a buffer of 0 entries"),
        ({"min_score": float("nan")}, "least score is nan"),
        ({"margin": 0.0}, "margin is 0"),
        ({"policy": "running", "truncate": "bins"}, "needs the last threshold"),
    ],
)
def test_a_bad_filter_is_said(changes: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        with_changes(LINEAR[16], **changes)


@pytest.mark.parametrize(
    ("changes", "scores", "k", "message"),
    [
        ({}, np.ones((1, 4)), 5, "keeps 5 of 4 candidates; k must be between 1 and 4"),
        ({}, np.ones((1, 4)), 0, "keeps 0 of 4"),
        ({"sub_batches": 5}, np.ones((1, 4)), 1, "4 candidates cannot come in 5 runs"),
        ({"buffer_entries": 2, "overflow": "raise"}, np.ones((1, 4)), 3, "cannot hold the 3"),
        ({}, np.array([[0.1, np.nan]]), 1, "query 0 has score nan at 1"),
        ({}, np.ones(4), 1, r"shape \(4,\), not"),
        ({}, np.ones((1, 4), int), 1, "scores are int64"),
        ({}, np.ones((0, 4)), 1, r"shape \(0, 4\)"),
    ],
)
def test_bad_scores_and_counts_are_said(
    changes: dict[str, object], scores: np.ndarray, k: int, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        filter_scores(with_changes(LINEAR[16], **changes), scores, k)


@pytest.mark.parametrize(
    ("sample", "bins", "share", "spread", "message"),
    [
        (np.ones(100), 1, 0.1, 3.0, "a filter of 1 bins"),
        (np.ones(100), 16, 1.5, 3.0, "share must be above 0"),
        (np.ones(100), 16, 0.1, 1.0, "spread above 1"),
        (np.ones(10), 16, 0.1, 3.0, "give 30 or more"),
        (np.array([np.inf] * 100), 16, 0.1, 3.0, "not finite"),
    ],
)
def test_a_bad_sample_is_said(
    sample: np.ndarray, bins: int, share: float, spread: float, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        tail_edges(sample, bins, share, spread)
