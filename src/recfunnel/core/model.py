"""What a model costs and what it scored."""

from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import FloatArray
from recfunnel.core.errors import InvalidInput, ModelError
from recfunnel.core.spec import Value


class ModelCost(Value, frozen=True):
    """Work of one query, exact for the stated schema; one multiply-add is 2 FLOPs.

    Args:
        flops_per_query: done once a query, whatever the number of candidates.
        flops_per_item: done for each candidate.
        read_bytes_per_item: embedding and feature bytes read for each candidate.
        parameter_bytes: size of all parameters and tables.
        read_bytes_per_query: weights of networks and decoders, streamed once a call however many
            candidates it has; 0 where a model does not state them.
        reads_per_item: rows that `read_bytes_per_item` is spread over; a platform reads whole lines
            of its memory for each. 0 where a model does not state them.
        hash_operations_per_query: integer operations to hash the context's ids, stated apart.
        hash_operations_per_item: to hash a candidate's ids.
    """

    flops_per_query: float
    flops_per_item: float
    read_bytes_per_item: float
    parameter_bytes: int
    read_bytes_per_query: float = 0.0
    reads_per_item: float = 0.0
    hash_operations_per_query: float = 0.0
    hash_operations_per_item: float = 0.0


@dataclass(frozen=True, eq=False, slots=True)
class ScoreTable:
    """A model's score of every column of every query.

    Args:
        model: its name in the study.
        scores: float32 (Q, C), finite; higher ranks first. Excluded columns hold a score too;
            whoever ranks leaves them out.
    """

    model: str
    scores: FloatArray

    def __post_init__(self) -> None:
        if self.scores.ndim != 2:
            raise InvalidInput(
                f"scores of {self.model!r} have shape {self.scores.shape}, not (Q, C)"
            )


def check_scores(model: str, scores: FloatArray, shape: tuple[int, ...]) -> None:
    """Hold what a model returned against what it was asked for.

    Raises:
        ModelError: another shape, or a value that is not finite.
    """
    if scores.shape != shape:
        raise ModelError(f"{model!r} returned scores of shape {scores.shape}, expected {shape}")
    if not np.isfinite(scores).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(scores))[0])
        raise ModelError(
            f"{model!r} returned {scores[where]} at {where}; "
            "lower its learning rate or check its inputs"
        )
