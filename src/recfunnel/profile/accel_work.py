"""What a stored model asks of an accelerator for each candidate.

Letters: V, U vectors of d numbers. What depends on the context alone is the same for all candidates
of a query; the host does it once, and it is left out.
"""

import math
from collections.abc import Sequence

from recfunnel.compile.widths import Parameters, node_widths
from recfunnel.core.errors import StudyError
from recfunnel.core.graph import (
    AnyOp,
    CrossDots,
    CrossLinear,
    Dense,
    Linear,
    Lookup,
    PairDots,
    Pool,
    RankingGraph,
    RowSum,
    ScaledLinear,
)
from recfunnel.hardware.accel.work import StageWork
from recfunnel.hardware.systolic.network import DotInteraction, Layer, NetworkShape

WORD_BYTES = 4
"""Of a number of a table."""


def work_of_graph(graph: RankingGraph, parameters: Parameters, num_out: int) -> StageWork:
    """A stage that runs a model as it is stored.

    Layers of the candidates' and the pairs' side are products, in the order of the graph; sums,
    ReLU and affine steps cost nothing. All dots together are those of the least number of vectors
    that has as many pairs. Vectors of different tables count as long as the longest.

    Args:
        graph: the model; before any pass that folds or compiles it.
        parameters: its arrays by name.
        num_out: candidates that the stage keeps.

    Returns:
        Its work.

    Raises:
        StudyError: no layer for candidates, lists of ids, computed tables, dots of different
            lengths, or operations of a compiled form: the accelerator's model has none of these.
        ModelError: parameters that do not fit the graph.
    """
    widths = node_widths(graph, parameters)
    mine = [
        (op, width)
        for op, width, side in zip(graph.nodes, widths, graph.sides(), strict=True)
        if side != "context"
    ]
    _refuse_others(graph, [op for op, _ in mine])
    layers = tuple(
        Layer(num_inputs=widths[op.x_of], num_outputs=width)
        for op, width in mine
        if isinstance(op, Linear)
    )
    if not layers:
        raise StudyError("the model has no layer that works on candidates; an array has no work")
    tables = [width for op, width in mine if isinstance(op, Lookup)]
    return StageWork(
        shape=NetworkShape(layers=layers, interaction=_dots(mine)),
        num_tables=len(tables),
        vector_bytes=WORD_BYTES * max(tables, default=1),
        num_out=num_out,
        num_dense=sum(width for op, width in mine if isinstance(op, Dense)),
    )


def _dots(mine: Sequence[tuple[AnyOp, int]]) -> DotInteraction | None:
    dots = [(op.dim, width) for op, width in mine if isinstance(op, PairDots | CrossDots)]
    if len({dim for dim, _ in dots}) > 1:
        raise StudyError(
            f"dots of vectors {sorted({dim for dim, _ in dots})} long; the lanes take one length"
        )
    num_pairs = sum(width for _, width in dots)
    if not num_pairs:
        return None
    # the least F with F (F - 1) / 2 pairs or more
    num_vectors = math.isqrt(8 * num_pairs - 7) // 2 + 1
    num_vectors += num_vectors * (num_vectors - 1) // 2 < num_pairs
    return DotInteraction(num_vectors=num_vectors, width=dots[0][0])


def _refuse_others(graph: RankingGraph, mine: Sequence[AnyOp]) -> None:
    if graph.computed:
        raise StudyError(
            f"table {graph.computed[0].name!r} is computed; the accelerator reads stored ones"
        )
    for op in mine:
        if isinstance(op, Pool | RowSum):
            raise StudyError("candidates bring lists of ids; the accelerator reads a row a table")
        if isinstance(op, CrossLinear | ScaledLinear):
            raise StudyError("the graph is compiled; give the one that the model was stored with")
