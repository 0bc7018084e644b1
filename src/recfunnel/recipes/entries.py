"""Model entries that several recipes share, by size of data and budget of training time."""

from typing import Any

from msgspec import UNSET, UnsetType

from recfunnel.models.dlrm import RECPIPE_SHAPES
from recfunnel.models.ease import EASE
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.neumf import SIZES
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
    k: int = 64,
) -> ModelEntry:
    """Matrix factorisation by iALS; without rating weights, strengths count as they are."""
    training = ALS(alpha=alpha, regularisation=regularisation, rating_weights=rating_weights, k=k)
    return ModelEntry(model=MatrixFactorisation(num_factors=num_factors), training=training)


def ease(
    penalty: float = 300.0,
    dropout: float = 0.33,
    activity_power: float = 0.4,
    rating_weights: tuple[float, ...] = STAR_WEIGHTS,
    k: int = 64,
) -> ModelEntry:
    """Item-item EASE in closed form; without rating weights, strengths count as they are."""
    training = EASEClosedForm(penalty=penalty, dropout=dropout, activity_power=activity_power, k=k)
    return ModelEntry(model=EASE(rating_weights=rating_weights), training=training)


def reranker(
    embedding_dim: int,
    hidden: tuple[int, ...],
    factor_dim: int,
    learning_rate: float,
    warmup_steps: int = 100,
    min_steps: int | UnsetType = UNSET,
    **lists: Any,
) -> ModelEntry:
    """Re-ranker over the scores of `als` and `ease`, fitted on their out-of-fold output.

    Args:
        embedding_dim: of its own item and user vectors.
        hidden: widths of its network.
        factor_dim: of the iALS factors it reads as item features.
        learning_rate: highest.
        warmup_steps: in which it is reached.
        min_steps: an epoch of fewer passes over the lists several times.
        lists: further fields of `Listwise`, such as `folding`.

    Returns:
        The entry.
    """
    training = Listwise(
        descent=Descent(
            learning_rate=learning_rate,
            weight_decay=0.01,
            warmup_steps=warmup_steps,
            decay="linear",
        ),
        patience=Patience(max_epochs=2, epochs=2, min_steps=min_steps),
        **lists,
    )
    return ModelEntry(
        model=Reranker(embedding_dim=embedding_dim, hidden=hidden, factor_dim=factor_dim),
        training=training,
        score_inputs=("als", "ease"),
    )


def dlrm(size: str, training: BCE) -> ModelEntry:
    """DLRM of RecPipe's small, medium or large shape."""
    return ModelEntry(model=RECPIPE_SHAPES[size], training=training)


def neumf(size: str, training: BCE) -> ModelEntry:
    """NeuMF of a small, medium or large self-consistent shape."""
    return ModelEntry(model=SIZES[size], training=training)


def bce(
    learning_rate: float,
    epochs: int,
    *,
    group_size: int = 16,
    batch_queries: int = 128,
    min_steps: int | UnsetType = UNSET,
) -> BCE:
    """Sampled-negative BCE with a linearly falling learning rate.

    Args:
        learning_rate: highest.
        epochs: at most; it stops after two without a gain on validation.
        group_size: positives of one context in a row of the batch.
        batch_queries: contexts in a batch.
        min_steps: an epoch of fewer passes over the data several times.

    Returns:
        The training.
    """
    return BCE(
        descent=Descent(learning_rate=learning_rate, warmup_steps=50, decay="linear"),
        patience=Patience(max_epochs=epochs, epochs=2, min_steps=min_steps),
        group_size=group_size,
        batch_queries=batch_queries,
        num_validation_queries=500,
    )
