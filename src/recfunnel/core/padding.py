"""Ragged rows as rectangles, for whoever takes no other form.

Letters: R rows, L values of the longest list (at least 1).
"""

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray, Ragged


def padded(lists: Ragged) -> tuple[IntArray, FloatArray, FloatArray]:
    """Rows of different lengths as rectangles.

    Returns:
        ids, weights, and 1 where there is a value: (R, L) each; the rest is 0.
    """
    if len(lists) == 1 and lists.values.size:  # a query's own lists, as they come
        ids = np.ascontiguousarray(lists.values[None])
        ones = np.ones(ids.shape, np.float32)
        weights = ones if lists.weights is None else np.ascontiguousarray(lists.weights[None])
        return ids, weights, ones
    lengths = lists.lengths
    longest = max(1, int(lengths.max(initial=0)))
    present = np.arange(longest) < lengths[:, None]
    ids = np.zeros(present.shape, np.int64)
    weights = np.zeros(present.shape, np.float32)
    ids[present] = lists.values
    weights[present] = 1.0 if lists.weights is None else lists.weights
    return ids, weights, present.astype(np.float32)
