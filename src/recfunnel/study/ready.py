"""What must hold before models are fitted: what is found out here costs no hours of training."""

import numpy as np

from recfunnel.core.dataset import Dataset
from recfunnel.core.errors import DataError
from recfunnel.plan.space import SearchSpace

MIN_CANDIDATES = 2
MIN_JUDGED = 2
"""Queries behind a mean; one has no standard error."""


def check_ready(dataset: Dataset, space: SearchSpace) -> None:
    """Hold a search space and the query sets against what a plan needs.

    Args:
        dataset: prepared.
        space: to be searched.

    Raises:
        DataError: a query has nothing to rank, or a split too few queries with something relevant.
        StudyError: the space does not fit the candidates of a query.
    """
    if dataset.test.num_columns < MIN_CANDIDATES:
        raise DataError(
            f"{dataset.name}: a query has {dataset.test.num_columns} candidate, ranking needs at "
            f"least {MIN_CANDIDATES}; check which column names the items, or the query of a row"
        )
    space.check_candidates(dataset.test.num_columns)
    for split, queries in (("validation", dataset.validation), ("test", dataset.test)):
        num_judged = int(np.count_nonzero(queries.relevance.lengths))
        if num_judged < MIN_JUDGED:
            raise DataError(
                f"{dataset.name}: {num_judged} of {len(queries)} {split} queries have a relevant "
                f"candidate, comparing pipelines takes at least {MIN_JUDGED}; check the label, or "
                "give more data or a larger share of it (dataset.fractions); where queries are "
                "blocks of rows, smaller blocks make more of them (dataset.queries.num_candidates)"
            )
