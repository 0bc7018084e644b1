"""EASE and its denoising variant, in closed form.

Letters: U contexts, I item ids (unknown included).
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from recfunnel.core.arrays import FloatArray
from recfunnel.core.errors import ModelError, StudyError
from recfunnel.core.spec import Spec
from recfunnel.models.base import to_tensors
from recfunnel.models.ease import ItemToItem
from recfunnel.train.base import FitReport, TrainingSpec, TrainingTask, trainings
from recfunnel.train.closed_form import report_fit

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@trainings.register
class EASEClosedForm(Spec, TrainingSpec, frozen=True, tag="ease"):
    """The least-squares map from histories to themselves whose diagonal is 0 (Steck, 2019).

    With X the weighted histories and G = XᵀDX, D the weight of each context,
    P = (G + penalty·I + dropout/(1 - dropout)·diag G)⁻¹ and B = I - P / diag P (by columns).
    `dropout` is the denoising variant (Steck, 2020), where each history item is missing with that
    probability.

    Args:
        penalty: λ, squared-norm penalty.
        dropout: 0 up to but not 1.
        activity_power: a context with n items has weight (n / mean n) ** -activity_power, so that
            heavy users count less than in proportion; 0 is plain EASE.
        k: list length of the validation NDCG.
    """

    penalty: float = 500.0
    dropout: float = 0.0
    activity_power: float = 0.0
    k: int = 64

    def __post_init__(self) -> None:
        if not self.penalty > 0 or not 0 <= self.dropout < 1:
            raise StudyError(
                f"ease needs a penalty above 0 and a dropout in [0, 1); got {self.penalty}, "
                f"{self.dropout}"
            )

    def fit(self, model: nn.Module, task: TrainingTask) -> FitReport:
        """Fill the weights of an `ease` network, from the histories as it reads them.

        Raises:
            ModelError: the weights are not finite, or nothing was learned.
            StudyError: the network is another kind.
        """
        if not isinstance(model, ItemToItem):
            raise StudyError(f"{task.name!r}: 'ease' fits 'ease', not {type(model).__name__}")
        return report_fit(model, task, lambda: self._fill(model, task), self.k)

    def _fill(self, model: ItemToItem, task: TrainingTask) -> None:
        weights = item_weights(self, _histories(model, task))
        if not np.isfinite(weights).all():
            raise ModelError(
                f"{task.name!r} has weights that are not finite; raise its penalty "
                f"(now {self.penalty:g})"
            )
        model.weights.copy_(torch.from_numpy(weights))


def _histories(model: ItemToItem, task: TrainingTask) -> "csr_matrix":
    """(U, I), the history of every context under the model's own rating weights."""
    from scipy.sparse import csr_matrix

    history = to_tensors(task.dataset.context).multi_valued[model.history]
    shape = (history.offsets.shape[0] - 1, model.weights.shape[0])
    values = model.weigh(history.weights).numpy()
    return csr_matrix((values, history.values.numpy(), history.offsets.numpy()), shape=shape)


def item_weights(spec: EASEClosedForm, histories: "csr_matrix") -> FloatArray:
    """B (I, I) for histories X (U, I); rows and columns of items nobody has seen are 0."""
    from scipy.linalg import inv
    from scipy.sparse import diags

    counts = np.maximum(1, np.diff(histories.indptr))
    of_context = (counts / counts.mean()) ** -spec.activity_power
    weighted = (diags(of_context) @ histories).astype(np.float32)
    gram = (histories.T @ weighted).toarray().astype(np.float32)
    diagonal = np.diag_indices_from(gram)
    gram[diagonal] *= 1 + spec.dropout / (1 - spec.dropout)
    gram[diagonal] += spec.penalty
    inverse = inv(gram, overwrite_a=True, check_finite=False)
    inverse /= -np.diag(inverse)[None, :].copy()
    inverse[diagonal] = 0
    return np.ascontiguousarray(inverse, np.float32)
