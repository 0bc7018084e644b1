"""MovieLens-1M by the protocol of He et al. 2017: one left-out item among 99 sampled negatives.

For comparison with the literature only: sampled negatives mislead (Krichene & Rendle 2020).
"""

from pathlib import Path

from recfunnel.data.movielens import MovieLens
from recfunnel.plan.space import SearchSpace
from recfunnel.recipes import entries
from recfunnel.recipes.movielens import needed
from recfunnel.study.study import Study, TargetSettings


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
            "als": entries.als(64, alpha=3.0, regularisation=20.0),
            "ease": entries.ease(penalty=1000.0),
            "reranker": entries.reranker(16, (16, 8), 64, 2e-3, 3),
        },
        space=SearchSpace(keep_counts=(20, 50), num_answers=10, max_stages=2),
        target=TargetSettings(rate_qps=200, deadline_s=0.010),
    )
