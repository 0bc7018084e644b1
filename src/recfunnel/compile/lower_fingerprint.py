"""Telling whether stored parameters are still those a program was made from."""

import hashlib

import numpy as np

from recfunnel.compile.widths import Parameters
from recfunnel.core.graph import RankingGraph
from recfunnel.core.storage import content_hash

WHOLE_BYTES = 1 << 20
SAMPLED_ROWS = 4096


def fingerprint(graph: RankingGraph, parameters: Parameters) -> str:
    """16 hex digits that depend on a graph and its parameters.

    Arrays up to 1 MiB count whole; of larger ones 4,096 rows evenly apart do, so that tables of
    gigabytes are not read at every start. Training moves the small ones too.
    """
    digest = hashlib.blake2b(content_hash(graph).encode(), digest_size=8)
    for name in sorted(parameters):
        array = parameters[name]
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        if array.nbytes > WHOLE_BYTES:
            array = array[np.linspace(0, array.shape[0] - 1, SAMPLED_ROWS).astype(np.int64)]
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
