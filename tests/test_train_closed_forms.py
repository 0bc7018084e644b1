"""Closed forms against what defines them, solved another way."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recfunnel.core.dataset import Interactions
from recfunnel.core.errors import ModelError, StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.core.storage import MANIFEST, read_json
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.popularity import Popularity
from recfunnel.testing.training import small_dataset
from recfunnel.train.als import ALS
from recfunnel.train.base import ModelEntry
from recfunnel.train.confidence import STAR_WEIGHTS, confidence, confidence_matrix
from recfunnel.train.ease import EASEClosedForm, item_weights
from recfunnel.train.popularity import Counts
from recfunnel.train.zoo import fit_model
from train_samples import ITEMS, K


def _histories(num_contexts: int = 40, num_items: int = 9) -> np.ndarray:
    rng = np.random.default_rng(3)
    seen = rng.random((num_contexts, num_items)) < 0.4
    return np.where(seen, rng.choice([0.2, 0.6, 1.0, 1.2], seen.shape), 0.0)


def _ridge_without_self(x: np.ndarray, penalty: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Each column regressed on all the others, by the normal equations of that column alone."""
    num_items = x.shape[1]
    weights = np.zeros((num_items, num_items))
    for item in range(num_items):
        others = np.delete(np.arange(num_items), item)
        left = x[:, others].T @ (weight[:, None] * x[:, others]) + np.diag(penalty[others])
        right = x[:, others].T @ (weight * x[:, item])
        weights[others, item] = np.linalg.solve(left, right)
    return weights


def test_ease_regresses_each_item_on_all_the_others() -> None:
    x = _histories()
    expected = _ridge_without_self(x, np.full(x.shape[1], 7.0), np.ones(x.shape[0]))

    found = item_weights(EASEClosedForm(penalty=7.0), csr_matrix(x))

    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_dropout_penalises_each_item_by_its_own_weight_and_activity_weighs_contexts() -> None:
    x = _histories()
    counts = np.maximum(1, (x > 0).sum(axis=1))
    weight = (counts / counts.mean()) ** -0.4
    penalty = 7.0 + 0.25 / 0.75 * (weight[:, None] * x**2).sum(axis=0)
    expected = _ridge_without_self(x, penalty, weight)

    spec = EASEClosedForm(penalty=7.0, dropout=0.25, activity_power=0.4)

    np.testing.assert_allclose(item_weights(spec, csr_matrix(x)), expected, atol=2e-5)


def test_ease_gives_an_item_nobody_has_seen_no_weight() -> None:
    x = _histories()
    x[:, 4] = 0

    found = item_weights(EASEClosedForm(penalty=7.0), csr_matrix(x))

    assert not found[4].any()
    assert not found[:, 4].any()


def test_als_ends_where_its_normal_equations_hold(tmp_path) -> None:  # type: ignore[no-untyped-def]
    dataset, spec = small_dataset(), ALS(alpha=4, regularisation=20, iterations=100, k=K)
    entry = ModelEntry(model=MatrixFactorisation(num_factors=6), training=spec)
    users, items = _factors(fit_model("als", {"als": entry}, dataset, tmp_path, tmp_path, seed=2))
    confidences = confidence_matrix(
        dataset, spec.alpha * confidence(dataset.train, spec.rating_weights)
    ).toarray()

    for item in (1, 17, 50):
        c = confidences[:, item]
        rest = np.where(c > 0, c - 1, 0)
        known = (confidences > 0).any(axis=1)
        y = np.where(known[:, None], users, 0)
        left = y.T @ y + y.T @ (rest[:, None] * y) + 20 * np.eye(6)
        expected = np.linalg.solve(left, y.T @ c)
        # float32 and conjugate gradients leave about 1e-4; 2 % more regularisation moves it 1 %.
        error = np.linalg.norm(items[item] - expected) / np.linalg.norm(expected)
        assert error < 1e-3


