"""Every way to fit a network keeps the contract."""

from recfunnel.core.dataset import Dataset
from recfunnel.data.ctr import Blocks
from recfunnel.data.synthetic_ctr import SyntheticCtr
from recfunnel.models.dlrm import DLRM
from recfunnel.testing.training import TrainingContract
from recfunnel.train.base import ModelEntry
from recfunnel.train.bce import BCE
from recfunnel.train.optimisers import Descent
from train_samples import FAST, THREE_EPOCHS, ZOO


class _OfZoo(TrainingContract):
    @property
    def entries(self) -> dict[str, ModelEntry]:
        return ZOO


class TestPopularity(_OfZoo):
    name = "popularity"


class TestALS(_OfZoo):
    name = "als"


class TestEASE(_OfZoo):
    name = "ease"


class TestBCE(_OfZoo):
    name = "neumf"


class TestListwise(_OfZoo):
    name = "reranker"


class TestDistil(_OfZoo):
    name = "student"


class TestBestOfSeeds(_OfZoo):
    name = "several"


class TestBCEWithSparseTables(_OfZoo):
    name = "sparse"

    @property
    def entries(self) -> dict[str, ModelEntry]:
        descent = Descent(learning_rate=0.02, sparse_rows=100)
        model = ZOO["neumf"].model
        return {
            "sparse": ModelEntry(
                model=model,
                training=BCE(
                    descent=descent, patience=THREE_EPOCHS, low_ratings=True, negative_power=0.5
                ),
            )
        }


class TestBCEOnClicks(TrainingContract):
    name = "clicks"

    @property
    def entries(self) -> dict[str, ModelEntry]:
        training = BCE(descent=FAST, patience=THREE_EPOCHS, batch_queries=256)
        return {"clicks": ModelEntry(model=DLRM(embedding_dim=4, bottom=(4,)), training=training)}

    def dataset(self) -> Dataset:
        spec = SyntheticCtr(
            num_rows=4000,
            cardinalities=(20, 10, 5),
            num_dense=2,
            queries=Blocks(num_candidates=100),
        )
        return spec.prepare(seed=1)
