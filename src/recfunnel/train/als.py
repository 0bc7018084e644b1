"""Implicit-feedback matrix factorisation by alternating least squares, through `implicit`."""

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from recfunnel.core.errors import MissingExtraError, ModelError, StudyError
from recfunnel.core.seeds import seed_for
from recfunnel.core.spec import Spec
from recfunnel.models.matrix_factorisation import Factors
from recfunnel.train.base import FitReport, TrainingSpec, TrainingTask, trainings
from recfunnel.train.closed_form import report_fit
from recfunnel.train.confidence import STAR_WEIGHTS, confidence, confidence_matrix


@trainings.register
class ALS(Spec, TrainingSpec, frozen=True, tag="als"):
    """iALS (Hu, Koren & Volinsky, 2008) with the conjugate-gradient steps of `implicit`.

    An observed pair has confidence `alpha` x weight of its rating, every other pair 1; the target
    is 1 where observed, else 0. Regularisation is not scaled by counts, so its best value grows
    with alpha and with the mean number of interactions. Cold ids get the mean factors.

    Args:
        alpha: confidence of weight 1.
        regularisation: squared-norm penalty.
        iterations: sweeps over both sides.
        rating_weights: of 1, 2, ... stars; without stars, the label.
        k: list length of the validation NDCG.
    """

    alpha: float = 8.0
    regularisation: float = 80.0
    iterations: int = 15
    rating_weights: tuple[float, ...] = STAR_WEIGHTS
    k: int = 64

    def __post_init__(self) -> None:
        if not self.alpha > 0 or not self.regularisation >= 0 or self.iterations < 1:
            raise StudyError(
                f"als needs alpha above 0, regularisation not negative and at least 1 iteration; "
                f"got {self.alpha}, {self.regularisation}, {self.iterations}"
            )

    def fit(self, model: nn.Module, task: TrainingTask) -> FitReport:
        """Fill the factors of a `matrix_factorisation` network.

        Raises:
            ModelError: factors are not finite, or nothing was learned.
            StudyError: the network is another kind.
        """
        if not isinstance(model, Factors):
            raise StudyError(
                f"{task.name!r}: 'als' fits 'matrix_factorisation', not {type(model).__name__}"
            )
        return report_fit(model, task, lambda: self._fill(model, task), self.k)

    def _fill(self, model: Factors, task: TrainingTask) -> None:
        try:
            from implicit.cpu.als import AlternatingLeastSquares
        except ImportError as error:
            raise MissingExtraError("implicit", "train") from error

        weights = confidence(task.dataset.train, self.rating_weights)
        matrix = confidence_matrix(task.dataset, self.alpha * weights)
        # implicit runs its own threads over rows; BLAS threads inside them slow it down tenfold,
        # and it warns about them where it is built.
        with threadpool_limits(1, "blas"):
            solver = AlternatingLeastSquares(
                factors=model.item_factors.shape[1],
                regularization=self.regularisation,
                alpha=1.0,
                iterations=self.iterations,
                random_state=seed_for(task.seed, "als") % 2**32,
            )
            solver.fit(matrix, show_progress=False)
        if not (np.isfinite(solver.user_factors).all() and np.isfinite(solver.item_factors).all()):
            raise ModelError(
                f"{task.name!r} has factors that are not finite; raise its regularisation "
                f"(now {self.regularisation:g})"
            )
        observed = np.diff(matrix.indptr) > 0
        seen = np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0
        with torch.no_grad():
            model.context_factors.copy_(_with_mean(solver.user_factors, observed))
            model.item_factors.copy_(_with_mean(solver.item_factors, seen))
            if model.item_bias is not None:
                model.item_bias.zero_()


def _with_mean(factors: np.ndarray, known: np.ndarray) -> torch.Tensor:
    """Factors (ids, f) in which ids without an interaction have the mean of the others."""
    filled = factors.copy()
    filled[~known] = factors[known].mean(axis=0)
    return torch.from_numpy(filled)
