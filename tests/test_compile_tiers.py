"""MP-Cache's tiers and quantised rows: what they keep, what they cost, and what they lose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compile_world import Call
from recfunnel.compile.budget import NO_LIMIT, Budget
from recfunnel.compile.centroid_rows import centroid_rows
from recfunnel.compile.computed import computed_rows, decode, row_flops
from recfunnel.compile.hot_curve import hot_curve
from recfunnel.compile.id_counts import INDEX_BYTES
from recfunnel.compile.quantised_rows import QuantisedRows, int4_levels
from recfunnel.compile.store_computed import store_computed
from recfunnel.core.codes import MultiplyShift
from recfunnel.core.computed import Decoded, DecoderLayer, HashedRows
from recfunnel.core.errors import InvalidInput
from recfunnel.core.graph import Linear, Lookup, RankingGraph
from recfunnel.hardware.caches.lru import Lru

RNG = np.random.default_rng(5)
NUM_IDS, DIM = 3000, 6
PARAMETERS = {
    "w0": RNG.normal(size=(12, 64)).astype(np.float32) / 8,
    "b0": RNG.normal(size=12).astype(np.float32),
    "w1": RNG.normal(size=(DIM, 12)).astype(np.float32),
    "b1": RNG.normal(size=DIM).astype(np.float32),
}
TABLE = Decoded(
    name="made",
    num_ids=NUM_IDS,
    dim=DIM,
    codes=MultiplyShift(num_codes=64),
    layers=(
        DecoderLayer(weight="w0", bias="b0", activation="relu"),
        DecoderLayer(weight="w1", bias="b1"),
    ),
)
ALL = np.arange(NUM_IDS)
EXACT = computed_rows(TABLE, PARAMETERS, ALL)


def zipf(count: int, seed: int) -> np.ndarray:
    """Ids by Zipf's law with exponent 1.05, popular ones scattered."""
    weights = np.arange(1, NUM_IDS + 1) ** -1.05
    ranks = np.random.default_rng(seed).choice(NUM_IDS, count, p=weights / weights.sum())
    return np.random.default_rng(0).permutation(NUM_IDS)[ranks]


# The encoder tier.


def test_a_static_store_is_judged_on_lookups_it_was_not_chosen_by() -> None:
    """Counted by hand: the most frequent ids of one window, in another."""
    profile, lookups, sizes = zipf(4000, 1), zipf(5000, 2), np.array([1, 10, 100, 1000])

    curve = hot_curve(TABLE, PARAMETERS, profile, lookups, sizes)

    counts = np.bincount(profile, minlength=NUM_IDS)
    frequent = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    expected = [np.isin(lookups, frequent[:size]).mean() for size in sizes]
    assert curve.hit_rates == pytest.approx(expected)
    assert curve.size_bytes == pytest.approx(sizes * (4 * DIM + INDEX_BYTES))
    flops = row_flops(TABLE, PARAMETERS)
    assert flops == 2 * (64 * 12 + 12 * DIM)
    assert curve.flops_per_lookup == pytest.approx([(1 - rate) * flops for rate in expected])


def test_a_dynamic_store_follows_what_becomes_frequent() -> None:
    """Each window has ids of its own: a static store hits nothing, a dynamic one all but firsts."""
    profile, lookups = np.arange(50).repeat(10), np.tile(np.arange(100, 150), 10)

    static, dynamic = (
        hot_curve(TABLE, PARAMETERS, profile, lookups, np.array([50]), *policy).hit_rates
        for policy in ((), (Lru(),))
    )

    assert static.tolist() == [0.0]
    assert dynamic.tolist() == [0.9]


# The decoder tier.


def test_a_centroid_of_each_id_is_exact() -> None:
    ids = np.arange(40)

    made = centroid_rows(TABLE, PARAMETERS, ids, num_centroids=40, rng=np.random.default_rng(0))

    np.testing.assert_allclose(made(TABLE, PARAMETERS, ids), EXACT[:40], rtol=1e-9)
    assert made.nearest(ids).size == len(set(made.nearest(ids)))


def test_a_single_centroid_is_the_mean_of_the_codes() -> None:
    """Weighted by how often an id was looked up."""
    profiled = np.array([3, 3, 3, 9])

    made = centroid_rows(TABLE, PARAMETERS, profiled, num_centroids=1, rng=RNG)

    mean = TABLE.codes.encode(profiled).mean(axis=0, keepdims=True)
    assert made(TABLE, PARAMETERS, ALL) == pytest.approx(
        np.repeat(decode(TABLE, PARAMETERS, mean), NUM_IDS, axis=0)
    )


def test_each_id_has_the_centroid_of_largest_cosine_and_hot_ids_their_own_rows() -> None:
    hot = np.array([7, 70, 700])
    made = centroid_rows(TABLE, PARAMETERS, zipf(2000, 3), num_centroids=16, rng=RNG, exact_ids=hot)

    values = TABLE.codes.encode(ALL)
    cosines = values @ made.directions.T / np.linalg.norm(values, axis=1, keepdims=True)
    assert np.linalg.norm(made.directions, axis=1) == pytest.approx(np.ones(16))
    assert (made.nearest(ALL) == cosines.argmax(axis=1)).all()
    rows = made(TABLE, PARAMETERS, ALL)
    assert (rows[hot] == EXACT[hot]).all()
    others = np.setdiff1d(ALL, hot)
    assert (rows[others] == made.outputs[made.nearest(others)]).all()
    assert made.flops_per_row == 2 * 16 * 64
    assert made.size_bytes == 4 * (16 * 64 + 16 * DIM + 3 * DIM)


