"""Blocks of rows as queries, and generated click logs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from recfunnel.core.errors import DataError, StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.data.ctr import RECPIPE_POOL_ROWS, Blocks, block_candidates
from recfunnel.data.hashed_effects import click_logits, hashed_normal
from recfunnel.data.synthetic_ctr import (
    CRITEO_CARDINALITIES,
    SyntheticCtr,
    generated_blocks,
    planted_probabilities,
    zipf_ids,
)


@given(st.integers(1, 200), st.integers(1, 20))
def test_disjoint_blocks_share_no_row(num_rows: int, size: int) -> None:
    rows = np.arange(1000, 1000 + num_rows)
    blocks = Blocks(num_candidates=size)
    if num_rows < size:
        with pytest.raises(DataError, match=f"takes {size} rows but the split has {num_rows}"):
            block_candidates(rows, blocks, rng_for(0))
        return
    dealt = block_candidates(rows, blocks, rng_for(0))
    assert dealt.shape == (num_rows // size, size)
    assert np.unique(dealt).size == dealt.size
    assert np.isin(dealt, rows).all()


@given(st.integers(1, 200), st.integers(1, 20), st.integers(1, 30))
def test_recpipe_blocks_are_consecutive_and_wrap_around(
    num_rows: int, size: int, num_queries: int
) -> None:
    size = min(size, num_rows)
    blocks = Blocks(protocol="recpipe", num_candidates=size, num_queries=num_queries)
    dealt = block_candidates(np.arange(num_rows), blocks, rng_for(0))
    for query in range(num_queries):
        start = query * size
        assert dealt[query].tolist() == [(start + n) % num_rows for n in range(size)]


def test_recpipe_takes_the_first_hundred_thousand_rows() -> None:
    blocks = Blocks(protocol="recpipe", num_candidates=1000, num_queries=250)
    dealt = block_candidates(np.arange(150_000), blocks, rng_for(0))
    assert dealt.max() == RECPIPE_POOL_ROWS - 1
    assert np.unique(dealt).size == RECPIPE_POOL_ROWS


def test_more_disjoint_blocks_than_there_are_is_an_error() -> None:
    blocks = Blocks(num_candidates=10, num_queries=11)
    with pytest.raises(
        DataError, match=r"11 disjoint .* need 110 rows, .* 100; ask for at most 10"
    ):
        block_candidates(np.arange(100), blocks, rng_for(0))


def test_criteo_cardinalities_are_the_published_total() -> None:
    assert len(CRITEO_CARDINALITIES) == 26
    assert sum(CRITEO_CARDINALITIES) == 33_762_577


def test_full_size_tables_cost_nothing_until_rows_show_them() -> None:
    spec = SyntheticCtr(
        num_rows=2000, cardinalities=CRITEO_CARDINALITIES, queries=Blocks(num_candidates=50)
    )
    dataset = spec.prepare(seed=0)
    dataset.check()
    assert sum(f.cardinality for f in dataset.schema.select("candidate", "categorical")) == sum(
        CRITEO_CARDINALITIES
    )


def test_a_value_no_training_row_shows_is_unknown() -> None:
    spec = SyntheticCtr(num_rows=500, cardinalities=(10_000,), queries=Blocks(num_candidates=5))
    dataset = spec.prepare(seed=0)
    known = set(dataset.items.categorical[dataset.train.item_rows, 0].tolist())
    assert 0 not in known
    assert set(dataset.items.categorical[:, 0].tolist()) == known | {0}


def test_clicks_come_at_the_stated_rate_and_with_the_planted_probability() -> None:
    spec = SyntheticCtr(num_rows=150_000, cardinalities=(50, 500, 5000), click_rate=0.2)
    blocks = list(generated_blocks(spec, 1))
    label = np.concatenate([block.label for block in blocks])
    probability = planted_probabilities(spec, 1)
    stderr = np.sqrt((probability * (1 - probability)).sum())
    assert abs(label.sum() - probability.sum()) < 4 * stderr
    assert probability.mean() == pytest.approx(0.2, abs=0.005)
    for decile in np.array_split(np.argsort(probability), 10):
        expected = probability[decile]
        spread = np.sqrt((expected * (1 - expected)).sum())
        assert abs(label[decile].sum() - expected.sum()) < 4 * spread


def test_more_signal_can_be_ranked_better() -> None:
    aucs = []
    for signal in (0.5, 2.0):
        spec = SyntheticCtr(num_rows=20_000, cardinalities=(50, 500, 5000), signal=signal)
        blocks = list(generated_blocks(spec, 1))
        label = np.concatenate([block.label for block in blocks])
        aucs.append(roc_auc_score(label, planted_probabilities(spec, 1)))
    assert 0.55 < aucs[0] < aucs[1] - 0.1


def test_hashed_effects_are_standard_normal_and_independent() -> None:
    ids = np.arange(200_000)
    one, other = hashed_normal(ids, 1), hashed_normal(ids, 2)
    bound = 4 / np.sqrt(ids.size)  # 4 standard errors
    assert abs(one.mean()) < bound
    assert abs(one.var() - 1) < bound * np.sqrt(2)
    assert abs(np.mean(one**3)) < bound * np.sqrt(15)
    assert abs(np.corrcoef(one, other)[0, 1]) < bound
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < bound
    assert np.array_equal(one[5:9], hashed_normal(ids[5:9], 1))


def test_values_that_share_add_up_their_two_parts() -> None:
    """In a grid of quotients and remainders every square's corners cancel; own effects do not."""
    ids = np.array([[4, 5], [8, 9]]).reshape(-1, 1)  # quotients 1 and 2, remainders 0 and 1 of 4
    dense = np.empty((4, 0), np.float32)
    corners = np.array([1, -1, -1, 1])

    assert corners @ click_logits(ids, dense, 3, num_remainders=4) == pytest.approx(0, abs=1e-12)
    assert abs(corners @ click_logits(ids, dense, 3)) > 0.1


def test_shared_effects_are_standard_normal_too() -> None:
    ids = np.arange(1, 40_001).reshape(-1, 1)
    logits = click_logits(ids, np.empty((ids.size, 0), np.float32), 3, num_remainders=200)

    # the single part's share of the variance; 200 numbers of each kind: relative error 0.1
    assert logits.var() == pytest.approx(0.4, rel=0.3)


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.0, 1.4])
def test_zipf_ids_follow_the_power_law(exponent: float) -> None:
    """The integral of x^-s over [k, k + 1) is the probability of k."""
    num_values, num_draws = 20, 400_000
    ids = zipf_ids(num_values, exponent, np.random.default_rng(0).random(num_draws))
    edges = np.arange(1, num_values + 2, dtype=float)
    power = 1 - exponent
    integral = np.log(edges) if power == 0 else edges**power / power
    expected = np.diff(integral) / (integral[-1] - integral[0])
    found = np.bincount(ids, minlength=num_values + 1)[1:] / num_draws
    assert np.all(np.abs(found - expected) < 4.5 * np.sqrt(expected / num_draws))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cardinalities": ()}, "at least one feature"),
        ({"cardinalities": (5, 1)}, "at least 2 ids"),
        ({"click_rate": 1.0}, "click_rate is 1.0, must be between 0 and 1"),
        ({"num_rows": 0}, "num_rows is 0, must be at least 1"),
        ({"num_remainders": -1}, "must not be below 0"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        SyntheticCtr(**change)


def test_block_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(StudyError, match="num_candidates is 0, must be at least 1"):
        Blocks(num_candidates=0)
