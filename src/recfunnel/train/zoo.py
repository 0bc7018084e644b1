"""Fit one model of a study and keep it; finished models are found again by what made them."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recfunnel.core.dataset import Dataset
from recfunnel.core.errors import StudyError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.seeds import seed_for
from recfunnel.core.spec import to_builtins
from recfunnel.core.storage import MANIFEST, content_hash, read_json
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.train.base import ModelEntry, TrainingTask


def fit_model(
    name: str,
    entries: Mapping[str, ModelEntry],
    dataset: Dataset,
    zoo_folder: Path,
    work_folder: Path,
    *,
    seed: int,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> Path:
    """Build and fit a model, and store it under its name.

    A finished model that was made from the same entry, inputs, data and seed is left as it is. A
    killed call goes on from what lies in the work folder and ends with the same parameters.

    Args:
        name: of the model, a key of `entries`.
        entries: every model of the study by name.
        dataset: what to learn from; its test split is not read.
        zoo_folder: finished models, one folder a name; score inputs must be there.
        work_folder: for unfinished work; this model's part is removed at the end.
        seed: of the study.
        device: torch device to train on.
        progress: told about epochs and losses.

    Returns:
        The model's folder.

    Raises:
        ModelError: it diverged or learned nothing.
        StorageError: a file could not be read or written.
        StudyError: an unknown name, a circle of score inputs, or an input not fitted yet.
    """
    order = fitting_order((name,), entries)
    folder, key = zoo_folder / name, model_key(name, entries, dataset, seed)
    if _stored_key(folder) == key:
        progress.log(f"{name}: already trained, kept")
        return folder
    for needed in order[:-1]:
        if not (zoo_folder / needed / MANIFEST).exists():
            raise StudyError(f"{name!r} needs the scores of {needed!r}; train that first")
    entry = entries[name]
    own_seed = seed_for(seed, "train", name)
    own_work = work_folder / f"{name}-{key}"
    task = TrainingTask(
        name=name,
        dataset=dataset,
        entries=entries,
        score_inputs=entry.score_inputs,
        zoo_folder=zoo_folder,
        work_folder=own_work,
        seed=own_seed,
        device=device,
        progress=progress,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(own_seed)
        module = entry.model.build(dataset.schema, len(entry.score_inputs))
        report = entry.training.fit(module, task)
    save_checkpoint(
        folder,
        entry.model,
        dataset.schema,
        module.cpu(),
        name=name,
        score_inputs=entry.score_inputs,
        report={**to_builtins(report), "key": key, "training": to_builtins(entry.training)},
    )
    shutil.rmtree(own_work, ignore_errors=True)
    return folder


def fitting_order(names: tuple[str, ...], entries: Mapping[str, ModelEntry]) -> tuple[str, ...]:
    """Models in an order in which each comes after those it reads scores of or learns from.

    Args:
        names: models wanted.
        entries: every model of the study by name.

    Returns:
        The names and everything they need, inputs first.

    Raises:
        StudyError: an unknown name, or a circle.
    """
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise StudyError(f"models need each other in a circle: {' → '.join((*above, name))}")
        if name not in entries:
            raise StudyError(f"no model {name!r}; known: {', '.join(sorted(entries))}")
        for needed in (*entries[name].score_inputs, *entries[name].training.teachers):
            visit(needed, (*above, name))
        if name not in order:
            order.append(name)

    for name in names:
        visit(name, ())
    return tuple(order)


def model_key(name: str, entries: Mapping[str, ModelEntry], dataset: Dataset, seed: int) -> str:
    """Hash of everything a fitted model depends on."""
    order = fitting_order((name,), entries)
    files = {n: found for n in order if (found := entries[n].model.fingerprint())}
    return content_hash(
        {
            "models": {n: to_builtins(entries[n]) for n in order},
            "name": name,
            "seed": seed,
            "data": data_key(dataset),
            **({"files": files} if files else {}),
        }
    )


def data_key(dataset: Dataset) -> str:
    """Hash of what training reads: features, training interactions and validation queries."""
    digest = hashlib.blake2b(digest_size=8)
    validation = dataset.validation
    arrays = {
        **dataset.context.to_arrays("context"),
        **dataset.items.to_arrays("items"),
        **validation.context.to_arrays("queries"),
        **validation.relevance.to_arrays("relevance"),
        **validation.excluded.to_arrays("excluded"),
        "context_rows": dataset.train.context_rows,
        "item_rows": dataset.train.item_rows,
        "label": dataset.train.label,
        "rating": dataset.train.rating,
    }
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return f"{dataset.task}-{digest.hexdigest()}"


def _stored_key(folder: Path) -> str | None:
    if not (folder / MANIFEST).exists():
        return None
    manifest = read_json(folder / MANIFEST, dict[str, Any])
    key = manifest.get("report", {}).get("key")
    return None if key is None else str(key)
