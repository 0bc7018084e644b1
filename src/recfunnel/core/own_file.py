"""How a user's own model file is called: which features each of its inputs reads.

Letters: n candidates of one query, k features side by side, L values of the longest list, S given
scores.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import FloatArray
from recfunnel.core.errors import ModelError, StudyError
from recfunnel.core.spec import Value

STORED_ONNX = "model.onnx"
"""What a user's ONNX file is called in a finished model's folder."""

SMALLEST_PROBABILITY = 1e-7
"""Probabilities are taken to lie this far from 0 and 1."""


class FileCall(Value, frozen=True):
    """How a file is called and read.

    Args:
        inputs: for each input of the file, in any order, the feature it reads: a name
            gives (n,), a list of names gives (n, k), and a multi-valued feature (n, L) ids, filled
            up with 0. `NAME.weights` is the weights of a multi-valued feature, and `NAME.present`
            is 1 for its values and 0 for what fills up.
        scores_input: the input that takes the scores of the model's `score_inputs`, (n, S); empty
            where it has none.
        output: name of the scores, (n,) or (n, 1); empty for the only output, or the first of a
            torch file.
        output_column: which column of an (n, classes) output is the score.
        probability: whether scores are probabilities; they become log-odds, which rank alike and
            are what click models are judged on.
        context: `repeated` gives the context's features once for each candidate; `once` gives them
            as one row, and the file broadcasts.
    """

    inputs: dict[str, str | tuple[str, ...]]
    scores_input: str = ""
    output: str = ""
    output_column: int | None = None
    probability: bool = False
    context: Literal["repeated", "once"] = "repeated"

    def __post_init__(self) -> None:
        if not self.inputs and not self.scores_input:
            raise StudyError(
                "an own model file needs 'inputs': a table that gives the features each input reads"
            )
        if self.scores_input in self.inputs:
            raise StudyError(f"{self.scores_input!r} is both the scores_input and among the inputs")
        for name, features in self.inputs.items():
            if not features:
                raise StudyError(f"input {name!r} names no feature")

    def scores(self, name: str, output: NDArray[Any], num_candidates: int) -> FloatArray:
        """Scores (n,) from what the file returned.

        Args:
            name: of the model, for errors.
            output: as returned.
            num_candidates: n.

        Raises:
            ModelError: another shape.
        """
        found = output
        if self.output_column is not None:
            if found.ndim != 2 or not -found.shape[1] <= self.output_column < found.shape[1]:
                raise ModelError(
                    f"{name!r} returned an output of shape {found.shape}, which has no column "
                    f"{self.output_column}; see output_column"
                )
            found = found[:, self.output_column]
        if found.shape == (num_candidates, 1):
            found = found[:, 0]
        if found.shape != (num_candidates,):
            raise ModelError(
                f"{name!r} returned an output of shape {output.shape} for {num_candidates} "
                f"candidates, expected ({num_candidates},) or ({num_candidates}, 1)"
            )
        found = np.asarray(found, np.float32)
        if not self.probability:
            return found
        if np.any(found < 0) or np.any(found > 1):
            raise ModelError(
                f"{name!r} returned {float(found.min()):g} to {float(found.max()):g}, which are no "
                "probabilities; set probability = false"
            )
        inside = np.clip(found, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        odds: FloatArray = np.log(inside / (1 - inside))
        return odds
