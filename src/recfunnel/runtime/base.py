"""What running a model on a platform means; profiling, quality and serving all make this call.

Letters: Q queries, C columns (candidates a query), S score inputs.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Protocol

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import InvalidInput
from recfunnel.core.features import Features
from recfunnel.core.registry import Registry


class LoadedModel(Protocol):
    """A fitted model, ready to score on one platform, with the item features it ranks."""

    @property
    def name(self) -> str:
        """The model's name in the study."""
        ...

    @property
    def score_inputs(self) -> tuple[str, ...]:
        """Names of the models whose scores it reads, in the order of `given`."""
        ...

    def score(
        self, context: Features, candidates: IntArray | None, given: FloatArray | None = None
    ) -> FloatArray:
        """Score candidates.

        Args:
            context: Q rows; serving calls with Q = 1.
            candidates: int64 (Q, C), rows of the item features; None means all of them in order.
            given: float32 (Q, C, S), scores of `score_inputs`; None when it reads none.

        Returns:
            float32 (Q, C), higher ranks first.

        Raises:
            ModelError: the model returned another shape or a value that is not finite.
        """
        ...


class RuntimeSpec:
    """Role of a spec that runs models on a platform."""

    __slots__ = ()

    @property
    def exact(self) -> bool:
        """Whether scores equal float32 arithmetic but for rounding, so that rankings do too.

        A model on a runtime that is not exact ranks differently, and is judged as a model of its
        own.
        """
        return True

    @property
    def fused(self) -> bool:
        """Whether stages whose models all run here are one call, and are timed inside it."""
        return False

    def refusal(self, folder: Path) -> str:
        """Why it cannot run a finished model, in words; empty when it can.

        Cheap: looks at what is installed and at the model's manifest, loads nothing.
        """
        del folder
        return ""

    @abstractmethod
    def load(self, folder: Path, items: Features, *, num_threads: int = 1) -> LoadedModel:
        """Read a finished model from its folder and make it ready.

        Args:
            folder: `models/NAME` of a run folder.
            items: features of all items it will be asked about.
            num_threads: cores one call may use (a process-wide setting in most frameworks).

        Returns:
            The loaded model.

        Raises:
            StorageError: the folder is missing, damaged or of another version.
            MissingExtraError: the framework is not installed.
        """


runtimes: Registry[RuntimeSpec] = Registry(RuntimeSpec, "recfunnel.runtime")
"""Kinds of runtime, one file each in `recfunnel.runtime`."""


def remarks_of(model: LoadedModel) -> tuple[str, ...]:
    """What a model's runtime has to tell of how it was loaded, in words; most have nothing."""
    remarks: tuple[str, ...] = getattr(model, "remarks", ())
    return tuple(f"{model.name}: {remark}" for remark in remarks)


def check_given(
    model: LoadedModel, given: FloatArray | None, shape: tuple[int, int] | None = None
) -> None:
    """Hold given scores against what a model reads.

    Args:
        model: that is called.
        given: (Q, C, S), or None.
        shape: (Q, C) of the call; None looks at S alone.

    Raises:
        InvalidInput: scores are missing, not asked for, or of another shape.
    """
    names = model.score_inputs
    have = None if given is None else np.shape(given)
    if shape is None:
        fits = (have is None) if not names else (have is not None and have[-1:] == (len(names),))
    else:
        fits = have == ((*shape, len(names)) if names else None)
    if not fits:
        want = f"({'Q, C' if shape is None else f'{shape[0]}, {shape[1]}'}, {len(names)})"
        raise InvalidInput(
            f"{model.name!r} reads the scores of {list(names)}: given must have shape "
            f"{want if names else None}, has {have}"
        )
