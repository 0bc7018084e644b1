"""Small entries to fit, shared by the tests of the train room."""

from recfunnel.models.ease import EASE
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.neumf import NeuMF
from recfunnel.models.popularity import Popularity
from recfunnel.models.reranker import Reranker
from recfunnel.train.als import ALS
from recfunnel.train.base import ModelEntry
from recfunnel.train.bce import BCE
from recfunnel.train.best_of_seeds import BestOfSeeds
from recfunnel.train.distil import Distil
from recfunnel.train.ease import EASEClosedForm
from recfunnel.train.epochs import Patience
from recfunnel.train.fold_lists import Folding
from recfunnel.train.listwise import Listwise
from recfunnel.train.optimisers import Descent
from recfunnel.train.popularity import Counts

K = 20
SMALL_NEUMF = NeuMF(mf_dim=4, mlp_dim=4, hidden=(4,))
THREE_EPOCHS = Patience(max_epochs=3, epochs=3)
FAST = Descent(learning_rate=0.02)

POPULARITY = ModelEntry(model=Popularity(), training=Counts(k=K))
FACTORS = ModelEntry(
    model=MatrixFactorisation(num_factors=8),
    training=ALS(alpha=4, regularisation=5, iterations=5, k=K),
)
ITEMS = ModelEntry(model=EASE(), training=EASEClosedForm(penalty=30, k=K))
POINTWISE = ModelEntry(
    model=SMALL_NEUMF, training=BCE(descent=FAST, patience=THREE_EPOCHS, batch_queries=64, k=K)
)
RERANKER = ModelEntry(
    model=Reranker(embedding_dim=4, hidden=(4,), factor_dim=8),
    training=Listwise(
        folding=Folding(num_folds=4, num_fitted=2, list_size=40),
        descent=Descent(learning_rate=2e-3, warmup_steps=2, decay="linear"),
        patience=THREE_EPOCHS,
        num_ranked=20,
        k=K,
    ),
    score_inputs=("als", "ease"),
)
STUDENT = ModelEntry(
    model=MatrixFactorisation(num_factors=8),
    training=Distil(
        teacher="ease",
        descent=Descent(learning_rate=0.1),
        patience=THREE_EPOCHS,
        num_top=30,
        num_random=30,
        batch_contexts=8,
        k=K,
    ),
)
SEVERAL = ModelEntry(
    model=SMALL_NEUMF, training=BestOfSeeds(training=POINTWISE.training, num_seeds=2)
)

ZOO = {
    "popularity": POPULARITY,
    "als": FACTORS,
    "ease": ITEMS,
    "neumf": POINTWISE,
    "reranker": RERANKER,
    "student": STUDENT,
    "several": SEVERAL,
}
