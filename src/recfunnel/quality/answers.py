"""Judge lists that were really answered, wherever they come from.

Letters: J judged queries, L places of a list, V relevant columns.
"""

import numpy as np

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import InvalidInput
from recfunnel.quality.judged import JudgedQueries

NO_COLUMN = -1
"""Fills the end of a list that is shorter than the others."""


def ranks_in_answers(judged: JudgedQueries, answers: IntArray) -> IntArray:
    """Where the relevant columns stand in given lists; feed it to `recfunnel.quality.metrics`.

    Args:
        judged: J queries.
        answers: int64 (J, L), the columns answered to each judged query, best first, `NO_COLUMN`
            behind the end of a short list.

    Returns:
        int64 (V,), 1 to L, or 0 for not in the list.

    Raises:
        InvalidInput: another number of lists than judged queries, a column out of range, or one
            that a list holds twice.
    """
    num_columns = judged.num_columns
    if answers.ndim != 2 or answers.shape[0] != len(judged):
        raise InvalidInput(f"answers of shape {answers.shape} for {len(judged)} judged queries")
    if answers.size and not NO_COLUMN <= int(answers.min()) <= int(answers.max()) < num_columns:
        raise InvalidInput(
            f"an answer names column {int(answers.max())} or {int(answers.min())}; columns run "
            f"from 0 to {num_columns - 1}, {NO_COLUMN} fills up"
        )
    rows, places = np.nonzero(answers != NO_COLUMN)
    keys = rows * num_columns + answers[rows, places]
    order = np.argsort(keys)
    ordered = keys[order]
    if (np.diff(ordered) == 0).any():
        raise InvalidInput("an answer holds a column twice; each may be shown once")
    wanted = judged.row_ids * num_columns + judged.columns
    found = np.searchsorted(ordered, wanted)
    shown = np.append(ordered, -1)[found] == wanted
    ranks: IntArray = np.where(shown, np.append(places[order], -1)[found] + 1, 0)
    return ranks
