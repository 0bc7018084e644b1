"""Your own CSV or Parquet tables, described by a TOML file; no Python needed."""

from pathlib import Path

from recfunnel.core.errors import StudyError
from recfunnel.data.tabular import Tabular
from recfunnel.data.tabular_description import read_description
from recfunnel.plan.space import SearchSpace
from recfunnel.recipes import entries
from recfunnel.recipes.criteo import click_zoo
from recfunnel.study.study import Study
from recfunnel.train.base import ModelEntry

FACTORS = 32
MIN_STEPS = 200
"""Of an epoch, however little data there is: a handful of steps teaches a network nothing."""


def study(data: Path | None = None) -> Study:
    """The study; which models it has depends on the task the description states.

    Args:
        data: the TOML description of the tables.

    Raises:
        StudyError: no description was given.
        DataError: the description is missing or wrong.
    """
    if data is None:
        raise StudyError(
            "recipe 'tabular' needs a description of your tables: "
            "recfunnel run --data path/to/description.toml"
        )
    implicit = read_description(data).task == "implicit"
    return Study(
        name=data.stem,
        dataset=Tabular(path=str(data)),
        models=interaction_zoo() if implicit else click_zoo(MIN_STEPS),
        space=SearchSpace(keep_counts=(64, 128, 256, 512) if implicit else (64, 128, 256)),
    )


def interaction_zoo() -> dict[str, ModelEntry]:
    """Strong simple models, one network of each paper's kind, and a re-ranker.

    Strengths count as they are: whether they are stars, counts or ones is not known here.
    """
    return {
        "popularity": entries.popularity(),
        "als": entries.als(FACTORS, rating_weights=()),
        "ease": entries.ease(rating_weights=()),
        "neumf_small": entries.neumf("small", entries.bce(1e-2, 4, min_steps=MIN_STEPS)),
        "dlrm_small": entries.dlrm("small", entries.bce(1e-2, 4, min_steps=MIN_STEPS)),
        "reranker": entries.reranker(16, (16, 8), FACTORS, 5e-3, min_steps=MIN_STEPS),
    }
