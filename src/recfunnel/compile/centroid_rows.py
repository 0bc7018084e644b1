"""MP-Cache's decoder tier: codes are replaced by the nearest of a few, whose rows are ready.

The paper's own text was not at hand; this is the tier as it is told: centroids of the codes of
profiled ids by k-means, the nearest by dot product (codes and centroids scaled to one length), the
decoder's output of each centroid computed beforehand. It changes scores; by how much is measured by
storing its rows (`store_computed`) and scoring as usual.

Letters: n ids, k codes, d dimensions, N centroids.
"""

from dataclasses import dataclass

import numpy as np

from recfunnel.compile.computed import computed_rows, decode
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.computed import AnyComputed, Decoded
from recfunnel.core.errors import InvalidInput

IDS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False, slots=True)
class CentroidRows:
    """Makes rows of one computed table by its centroids; a `RowMaker` for `store_computed`.

    Args:
        table: whose rows.
        directions: (N, k), centroids scaled to length 1.
        outputs: (N, d), the decoder's outputs.
        exact_ids: rising; ids that a tier before this one keeps the exact rows of.
    """

    table: Decoded
    directions: DoubleArray
    outputs: DoubleArray
    exact_ids: IntArray

    def __call__(self, table: AnyComputed, parameters: Parameters, ids: IntArray) -> DoubleArray:
        """(n, d), the output of the centroid nearest to each of ids (n,); exact rows as they are.

        Tables that have no centroids are computed.
        """
        if table != self.table:
            return computed_rows(table, parameters, ids)
        rows = self.outputs[self.nearest(ids)]
        exact = np.isin(ids, self.exact_ids)
        rows[exact] = computed_rows(table, parameters, ids[exact])
        return rows

    def nearest(self, ids: IntArray) -> IntArray:
        """(n,), the centroid of largest dot product with each id's codes."""
        return _nearest(self.table, self.directions, ids)

    @property
    def flops_per_row(self) -> int:
        """The dot products with all centroids."""
        return 2 * self.directions.size

    @property
    def size_bytes(self) -> int:
        """Of centroids and outputs in float32, and of the exact rows."""
        num_exact = self.exact_ids.size * self.table.dim
        return 4 * (self.directions.size + self.outputs.size + num_exact)


def centroid_rows(
    table: AnyComputed,
    parameters: Parameters,
    profiled: IntArray,
    *,
    num_centroids: int = 256,
    num_rounds: int = 10,
    rng: np.random.Generator,
    exact_ids: IntArray | None = None,
) -> CentroidRows:
    """Find centroids of the codes of profiled ids, and their rows.

    Lloyd's rounds from ids drawn at random; an id counts as often as it was profiled, and a
    centroid nobody is nearest to stays where it is.

    Args:
        table: a deep hash embedding.
        parameters: by name.
        profiled: ids as they were looked up in a window.
        num_centroids: N, at most the different ids of the window.
        num_rounds: of moving centroids.
        rng: draws the first centroids.
        exact_ids: whose rows a tier before this one keeps; none when not given.

    Raises:
        InvalidInput: a table without codes, or more centroids than ids.
    """
    if not isinstance(table, Decoded):
        raise InvalidInput(
            f"{table.name!r} has no codes to find centroids of; only decoded tables have"
        )
    ids, counts = np.unique(profiled, return_counts=True)
    if not 1 <= num_centroids <= ids.size:
        raise InvalidInput(
            f"{num_centroids} centroids of {ids.size} profiled ids of {table.name!r}; take 1 to "
            f"{ids.size}, or profile more queries"
        )
    centres = table.codes.encode(rng.choice(ids, num_centroids, replace=False))
    for _ in range(num_rounds):
        centres = _moved(table, centres, ids, counts)
    exact = np.zeros(0, np.int64) if exact_ids is None else np.unique(exact_ids)
    return CentroidRows(table, _of_length_one(centres), decode(table, parameters, centres), exact)


def _moved(table: Decoded, centres: DoubleArray, ids: IntArray, counts: IntArray) -> DoubleArray:
    """Each centroid as the weighted mean of the codes nearest to it."""
    directions = _of_length_one(centres)
    sums, sizes = np.zeros(centres.shape), np.zeros(len(centres))
    for start in range(0, ids.size, IDS_AT_ONCE):
        some = slice(start, start + IDS_AT_ONCE)
        values = table.codes.encode(ids[some])
        nearest = (values @ directions.T).argmax(axis=1)
        np.add.at(sums, nearest, values * counts[some, None])
        np.add.at(sizes, nearest, counts[some])
    own = sizes > 0
    moved = centres.copy()
    moved[own] = sums[own] / sizes[own, None]
    return moved


def _nearest(table: Decoded, directions: DoubleArray, ids: IntArray) -> IntArray:
    found = np.empty(ids.size, np.int64)
    for start in range(0, ids.size, IDS_AT_ONCE):
        some = slice(start, start + IDS_AT_ONCE)
        found[some] = (table.codes.encode(ids[some]) @ directions.T).argmax(axis=1)
    return found


def _of_length_one(rows: DoubleArray) -> DoubleArray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: DoubleArray = rows / np.where(lengths > 0, lengths, 1)
    return scaled
