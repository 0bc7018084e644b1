"""Nothing a list's models know comes from the interactions the list is judged by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recfunnel.core.arrays import IntArray
from recfunnel.core.dataset import Dataset, Interactions
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Features
from recfunnel.data.rating_features import RatingLog, SideTable, context_features, item_features
from recfunnel.testing.training import small_dataset
from recfunnel.train.base import TrainingTask
from recfunnel.train.fold_lists import Folding, FoldLists, fold_lists
from recfunnel.train.folds import fold_of_interactions, without_interactions
from recfunnel.train.seen import training_pairs
from recfunnel.train.zoo import data_key, fit_model, model_key
from train_samples import ZOO

FOLDING = Folding(num_folds=4, num_fitted=2, list_size=30, num_random=8)


def _task(dataset: Dataset, folder: Path) -> TrainingTask:
    return TrainingTask(
        name="reranker",
        dataset=dataset,
        entries=ZOO,
        score_inputs=("als", "ease"),
        zoo_folder=folder / "models",
        work_folder=folder / "work",
        seed=3,
    )


def _with_train(dataset: Dataset, rows: IntArray, item_rows: IntArray) -> Dataset:
    """The data set had the given interactions been about other items, features included."""
    train = dataset.train
    items = train.item_rows.copy()
    items[rows] = item_rows
    changed = Interactions(train.context_rows, items, train.label, train.rating)
    return _features_again(replace(dataset, train=changed))


def _features_again(dataset: Dataset) -> Dataset:
    """History and activity recomputed by the data room from the training interactions."""
    train = dataset.train
    log = RatingLog(train.context_rows, train.item_rows, train.rating)

    def side(features: Features, num_lists: int) -> SideTable:
        own = Features(
            features.categorical[:, 1:],
            features.dense[:, :-2],
            features.multi_valued[num_lists:],
        )
        return SideTable((), own)

    return replace(
        dataset,
        context=context_features(side(dataset.context, 1), log),
        items=item_features(side(dataset.items, 0), log),
    )


def test_leaving_out_is_as_if_it_had_never_happened() -> None:
    dataset = small_dataset()
    left_out = fold_of_interactions(dataset, 4, "any") == 1
    never = _features_again(replace(dataset, train=dataset.train.take(~left_out)))

    found = without_interactions(dataset, left_out)

    for one, other in ((found.context, never.context), (found.items, never.items)):
        np.testing.assert_array_equal(one.categorical, other.categorical)
        np.testing.assert_allclose(one.dense, other.dense, atol=1e-6)
        for a, b in zip(one.multi_valued, other.multi_valued, strict=True):
            np.testing.assert_array_equal(a.values, b.values)
            np.testing.assert_array_equal(a.offsets, b.offsets)
    np.testing.assert_array_equal(found.train.item_rows, never.train.item_rows)


def test_scores_do_not_see_the_fold() -> None:
    """With other items in the fold, every model and feature behind its lists stays the same."""
    dataset = small_dataset()
    held_out = fold_of_interactions(dataset, 4, data_key(dataset)) == 0
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(held_out)
    others = rng.integers(0, 100, rows.size)
    # A pair that stays in training as well would leave the history with the fold.
    kept = dataset.train.take(~held_out)
    clash = training_pairs(replace(dataset, train=kept)).contains(
        dataset.train.context_rows[rows], others
    )
    others[clash] = dataset.train.item_rows[rows][clash]
    poisoned = _with_train(dataset, rows, others)

    clean, dirty = (without_interactions(d, held_out) for d in (dataset, poisoned))

    assert (others != dataset.train.item_rows[rows]).mean() > 0.5
    assert data_key(clean) == data_key(dirty)
    for name in ("als", "ease"):
        assert model_key(name, ZOO, clean, 0) == model_key(name, ZOO, dirty, 0)


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> list[FoldLists]:
    return fold_lists(_task(small_dataset(), tmp_path_factory.mktemp("folds")), FOLDING)


def test_lists_hold_unseen_items_and_held_out_answers(lists: list[FoldLists]) -> None:
    whole = training_pairs(small_dataset())
    liked = small_dataset().train
    for part in lists:
        rest = training_pairs(part.dataset)
        contexts = np.broadcast_to(part.context_rows[:, None], part.columns.shape)
        assert not rest.contains(contexts, part.columns).any()
        assert whole.contains(contexts[part.relevant], part.columns[part.relevant]).all()
        assert part.relevant.any(axis=1).all()
        top = part.scores[:, : FOLDING.list_size, 0]
        assert np.all(np.diff(top, axis=1) <= 0)
        below = part.scores[:, FOLDING.list_size :, 0]
        assert below.shape[1] == FOLDING.num_random
        assert np.all(below <= top[:, -1:])
        assert all(len(set(row)) == row.size for row in part.columns)
    held_out = sum(len(liked) - len(part.dataset.train) for part in lists)
    assert 0.4 * len(liked) < held_out < 0.6 * len(liked)


def test_a_held_out_item_is_in_no_history_of_its_list(lists: list[FoldLists]) -> None:
    for part in lists:
        history = part.dataset.context.multi_valued[0]
        for row, columns, relevant in zip(
            part.context_rows, part.columns, part.relevant, strict=True
        ):
            assert not set(columns[relevant] + 1) & set(history.row(int(row)))


def test_held_out_items_score_lower_than_when_seen(lists: list[FoldLists], tmp_path: Path) -> None:
    """The reason for folds: a model that has seen an answer overrates it (iALS by far)."""
    dataset = small_dataset()
    from recfunnel.train.input_scores import Zoo

    fit_model("als", ZOO, dataset, tmp_path, tmp_path / "work", seed=3)
    part = lists[0]
    seen = Zoo(tmp_path).score(
        "als", dataset.context.take(part.context_rows), dataset.items, part.columns
    )
    assert seen[part.relevant].mean() > 1.2 * part.scores[:, :, 0][part.relevant].mean()


def test_re_rankers_with_the_same_inputs_share_lists(tmp_path: Path) -> None:
    task = _task(small_dataset(), tmp_path)
    first = fold_lists(task, FOLDING)
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "folds").rglob("*.npy")}
    again = fold_lists(replace(task, name="other", seed=99), FOLDING)

    assert files == {p: p.stat().st_mtime_ns for p in (tmp_path / "folds").rglob("*.npy")}
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)


def test_folds_are_even_and_fewer_than_two_are_refused() -> None:
    folds = fold_of_interactions(small_dataset(), 4, "x")
    counts = np.bincount(folds)
    # Binomial: 4 standard errors of a quarter of the rows.
    bound = 4 * np.sqrt(folds.size * 0.25 * 0.75)
    assert np.all(np.abs(counts - folds.size / 4) < bound)
    with pytest.raises(StudyError, match="num_folds is 1"):
        fold_of_interactions(small_dataset(), 1, "x")
