"""Criteo click logs: DLRM of RecPipe's three shapes, ranking blocks of impressions.

A row is its own item and nobody's context, as in RecPipe; queries are disjoint random blocks of the
test rows, unlike RecPipe's overlapping ones (`--set dataset.queries.protocol='recpipe'`).
"""

from pathlib import Path

from msgspec import UNSET, UnsetType

from recfunnel.core.errors import StudyError
from recfunnel.data.criteo import Criteo
from recfunnel.data.ctr import Blocks
from recfunnel.plan.space import SearchSpace
from recfunnel.recipes import entries
from recfunnel.study.study import Study, TargetSettings
from recfunnel.train.base import ModelEntry

NUM_CANDIDATES = 512


def study(data: Path | None = None) -> Study:
    """The study.

    Args:
        data: the 40-column log, plain or gzip, or a CSV of the same columns with a header.

    Raises:
        StudyError: no data was given.
    """
    if data is None:
        raise StudyError(
            "recipe 'criteo' needs the log: recfunnel run criteo --data path/to/train.txt.gz; "
            "`recfunnel data criteo` says where to get it"
        )
    return Study(
        name="criteo",
        dataset=Criteo(path=str(data), min_count=2, queries=Blocks(num_candidates=NUM_CANDIDATES)),
        models=click_zoo(),
        space=SearchSpace(keep_counts=(64, 128, 256), max_stages=3),
        target=TargetSettings(rate_qps=50, deadline_s=0.025),
    )


def click_zoo(min_steps: int | UnsetType = UNSET) -> dict[str, ModelEntry]:
    """DLRM small, medium and large, one pass over the log as RecPipe trains them.

    Args:
        min_steps: a log of fewer is passed over several times.
    """
    rates = {"small": 2e-3, "medium": 2e-3, "large": 1e-3}
    return {
        f"dlrm_{size}": entries.dlrm(size, entries.bce(rate, 1, min_steps=min_steps))
        for size, rate in rates.items()
    }
