"""MovieLens-1M by the protocol of He et al. 2017: one left-out item among 99 sampled negatives.

For comparison with the literature only: sampled negatives mislead (Krichene & Rendle 2020).
"""

from pathlib import Path

from recfunnel.data.movielens import MovieLens
from recfunnel.plan.space import SearchSpace
from recfunnel.recipes import entries
from recfunnel.recipes.movielens import needed
from recfunnel.study.study import Study, TargetSettings
from recfunnel.train.fold_lists import Folding

K = 10
FACTORS = 128
EVERY_STAR = (1.0, 1.0, 1.0, 1.0, 1.0)
"""This protocol counts every rating as a choice."""

LONG_LISTS = Folding(num_folds=10, num_fitted=4, list_size=1024, num_random=0)
"""The sampled negatives come from all items, so the lists learned from must reach far down."""


def study(data: Path | None = None) -> Study:
    """The study; NDCG@10 and hit rate@10 among 100 candidates.

    Args:
        data: the ML-1M folder with the published files in `ncf/`.

    Raises:
        StudyError: no data folder was given.
    """
    return Study(
        name="movielens-ncf",
        dataset=MovieLens(path=str(needed(data, "movielens-ncf")), split="leave_one_out"),
        models={
            "popularity": entries.popularity(),
            "als": entries.als(FACTORS, rating_weights=EVERY_STAR, k=K),
            "ease": entries.ease(rating_weights=EVERY_STAR, k=K),
            "reranker": entries.reranker(
                16, (16, 8), FACTORS, 5e-3, k=K, num_ranked=256, folding=LONG_LISTS
            ),
        },
        space=SearchSpace(keep_counts=(20, 50), num_answers=K, max_stages=2),
        target=TargetSettings(rate_qps=200, deadline_s=0.010),
    )
