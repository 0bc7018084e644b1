"""Exact upper bounds that let a planner drop whole families of pipelines unseen.

Letters: J judged queries, N keep-counts.
"""

from collections.abc import Sequence

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import InvalidInput
from recfunnel.quality import metrics
from recfunnel.quality.book import ScoreBook


def front_bounds(book: ScoreBook, model: str, keep_counts: Sequence[int]) -> DoubleArray:
    """Most NDCG@k that any pipeline beginning with a model and a keep-count can reach.

    Whatever follows can at best put the survivors in the ideal order, so no pipeline that begins
    with this model and keeps as many, or fewer, is above the bound on any query.

    Args:
        book: stored scores.
        model: of the first stage.
        keep_counts: N numbers of candidates it may keep, each at least 1.

    Returns:
        (N, J), 0 to 1, rising with the keep-count; take the mean over J to bound the mean.

    Raises:
        StudyError: the model has no scores.
        InvalidInput: a keep-count is below 1.
    """
    if min(keep_counts, default=1) < 1:
        raise InvalidInput(f"a front stage cannot keep {min(keep_counts)}; at least 1")
    places = book.funnel.front_places(model)
    ideal = metrics.ideal_dcg(book.judged, book.k, book.gain)
    bounds = np.empty((len(keep_counts), book.num_judged))
    for row, keep in enumerate(keep_counts):
        kept = metrics.ideal_dcg(book.judged, book.k, book.gain, places < keep)
        bounds[row] = kept / ideal
    return bounds