def test_more_rounds_bring_centroids_nearer() -> None:
    """Lloyd's rounds never lower the mean cosine by more than rounding; ten raise it."""
    profiled = zipf(3000, 4)
    means = []
    for num_rounds in (0, 10):
        rng = np.random.default_rng(1)
        made = centroid_rows(
            TABLE, PARAMETERS, profiled, num_centroids=32, num_rounds=num_rounds, rng=rng
        )
        values = TABLE.codes.encode(profiled)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        means.append((values @ made.directions.T).max(axis=1).mean())

    assert means[1] > 1.02 * means[0]


def test_centroids_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInput, match="5 centroids of 3 profiled ids of 'made'; take 1 to 3"):
        centroid_rows(TABLE, PARAMETERS, np.array([1, 1, 2, 4]), num_centroids=5, rng=RNG)
    hashed = HashedRows(name="rows", num_ids=9, dim=1, table="t")
    with pytest.raises(InvalidInput, match="'rows' has no codes"):
        centroid_rows(hashed, {}, np.arange(9), rng=RNG)


# Quantised rows.


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=1, max_size=6
    )
)
def test_int4_rounds_by_half_a_step_and_the_rounding_of_its_ends(rows: list[list[float]]) -> None:
    """A step is a fifteenth of the row's span; float16 ends are off by 2^-11 of their size."""
    plain = np.array(rows, np.float32)

    found = int4_levels(plain)

    span = np.ptp(plain, axis=1, keepdims=True)
    ends = np.abs(plain).max(axis=1, keepdims=True) + span
    assert (np.abs(found - plain) <= span / 30 + 3 * 2**-11 * ends + 2e-6).all()
    assert all(np.unique(row).size <= 16 for row in found)


def test_int8_keeps_whole_multiples_of_its_step_exactly() -> None:
    """From -127 to 127 steps, of any size that float32 has."""
    rows = np.array([[-127, 3, 64, 126, 127, 0], [0.5, -63.5, 1, 2, 4, 8]], np.float32)
    table = HashedRows(name="t", num_ids=2, dim=6, table="rows")
    made = QuantisedRows("int8", lambda _table, _parameters, ids: rows[ids])

    assert np.array_equal(made(table, {}, np.arange(2)), rows)


def test_int4_keeps_sixteen_even_steps_exactly() -> None:
    rows = np.array([np.arange(16), np.arange(16) * -0.5, np.full(16, 3)], np.float32)

    assert np.array_equal(int4_levels(rows), rows)


@pytest.mark.parametrize(
    ("storage", "row_bytes"), [("float32", 24), ("float16", 12), ("int8", 10), ("int4", 7)]
)
def test_quantised_tables_have_the_stated_bytes(storage: str, row_bytes: int) -> None:
    assert QuantisedRows(storage).size_bytes(TABLE) == NUM_IDS * row_bytes  # type: ignore[arg-type]


def test_rounding_outputs_loses_less_than_centroids_of_codes() -> None:
    """Codes are nearly orthogonal, so that the nearest of 256 says little of an unprofiled id."""
    made = {name: QuantisedRows(name) for name in ("float32", "float16", "int8", "int4")}  # type: ignore[arg-type]
    centroids = centroid_rows(TABLE, PARAMETERS, zipf(4000, 6), num_centroids=256, rng=RNG)
    deviation = (EXACT - EXACT.mean(axis=0)).std()

    losses = [
        np.sqrt(((rows(TABLE, PARAMETERS, ALL) - EXACT) ** 2).mean()) / deviation
        for rows in (*made.values(), centroids)
    ]

    assert losses == sorted(losses)
    assert losses[0] < 1e-6
    assert losses[1] < 1e-3
    assert losses[2] < 1e-2
    assert losses[3] < 0.15
    assert losses[4] > 0.5


def test_what_is_lost_shows_in_scores_of_the_stored_table() -> None:
    """Approximate rows are stored as any others, so that any runtime scores them."""
    nodes = (Lookup(side="candidate", column=0, table="made"), Linear(x_of=0, weight="head"))
    graph = RankingGraph(nodes=nodes, score_of=1, computed=(TABLE,))
    model = graph, PARAMETERS | {"head": np.ones(DIM, np.float32)}
    call = Call(0)
    exact = call.scores(*model)

    def error(storage: str) -> float:
        made = QuantisedRows(storage)  # type: ignore[arg-type]
        stored = store_computed(*model, budget=Budget(NO_LIMIT), make_rows=made)
        assert not stored[0].computed
        return float(np.abs(call.scores(*stored) - exact).max())

    assert error("float32") < 1e-5 < error("float16") < error("int8") < error("int4")
