"""What must hold before models are fitted: what is found out here costs no hours of training."""

import numpy as np

from recfunnel.core.dataset import Dataset
from recfunnel.core.errors import DataError
from recfunnel.plan.space import SearchSpace

MIN_JUDGED = 2
"""Queries behind a mean; one has no standard error."""


def check_ready(dataset: Dataset, space: SearchSpace) -> None:
    """Hold a search space and the query sets against what a plan needs.

    Args:
        dataset: prepared.
        space: to be searched.

    Raises:
        DataError: a split has too few queries with something relevant.
        StudyError: the space does not fit the candidates of a query.
    """
    space.check_candidates(dataset.test.num_columns)
    for split, queries in (("validation", dataset.validation), ("test", dataset.test)):
        num_judged = int(np.count_nonzero(queries.relevance.lengths))
        if num_judged < MIN_JUDGED:
            raise DataError(
                f"{dataset.name}: {num_judged} {split} queries have a relevant candidate, and "
                f"pipelines cannot be compared on fewer than {MIN_JUDGED}; give more data or a "
                "larger share of it (dataset.fractions); where queries are blocks of rows, smaller "
                "blocks make more of them (dataset.queries.num_candidates)"
            )
