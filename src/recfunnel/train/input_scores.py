"""Scores of the models that another model reads, computed by the fitted networks of a zoo.

Letters: Q queries, C columns, S score inputs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.features import Features
from recfunnel.models.checkpoint import Checkpoint, load_checkpoint
from recfunnel.train.scoring import score_features


class Zoo:
    """Fitted networks of one folder, each read once.

    Args:
        folder: one folder a model.
        device: where they score.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._folder = folder
        self._device = device
        self._read: dict[str, Checkpoint] = {}

    def checkpoint(self, name: str) -> Checkpoint:
        """A fitted model.

        Raises:
            StorageError: it is missing or damaged.
        """
        if name not in self._read:
            self._read[name] = load_checkpoint(self._folder / name)
            self._read[name].module.to(self._device)
        return self._read[name]

    def score(
        self,
        name: str,
        context: Features,
        items: Features,
        candidates: IntArray | None,
        known: Mapping[str, FloatArray] | None = None,
    ) -> FloatArray:
        """Scores (Q, C) of one model, its own inputs included.

        Args:
            name: of the model.
            context: Q rows.
            items: N rows.
            candidates: int64 (Q, C), rows of `items`; None means all.
            known: scores of other models for the same columns.

        Returns:
            float32 (Q, C).
        """
        known = known or {}
        if name in known:
            return known[name]
        checkpoint = self.checkpoint(name)
        given = None
        if checkpoint.score_inputs:
            given = self.score_all(checkpoint.score_inputs, context, items, candidates, known)
        return score_features(
            name, checkpoint.module, context, items, candidates, given, self._device
        )

    def score_all(
        self,
        names: Sequence[str],
        context: Features,
        items: Features,
        candidates: IntArray | None,
        known: Mapping[str, FloatArray] | None = None,
    ) -> FloatArray:
        """Scores (Q, C, S) of several models."""
        parts = [self.score(name, context, items, candidates, known) for name in names]
        return np.stack(parts, axis=2)
