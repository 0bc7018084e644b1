"""Sets of integer keys as rising arrays.

`np.unique` and `np.isin` of numpy 2.4 hash integers: on a million keys as regular as row * width +
column that takes ten times as long as sorting them. Few distinct values, such as row numbers, they
handle well.

Letters: N keys asked about, K keys of the set.
"""

import numpy as np

from recfunnel.core.arrays import BoolArray, IntArray


def distinct(keys: IntArray) -> IntArray:
    """(K,), the values of `keys` (N,), rising, each once."""
    ordered = np.sort(keys)
    is_new = np.ones(ordered.size, np.bool_)
    is_new[1:] = ordered[1:] != ordered[:-1]
    found: IntArray = ordered[is_new]
    return found


def among(keys: IntArray, ordered: IntArray) -> BoolArray:
    """Whether each key is in a set.

    Args:
        keys: any shape.
        ordered: int64 (K,), rising; may be empty.

    Returns:
        Of the keys' shape.
    """
    if not ordered.size:
        return np.zeros(np.shape(keys), np.bool_)
    places = np.minimum(np.searchsorted(ordered, keys), ordered.size - 1)
    return np.asarray(ordered[places] == keys, np.bool_)
