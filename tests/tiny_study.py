"""The smallest study that goes all the way, deterministic because service times are modelled."""

from recfunnel.data.synthetic import Synthetic
from recfunnel.hardware.roofline import Roofline
from recfunnel.models.ease import EASE
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.neumf import NeuMF
from recfunnel.models.popularity import Popularity
from recfunnel.models.reranker import Reranker
from recfunnel.plan.space import SearchSpace
from recfunnel.study.study import (
    ProfileSettings,
    SimulateSettings,
    Study,
    TargetSettings,
    VerifySettings,
)
from recfunnel.train.als import ALS
from recfunnel.train.base import ModelEntry
from recfunnel.train.bce import BCE
from recfunnel.train.ease import EASEClosedForm
from recfunnel.train.epochs import Patience
from recfunnel.train.listwise import Listwise
from recfunnel.train.popularity import Counts

PLATFORM = Roofline(
    name="cpu",
    description="a described machine",
    memory_bytes=8 << 30,
    bandwidth_bytes_per_s=20e9,
    compute_flops_per_s=2e11,
    launch_overhead_s=20e-6,
    num_cores=2,
)


def tiny_study(source: str = "modelled", rate_qps: float = 100.0) -> Study:
    """Five models on a few hundred users; seconds of work."""
    measured = {} if source == "measured" else {"platform": PLATFORM}
    return Study(
        name="tiny",
        dataset=Synthetic(num_users=300, num_items=150, mean_ratings=20),
        models={
            "popularity": ModelEntry(model=Popularity(), training=Counts()),
            "als": ModelEntry(model=MatrixFactorisation(num_factors=8), training=ALS()),
            "ease": ModelEntry(model=EASE(), training=EASEClosedForm()),
            "neumf": ModelEntry(
                model=NeuMF(mf_dim=4, mlp_dim=8, hidden=(8,)),
                training=BCE(patience=Patience(max_epochs=2, epochs=2)),
            ),
            "reranker": ModelEntry(
                model=Reranker(embedding_dim=8, hidden=(16,)),
                training=Listwise(patience=Patience(max_epochs=2, epochs=2)),
                score_inputs=("als", "ease"),
            ),
        },
        space=SearchSpace(keep_counts=(20, 40), num_answers=10, max_stages=3),
        target=TargetSettings(rate_qps=rate_qps, deadline_s=0.025),
        profile=ProfileSettings(source=source, seconds=4, repetitions=24),
        simulate=SimulateSettings(num_queries=2000, num_replications=3),
        verify=VerifySettings(seconds=0.5, repeats=1, load_fractions=(0.5,), capacity_seconds=0.3),
        **measured,
    )
