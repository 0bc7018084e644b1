"""Lists as a later stage will meet them: what the models before it rank high among unseen items.

The models behind a list are fitted without some training interactions (a fold), so that their
scores are as surprised by them as they will be in serving. Re-rankers that read the same models
share their lists.

Letters: L lists, K items a list, S score inputs.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import BoolArray, FloatArray, IntArray
from recfunnel.core.dataset import Dataset, Interactions
from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.core.spec import Value, to_builtins
from recfunnel.core.storage import MANIFEST, content_hash, load_arrays, save_arrays
from recfunnel.train.base import TrainingTask
from recfunnel.train.folds import fold_of_interactions, without_interactions
from recfunnel.train.input_scores import Zoo
from recfunnel.train.validation import NOT_RANKED, top_columns
from recfunnel.train.zoo import data_key, fit_model, fitting_order

BLOCK = 512
"""Contexts scored over the whole catalogue at once."""


class Folding(Value, frozen=True):
    """How training interactions are held out to make lists.

    Args:
        num_folds: parts the interactions fall into at random.
        num_fitted: of them, how many are held out in turn; each costs a fit of every score input.
        list_size: items of a list taken from the top: what the stage in front keeps; at most half
            the catalogue, since contexts that have not so many unseen items are left out.
        num_random: further items drawn from the rest of the catalogue, at most a quarter of it.
            Without them a network knows nothing of items that no front stage would keep, and is
            lost where more is kept.
    """

    num_folds: int = 10
    num_fitted: int = 6
    list_size: int = 256
    num_random: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.num_fitted <= self.num_folds or self.num_folds < 2:
            raise StudyError(
                f"num_fitted is {self.num_fitted} of {self.num_folds} folds; "
                "fit at least 1 of at least 2"
            )
        if self.list_size < 2 or self.num_random < 0:
            raise StudyError(
                f"list_size is {self.list_size} and num_random {self.num_random}; "
                "they must be at least 2 and 0"
            )


@dataclass(frozen=True, eq=False, slots=True)
class FoldLists:
    """Lists of one fold, with the features its models knew.

    Args:
        dataset: without the fold.
        context_rows: int64 (L,).
        columns: int64 (L, K), item rows: the top of the first score input, best first, then items
            from below it at random.
        scores: float32 (L, K, S).
        relevant: bool (L, K), held out and of label 1; every list has one.
    """

    dataset: Dataset
    context_rows: IntArray
    columns: IntArray
    scores: FloatArray
    relevant: BoolArray


def fold_lists(task: TrainingTask, folding: Folding) -> list[FoldLists]:
    """Lists of every fitted fold, read where they exist and made where they do not.

    Args:
        task: its score inputs make the lists; the first decides what is on them.
        folding: how interactions are held out.

    Returns:
        One entry a fitted fold.

    Raises:
        ModelError: a score input learns nothing without a fold.
        StudyError: the model reads no scores.
    """
    data = data_key(task.dataset)
    fold_of = fold_of_interactions(task.dataset, folding.num_folds, data)
    folder = task.zoo_folder.parent / "folds" / f"{data}-{folding.num_folds}"
    made = []
    for fold in task.progress.track(range(folding.num_fitted), f"{task.name}: lists without folds"):
        held_out = fold_of == fold
        rest = without_interactions(task.dataset, held_out)
        place = folder / f"lists-{lists_key(task, folding)}" / f"{fold}"
        if not (place / MANIFEST).exists():
            arrays = _make(task, rest, task.dataset.train.take(held_out), folding, folder, fold)
            save_arrays(place, arrays, {"score_inputs": list(task.score_inputs)})
        arrays, _ = load_arrays(place)
        made.append(
            FoldLists(
                rest,
                arrays["context_rows"],
                arrays["columns"],
                arrays["scores"],
                arrays["relevant"],
            )
        )
    return made


def lists_key(task: TrainingTask, folding: Folding) -> str:
    """Hash of what lists depend on besides the data and the folds."""
    order = fitting_order(task.score_inputs, task.entries)
    return content_hash(
        {
            "entries": {name: to_builtins(task.entries[name]) for name in order},
            "score_inputs": list(task.score_inputs),
            "list_size": folding.list_size,
            "num_random": folding.num_random,
        }
    )


def _make(
    task: TrainingTask,
    rest: Dataset,
    held_out: Interactions,
    folding: Folding,
    folder: Path,
    fold: int,
) -> dict[str, NDArray[Any]]:
    zoo_folder, work_folder = folder / f"fold-{fold}" / "models", folder / f"fold-{fold}" / "work"
    for name in fitting_order(task.score_inputs, task.entries):
        fit_model(name, task.entries, rest, zoo_folder, work_folder, seed=0, device=task.device)
    zoo = Zoo(zoo_folder, task.device)
    wanted = held_out.take(held_out.label > 0)
    rows = np.unique(wanted.context_rows)
    parts = [
        _lists_of(zoo, task.score_inputs, rest, wanted, rows[start : start + BLOCK], folding)
        for start in range(0, rows.size, BLOCK)
    ]
    shutil.rmtree(zoo_folder, ignore_errors=True)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _lists_of(
    zoo: Zoo,
    score_inputs: Sequence[str],
    rest: Dataset,
    wanted: Interactions,
    rows: IntArray,
    folding: Folding,
) -> dict[str, NDArray[Any]]:
    num_items = len(rest.items)
    context = rest.context.take(rows)
    scores = zoo.score(score_inputs[0], context, rest.items, None).copy()
    met = np.isin(rest.train.context_rows, rows)
    places = np.searchsorted(rows, rest.train.context_rows[met])
    scores[places, rest.train.item_rows[met]] = NOT_RANKED
    relevant = np.zeros(scores.shape, np.bool_)
    asked = np.isin(wanted.context_rows, rows)
    relevant[np.searchsorted(rows, wanted.context_rows[asked]), wanted.item_rows[asked]] = True
    top = top_columns(scores, min(folding.list_size, max(2, num_items // 2)))
    columns = _with_random(scores, top, min(folding.num_random, num_items // 4))
    first = np.take_along_axis(scores, columns, axis=1)
    relevant = np.take_along_axis(relevant, columns, axis=1) & np.isfinite(first)
    useful = relevant.any(axis=1) & np.isfinite(first).all(axis=1)
    rows, columns, first = rows[useful], columns[useful], first[useful]
    given = zoo.score_all(
        score_inputs,
        context.take(np.flatnonzero(useful)),
        rest.items,
        columns,
        {score_inputs[0]: first},
    )
    return {
        "context_rows": rows,
        "columns": columns,
        "scores": given,
        "relevant": relevant[useful],
    }


def _with_random(scores: FloatArray, top: IntArray, num_random: int) -> IntArray:
    """Top columns, then columns drawn from the others that may be ranked."""
    if not num_random:
        return top
    rng = rng_for(0, "random items", int(top[0, 0]), top.shape[0])
    priority = rng.random(scores.shape, dtype=np.float32)
    priority[np.isneginf(scores)] = NOT_RANKED
    np.put_along_axis(priority, top, NOT_RANKED, axis=1)
    return np.concatenate([top, top_columns(priority, num_random)], axis=1)
