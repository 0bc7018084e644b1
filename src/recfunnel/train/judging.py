"""Judges: a network's validation value, the same queries every time, the test split unread."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import nn

from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.train.base import TrainingTask
from recfunnel.train.input_scores import Zoo
from recfunnel.train.scoring import score_features
from recfunnel.train.validation import (
    NOT_RANKED,
    Chance,
    auc,
    chance_ndcg,
    gains_of,
    hide_excluded,
    log_loss,
    ndcg_at,
    sampled_queries,
    top_columns,
)


@dataclass(frozen=True, eq=False, slots=True)
class Judge:
    """Says how good a network is now.

    Args:
        validate: the value, higher is better.
        chance: the value of an order that knows nothing.
    """

    validate: Callable[[], float]
    chance: Chance


def ranking_judge(module: nn.Module, task: TrainingTask, k: int, num_queries: int) -> Judge:
    """Mean NDCG@k over all columns of some validation queries, for a network without inputs."""
    rng = rng_for(task.seed, "validation")
    queries = sampled_queries(task.dataset.validation, num_queries, rng)

    def validate() -> float:
        scores = score_features(
            task.name,
            module,
            queries.context,
            queries.items,
            queries.candidates,
            device=task.device,
        )
        return float(np.nanmean(ndcg_at(queries, scores, k)))

    return Judge(validate, chance_ndcg(queries, k, rng))


def clicks_judge(module: nn.Module, task: TrainingTask) -> Judge:
    """Negative log-loss over all validation pairs, shifted so that predicting the base rate is 0.

    Args:
        module: gives logits.
        task: names the validation queries.

    Returns:
        The judge of `log_loss_gain`: base-rate log-loss minus the network's, in nats.

    Raises:
        StudyError: validation has only one class.
    """
    queries = task.dataset.validation
    labels = gains_of(queries) > 0
    ranked = np.ones(labels.shape, np.bool_)
    ranked[queries.excluded.row_ids(), queries.excluded.values] = False
    truth = labels[ranked].astype(np.float32)
    rate = float(truth.mean())
    if not 0 < rate < 1:
        raise StudyError(f"validation labels of {task.dataset.name} are all {rate:g}; need both")
    base = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))

    def validate() -> float:
        scores = score_features(
            task.name,
            module,
            queries.context,
            queries.items,
            queries.candidates,
            device=task.device,
        )[ranked]
        task.progress.log(f"{task.name}: validation auc {auc(truth, scores):.4f}")
        return float(base - log_loss(truth, scores))

    return Judge(validate, Chance("log_loss_gain", 0.0, 0.0))


def cascade_judge(
    module: nn.Module, task: TrainingTask, zoo: Zoo, k: int, list_size: int, num_queries: int
) -> Judge:
    """Mean NDCG@k of two stages: the first score input keeps `list_size`, the network ranks them.

    Args:
        module: the network that ranks.
        task: names the validation queries and the score inputs.
        zoo: finished score inputs.
        k: list length.
        list_size: items the first stage keeps.
        num_queries: validation queries used at most.

    Returns:
        The judge.
    """
    rng = rng_for(task.seed, "validation")
    queries = sampled_queries(task.dataset.validation, num_queries, rng)
    front = task.score_inputs[0]
    full = zoo.score(front, queries.context, queries.items, queries.candidates)
    columns = top_columns(hide_excluded(queries, full), min(list_size, queries.num_columns))
    kept = {front: np.take_along_axis(full, columns, axis=1)}
    rows = columns
    if queries.candidates is not None:
        rows = np.take_along_axis(queries.candidates, columns, axis=1)
    given = zoo.score_all(task.score_inputs, queries.context, queries.items, rows, kept)

    def validate() -> float:
        scores = score_features(
            task.name, module, queries.context, queries.items, rows, given, task.device
        )
        whole = np.full(full.shape, NOT_RANKED, np.float32)
        np.put_along_axis(whole, columns, scores, axis=1)
        return float(np.nanmean(ndcg_at(queries, whole, k)))

    return Judge(validate, chance_ndcg(queries, k, rng))
