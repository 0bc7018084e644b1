"""Generated data with planted preferences: all of recfunnel in a few minutes, no files needed."""

from pathlib import Path

from recfunnel.core.errors import StudyError
from recfunnel.data.synthetic import Synthetic
from recfunnel.models.dlrm import DLRM
from recfunnel.models.ease import EASE
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.neumf import NeuMF
from recfunnel.models.popularity import Popularity
from recfunnel.models.reranker import Reranker
from recfunnel.plan.space import SearchSpace
from recfunnel.study.study import ProfileSettings, Study, TargetSettings, VerifySettings
from recfunnel.train.als import ALS
from recfunnel.train.base import ModelEntry
from recfunnel.train.bce import BCE
from recfunnel.train.ease import EASEClosedForm
from recfunnel.train.listwise import Listwise
from recfunnel.train.popularity import Counts


def study(data: Path | None = None) -> Study:
    """The study; it reads no data.

    Raises:
        StudyError: data was given.
    """
    if data is not None:
        raise StudyError(f"recipe 'quick' generates its data and cannot read {data}")
    return Study(
        name="quick",
        dataset=Synthetic(),
        models={
            "popularity": ModelEntry(model=Popularity(), training=Counts()),
            "als": ModelEntry(model=MatrixFactorisation(num_factors=32), training=ALS()),
            "ease": ModelEntry(model=EASE(), training=EASEClosedForm()),
            "dlrm_small": ModelEntry(
                model=DLRM(embedding_dim=4, bottom=(64,), top=(64,)), training=BCE()
            ),
            "neumf_small": ModelEntry(
                model=NeuMF(mf_dim=8, mlp_dim=16, hidden=(16, 8)), training=BCE()
            ),
            "reranker": ModelEntry(
                model=Reranker(), training=Listwise(), score_inputs=("als", "ease")
            ),
        },
        space=SearchSpace(keep_counts=(64, 128, 256, 512)),
        target=TargetSettings(rate_qps=100, deadline_s=0.025),
        profile=ProfileSettings(seconds=30, repetitions=100),
        verify=VerifySettings(seconds=3, repeats=1),
    )
