"""MovieLens-1M or -100K, full-catalogue ranking: iALS, EASE, NeuMF, DLRM and re-rankers."""

from pathlib import Path

from recfunnel.core.errors import StudyError
from recfunnel.data.movielens import MovieLens
from recfunnel.plan.space import SearchSpace
from recfunnel.recipes import entries
from recfunnel.study.study import Study, TargetSettings
from recfunnel.train.base import ModelEntry

FACTORS = 128
"""iALS factors; chosen on validation, as every other number of this file."""


def study(data: Path | None = None) -> Study:
    """The study.

    Args:
        data: folder with the raw files (`ratings.dat`, `users.dat`, `movies.dat`, plain or gzip).

    Raises:
        StudyError: no data folder was given.
    """
    return Study(
        name="movielens",
        dataset=MovieLens(path=str(needed(data, "movielens"))),
        models=zoo(),
        space=SearchSpace(keep_counts=(64, 128, 256, 512), max_stages=3),
        target=TargetSettings(rate_qps=200, deadline_s=0.025),
    )


def zoo() -> dict[str, ModelEntry]:
    """All models: the strong simple ones, the papers' networks, and re-rankers over the former."""
    return {
        "popularity": entries.popularity(),
        "als": entries.als(FACTORS),
        "ease": entries.ease(),
        "neumf_small": entries.neumf("small", entries.bce(2e-2, 6)),
        "neumf_medium": entries.neumf("medium", entries.bce(1e-2, 5)),
        "neumf_large": entries.neumf("large", entries.bce(1e-2, 2)),
        "dlrm_small": entries.dlrm("small", entries.bce(2e-2, 5)),
        "dlrm_medium": entries.dlrm("medium", entries.bce(1e-2, 4)),
        "dlrm_large": entries.dlrm("large", entries.bce(3e-3, 2)),
        "reranker_small": entries.reranker(16, (16, 8), FACTORS, 5e-3),
        "reranker_large": entries.reranker(64, (128, 64), FACTORS, 2e-3),
    }


def needed(data: Path | None, name: str) -> Path:
    """The data folder, or an error that says how to get one.

    Raises:
        StudyError: none was given.
    """
    if data is None:
        raise StudyError(
            f"recipe {name!r} needs the raw data: recfunnel run {name} --data path/to/ml-1m; "
            "`recfunnel data ml-1m` fetches it"
        )
    return data
