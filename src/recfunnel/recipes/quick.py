"""Generated data with planted preferences: all of recfunnel in a few minutes, no files needed."""

from pathlib import Path

from recfunnel.core.errors import StudyError
from recfunnel.data.synthetic import Synthetic
from recfunnel.plan.space import SearchSpace
from recfunnel.recipes import entries
from recfunnel.study.study import ProfileSettings, Study, TargetSettings, VerifySettings

FACTORS = 32


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
            "popularity": entries.popularity(),
            "als": entries.als(FACTORS),
            "ease": entries.ease(),
            "neumf_small": entries.neumf("small", entries.bce(2e-2, 4, group_size=8)),
            "dlrm_small": entries.dlrm("small", entries.bce(2e-2, 4, group_size=8)),
            "dlrm_medium": entries.dlrm("medium", entries.bce(1e-2, 4, group_size=8)),
            "reranker": entries.reranker(16, (16, 8), FACTORS, 5e-3, warmup_steps=50),
        },
        space=SearchSpace(keep_counts=(64, 128, 256, 512)),
        target=TargetSettings(rate_qps=100, deadline_s=0.025),
        profile=ProfileSettings(seconds=30, repetitions=200),
        verify=VerifySettings(seconds=2, repeats=1, capacity_seconds=1),
    )