def test_als_gives_the_unknown_the_mean_of_the_known(tmp_path) -> None:  # type: ignore[no-untyped-def]
    dataset = small_dataset()
    entry = ModelEntry(
        model=MatrixFactorisation(num_factors=6), training=ALS(regularisation=5, k=K)
    )
    users, items = _factors(fit_model("als", {"als": entry}, dataset, tmp_path, tmp_path, seed=2))
    known = np.unique(dataset.train.item_rows) + 1

    np.testing.assert_allclose(items[0], items[known].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(users[0], users[1:].mean(axis=0), atol=1e-6)


def _factors(folder) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    from recfunnel.models.checkpoint import load_checkpoint

    state = load_checkpoint(folder).module.state_dict()
    return state["context_factors"].numpy(), state["item_factors"].numpy()


def test_stars_between_whole_ones_lie_on_the_line_and_labels_need_no_stars() -> None:
    rows = np.zeros(4, np.int64)
    label = np.array([0, 0, 1, 1], np.float32)
    stars = Interactions(rows, rows, label, np.array([1, 2.5, 4, 5], np.float32))
    clicks = Interactions(rows, rows, label, label)

    np.testing.assert_allclose(confidence(stars, STAR_WEIGHTS), [0.2, 0.45, 1.0, 1.2])
    np.testing.assert_array_equal(confidence(clicks, STAR_WEIGHTS), label)
    np.testing.assert_array_equal(confidence(stars, ()), label)


def test_a_rating_without_a_weight_is_refused() -> None:
    rows = np.zeros(2, np.int64)
    tens = Interactions(rows, rows, np.ones(2, np.float32), np.array([3, 9], np.float32))
    with pytest.raises(StudyError, match="run from 3 to 9, but rating_weights names 1 to 5"):
        confidence(tens, STAR_WEIGHTS)


def test_popularity_orders_by_relevant_interactions(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from recfunnel.models.checkpoint import load_checkpoint

    dataset = small_dataset()
    entry = ModelEntry(model=Popularity(), training=Counts(k=K))
    folder = fit_model("popular", {"popular": entry}, dataset, tmp_path, tmp_path, seed=0)
    scores = load_checkpoint(folder).module.state_dict()["scores"].numpy()[1:]

    liked = dataset.train.item_rows[dataset.train.label > 0]
    np.testing.assert_allclose(np.expm1(scores), np.bincount(liked, minlength=100), rtol=1e-5)


def test_a_baseline_no_better_than_chance_is_noted_and_not_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    dataset = small_dataset()
    counts = np.bincount(dataset.train.item_rows, minlength=len(dataset.items))
    least_for_most = np.empty_like(counts)
    least_for_most[np.argsort(-counts)] = np.argsort(counts)
    train = replace(dataset.train, item_rows=least_for_most[dataset.train.item_rows])
    entry = ModelEntry(model=Popularity(), training=Counts(k=K))

    folder = fit_model(
        "popular", {"popular": entry}, replace(dataset, train=train), tmp_path, tmp_path, seed=0
    )

    (note,) = read_json(folder / MANIFEST, dict[str, Any])["report"]["notes"]
    assert note.startswith("no better than chance: validation ndcg@20 is 0.")


def test_a_fit_on_shuffled_histories_says_it_learned_nothing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    dataset = small_dataset()
    rng = rng_for(0, "shuffle")
    scrambled = replace(
        dataset,
        context=replace_history(dataset.context, rng),
    )
    with pytest.raises(
        ModelError, match=r"learned nothing: validation ndcg@20 .*; change its regularisation, or"
    ):
        fit_model("ease", {"ease": ITEMS}, scrambled, tmp_path, tmp_path, seed=0)


def replace_history(context, rng):  # type: ignore[no-untyped-def]
    history = context.multi_valued[0]
    values = 1 + rng.permutation(100)[rng.integers(0, 100, history.values.size)]
    return replace(context, multi_valued=(replace(history, values=values),))


def test_specs_refuse_networks_they_cannot_fill(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for training in (ALS(), EASEClosedForm()):
        entry = ModelEntry(model=Popularity(), training=training)
        with pytest.raises(StudyError, match="not StoredScores"):
            fit_model("wrong", {"wrong": entry}, small_dataset(), tmp_path, tmp_path, seed=0)


def test_infinite_factors_are_reported_with_a_remedy(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def diverge(solver, matrix, **_):  # type: ignore[no-untyped-def]
        solver.user_factors = np.full((matrix.shape[0], solver.factors), np.nan, np.float32)
        solver.item_factors = np.zeros((matrix.shape[1], solver.factors), np.float32)

    monkeypatch.setattr("implicit.cpu.als.AlternatingLeastSquares.fit", diverge)
    entry = ModelEntry(model=MatrixFactorisation(num_factors=6), training=ALS(k=K))
    with pytest.raises(ModelError, match="raise its regularisation"):
        fit_model("als", {"als": entry}, small_dataset(), tmp_path, tmp_path, seed=2)
