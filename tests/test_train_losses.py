"""Losses, batches and metrics of the train room obey their laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import ndcg_score, roc_auc_score

from recfunnel.core.arrays import Ragged
from recfunnel.core.dataset import Interactions, QuerySet
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.testing.training import small_dataset
from recfunnel.train.batches import Negatives, chunk_starts, implicit_batches, row_batches
from recfunnel.train.distil import discounts, ranked_loss
from recfunnel.train.listwise import choose_items, softmax_loss
from recfunnel.train.optimisers import Descent
from recfunnel.train.seen import PairSet, training_pairs, without_pairs
from recfunnel.train.validation import auc, log_loss, ndcg_at, top_columns

seeds = st.integers(0, 2**32 - 1)


def _lists(seed: int, shape: tuple[int, int] = (4, 7)) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    scores = torch.tensor(rng.normal(size=shape), dtype=torch.float64, requires_grad=True)
    relevant = rng.random(shape) < 0.3
    relevant[:, 0] = True
    return scores, torch.tensor(relevant)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_softmax_loss_is_what_its_docstring_says(seed: int) -> None:
    scores, relevant = _lists(seed)
    shares = np.exp(scores.detach().numpy())
    shares /= shares.sum(axis=1, keepdims=True)
    rows = [
        -np.log(p[r]).sum() / np.sqrt(r.sum())
        for p, r in zip(shares, relevant.numpy(), strict=True)
    ]
    assert float(softmax_loss(scores.detach(), relevant)) == pytest.approx(np.mean(rows), rel=1e-6)


@given(seeds, st.floats(-50, 50))
@settings(max_examples=20, deadline=None)
def test_list_losses_see_only_differences_of_scores(seed: int, shift: float) -> None:
    scores, relevant = _lists(seed)
    target = discounts(3).double()
    for loss in (lambda s: softmax_loss(s, relevant), lambda s: ranked_loss(s, target)):
        moved, plain = loss((scores + shift).detach()), loss(scores.detach())
        assert float(moved) == pytest.approx(float(plain), abs=1e-8)
        (gradient,) = torch.autograd.grad(loss(scores), scores)
        np.testing.assert_allclose(gradient.sum(dim=1), 0, atol=1e-12)


def test_distillation_is_least_where_the_student_has_the_target_shares() -> None:
    target = discounts(5).double()
    best = torch.cat([target.log(), torch.full((3,), -40.0, dtype=torch.float64)])[None]
    rng = np.random.default_rng(0)
    least = float(ranked_loss(best, target))

    assert least == pytest.approx(float(-(target * target.log()).sum()), rel=1e-6)
    for _ in range(20):
        assert float(ranked_loss(best + torch.tensor(rng.normal(size=8)), target)) > least
    assert float(target[0] / target[1]) == pytest.approx(np.log2(3))


@given(seeds, st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_all_relevant_items_are_chosen_while_there_is_room(seed: int, num_chosen: int) -> None:
    rng = np.random.default_rng(seed)
    relevant = rng.random((5, 12)) < 0.3
    chosen = choose_items(relevant, num_chosen, rng)

    assert chosen.shape == (5, num_chosen)
    assert all(len(set(row)) == num_chosen for row in chosen)
    found = np.take_along_axis(relevant, chosen, axis=1).sum(axis=1)
    np.testing.assert_array_equal(found, np.minimum(relevant.sum(axis=1), num_chosen))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 6))
def test_chunks_hold_one_owner_and_at_most_their_size(owners: list[int], size: int) -> None:
    sorted_owners = np.sort(np.array(owners, np.int64))
    starts = chunk_starts(sorted_owners, size)
    pieces = np.split(sorted_owners, starts[1:])

    assert all(len(set(piece)) == 1 and piece.size <= size for piece in pieces)
    least = sum(-(-int(count) // size) for count in np.bincount(sorted_owners))
    assert len(pieces) == least


@pytest.mark.parametrize("power", [0.0, 0.75])
def test_an_epoch_sees_every_positive_once_and_never_a_met_negative(power: float) -> None:
    dataset = small_dataset()
    used = dataset.train.take(dataset.train.label > 0)
    seen = training_pairs(dataset)
    negatives = Negatives(dataset, power, seen)
    found: list[tuple[int, int]] = []
    num_negatives = 0
    for batch in implicit_batches(used, negatives, 4, 3, 32, np.random.default_rng(1)):
        contexts = np.broadcast_to(batch.context_rows[:, None], batch.columns.shape)
        positive = (batch.label > 0) & (batch.weight > 0)
        found += zip(contexts[positive], batch.columns[positive], strict=True)
        negative = (batch.label == 0) & (batch.weight > 0)
        assert not seen.contains(contexts[negative], batch.columns[negative]).any()
        assert batch.observed[positive].all()
        num_negatives += int(negative.sum())

    expected = zip(used.context_rows, used.item_rows, strict=True)
    assert sorted(found) == sorted((int(c), int(i)) for c, i in expected)
    # A draw is given up only where three redraws hit met items too.
    assert 0.9 * 3 * len(used) < num_negatives <= 3 * len(used)


def test_row_batches_cover_every_row_once() -> None:
    rows = np.arange(10)
    train = Interactions(rows, rows, rows.astype(np.float32) % 2, rows.astype(np.float32) % 2)
    batches = list(row_batches(train, 3, np.random.default_rng(0)))

    assert sorted(np.concatenate([b.columns[:, 0] for b in batches])) == list(rows)
    assert [b.columns.shape for b in batches] == [(3, 1), (3, 1), (3, 1), (1, 1)]


def test_items_trained_on_leave_the_history_and_nothing_else_does() -> None:
    dataset = small_dataset()
    context, schema = dataset.context.take(np.array([3, 8, 3])), dataset.schema
    history = context.multi_valued[0]
    gone = history.row(0)[[0, 2]]
    after = without_pairs(context, schema, np.array([0, 0]), gone).multi_valued[0]

    assert set(after.row(0)) == set(history.row(0)) - set(gone)
    np.testing.assert_array_equal(after.row(1), history.row(1))
    np.testing.assert_array_equal(after.row(2), history.row(2))
    np.testing.assert_array_equal(after.row_weights(1), history.row_weights(1))


def test_a_pair_set_knows_its_pairs_and_an_empty_one_knows_none() -> None:
    pairs = PairSet(np.array([0, 2, 2]), np.array([1, 0, 1]), 3)
    grid = pairs.contains(np.arange(3)[:, None], np.arange(3)[None])

    np.testing.assert_array_equal(np.argwhere(grid), [[0, 1], [2, 0], [2, 1]])
    empty = PairSet(np.zeros(0, np.int64), np.zeros(0, np.int64), 3)
    assert not empty.contains(np.array([0]), np.array([0])).any()


def _queries(gains: np.ndarray, excluded: list[list[int]]) -> QuerySet:
    num_queries, num_items = gains.shape
    lists = [list(np.flatnonzero(row)) for row in gains]
    weights = [list(row[row > 0]) for row in gains]
    return QuerySet(
        FeatureSchema(features=()),
        Features.empty(num_queries),
        Features.empty(num_items),
        None,
        Ragged.from_rows(excluded),
        Ragged.from_rows(lists, weights),
    )


@given(seeds, st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_ndcg_is_scikit_learns_where_nothing_is_excluded(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    gains = rng.integers(0, 3, (5, 12)) * (rng.random((5, 12)) < 0.5).astype(np.float64)
    gains[:, 0] = 1
    scores = rng.permuted(np.arange(60.0).reshape(5, 12), axis=1).astype(np.float32)
    expected = [ndcg_score(g[None], s[None], k=k) for g, s in zip(gains, scores, strict=True)]

    found = ndcg_at(_queries(gains, [[]] * 5), scores, k)

    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_excluded_and_dropped_columns_are_not_served_but_a_drop_is_charged_for() -> None:
    gains = np.array([[1.0, 0, 0, 1.0]])
    scores = np.array([[-np.inf, 9, 2, 1]], np.float32)

    assert ndcg_at(_queries(gains, [[1]]), scores, 3)[0] == pytest.approx(
        (1 / np.log2(3)) / (1 + 1 / np.log2(3))
    )


def test_top_columns_prefers_the_lower_column_among_equals() -> None:
    scores = np.array([[1, 3, 3, 0, 3]], np.float32)
    np.testing.assert_array_equal(top_columns(scores, 4), [[1, 2, 4, 0]])


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_auc_and_log_loss_are_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random(50) < 0.4).astype(np.float32)
    labels[:2] = [0, 1]
    logits = rng.integers(-3, 4, 50).astype(np.float32)

    assert auc(labels, logits) == pytest.approx(roc_auc_score(labels, logits))
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert log_loss(labels, logits) == pytest.approx(sklearn_log_loss(labels, probability))
    assert np.isfinite(log_loss(labels, 1e4 * logits))


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    descent = Descent(warmup_steps=4, decay="linear")
    factors = [descent.factor(step, 20) for step in range(21)]

    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert factors[12] == pytest.approx(0.5)
    assert factors[20] == 0.0
    assert Descent(decay="cosine").factor(10, 20) == pytest.approx(0.5)
