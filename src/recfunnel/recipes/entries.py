"""Model entries that several recipes share, by size of data and budget of training time."""

from recfunnel.models.dlrm import DLRM
from recfunnel.models.ease import EASE
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.neumf import NeuMF
from recfunnel.models.popularity import Popularity
from recfunnel.models.reranker import Reranker
from recfunnel.train.als import ALS
from recfunnel.train.base import ModelEntry
from recfunnel.train.bce import BCE
from recfunnel.train.confidence import STAR_WEIGHTS
from recfunnel.train.ease import EASEClosedForm
from recfunnel.train.epochs import Patience
from recfunnel.train.listwise import Listwise
from recfunnel.train.optimisers import Descent
from recfunnel.train.popularity import Counts


def popularity() -> ModelEntry:
    """Item popularity: the baseline that costs nothing."""
    return ModelEntry(model=Popularity(), training=Counts())


def als(
    num_factors: int,
    alpha: float = 8.0,
    regularisation: float = 80.0,
    rating_weights: tuple[float, ...] = STAR_WEIGHTS,
) -> ModelEntry:
    """Matrix factorisation by iALS; without rating weights, strengths count as they are."""
    training = ALS(alpha=alpha, regularisation=regularisation, rating_weights=rating_weights)
    return ModelEntry(model=MatrixFactorisation(num_factors=num_factors), training=training)


def ease(
    penalty: float = 500.0,
    dropout: float = 0.0,
    activity_power: float = 0.0,
    rating_weights: tuple[float, ...] = STAR_WEIGHTS,
) -> ModelEntry:
    """Item-item EASE in closed form; without rating weights, strengths count as they are."""
    training = EASEClosedForm(penalty=penalty, dropout=dropout, activity_power=activity_power)
    return ModelEntry(model=EASE(rating_weights=rating_weights), training=training)


def reranker(
    embedding_dim: int, hidden: tuple[int, ...], factor_dim: int, learning_rate: float, epochs: int
) -> ModelEntry:
    """Re-ranker over the scores of `als` and `ease`, fitted on their out-of-fold output."""
    return ModelEntry(
        model=Reranker(embedding_dim=embedding_dim, hidden=hidden, factor_dim=factor_dim),
        training=Listwise(
            descent=Descent(
                learning_rate=learning_rate, weight_decay=0.01, warmup_steps=100, decay="linear"
            ),
            patience=Patience(max_epochs=epochs, epochs=epochs),
        ),
        score_inputs=("als", "ease"),
    )


def dlrm(size: str, training: BCE) -> ModelEntry:
    """DLRM of RecPipe's small, medium or large shape."""
    shapes = {
        "small": DLRM(embedding_dim=4, bottom=(64,), top=(64,)),
        "medium": DLRM(embedding_dim=16, bottom=(64,), top=(64,)),
        "large": DLRM(embedding_dim=32, bottom=(512, 256, 128, 64), top=(96,)),
    }
    return ModelEntry(model=shapes[size], training=training)


def neumf(size: str, training: BCE) -> ModelEntry:
    """NeuMF of a small, medium or large self-consistent shape."""
    shapes = {
        "small": NeuMF(mf_dim=8, mlp_dim=16, hidden=(16, 8)),
        "medium": NeuMF(mf_dim=16, mlp_dim=64, hidden=(64, 32)),
        "large": NeuMF(mf_dim=64, mlp_dim=128, hidden=(128, 64)),
    }
    return ModelEntry(model=shapes[size], training=training)


def bce(learning_rate: float, epochs: int) -> BCE:
    """Sampled-negative BCE with a linearly falling learning rate."""
    return BCE(
        descent=Descent(learning_rate=learning_rate, warmup_steps=50, decay="linear"),
        patience=Patience(max_epochs=epochs, epochs=2),
    )
