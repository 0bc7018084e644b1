"""A stored model as the work of a stage: what its graph computes for each candidate.

The accelerator does nothing once a query: as in RecPipe, a candidate brings all its ids, and all
layers are done for it. Maps of two sides that are only added are one product, as they were before
the model was split.
"""

import math
from collections.abc import Mapping

from recfunnel.core.errors import StudyError
from recfunnel.core.graph import (
    CrossDots,
    Dense,
    Linear,
    Lookup,
    PairDots,
    Pool,
    RankingGraph,
    Sum,
)
from recfunnel.hardware.accel.work import StageWork
from recfunnel.hardware.systolic.network import DotInteraction, Layer, NetworkShape

Shapes = Mapping[str, tuple[int, ...]]
"""Of parameters, by name."""


def graph_work(
    name: str, graph: RankingGraph, shapes: Shapes, num_out: int, *, word_bytes: int = 2
) -> StageWork:
    """What a stage of this model asks of the accelerator.

    Args:
        name: of the model, for errors.
        graph: the model.
        shapes: of its parameters.
        num_out: candidates wanted.
        word_bytes: of a number in a table.

    Returns:
        Its work; operations without weights, such as products column by column, are free.

    Raises:
        StudyError: it does something the accelerator has no unit for, looks nothing up, or has no
            layer.
    """
    unable = sorted({_kind(op) for op in graph.nodes if _kind(op) not in _ABLE})
    if unable or graph.computed:
        raise StudyError(
            f"{name!r} has {', '.join(unable) or 'computed tables'}, which the accelerator has no "
            "unit for; leave the model out"
        )
    lookups = [op for op in graph.nodes if isinstance(op, Lookup | Pool)]
    layers = _layers(graph, shapes)
    if not lookups or not layers:
        raise StudyError(
            f"{name!r} has {len(lookups)} lookups and {len(layers)} layers; the accelerator is for "
            "models that have both, leave it out"
        )
    widest = max(_width(shapes[op.table]) for op in lookups)
    return StageWork(
        shape=NetworkShape(layers=layers, interaction=_dots(graph, shapes)),
        num_tables=len(lookups),
        vector_bytes=widest * word_bytes,
        num_out=num_out,
        num_dense=sum(len(op.columns) for op in graph.nodes if isinstance(op, Dense)),
    )


def rows_once(graph: RankingGraph) -> int:
    """Tables whose row is the same for all candidates of a query."""
    return sum(isinstance(op, Lookup | Pool) and op.side == "context" for op in graph.nodes)


_ABLE = frozenset(
    [
        *("lookup", "pool", "dense", "affine", "linear", "relu", "sum", "multiply"),
        *("concat", "slice", "pair_dots", "cross_dots"),
    ]
)


def _kind(op: object) -> str:
    return str(getattr(op, "__struct_config__").tag)  # noqa: B009, not declared for type checkers


def _layers(graph: RankingGraph, shapes: Shapes) -> tuple[Layer, ...]:
    """In the order they are run; maps that are only added to each other are one."""
    joined: dict[int, int] = {}
    for position, op in enumerate(graph.nodes):
        if isinstance(op, Sum) and all(isinstance(graph.nodes[i], Linear) for i in op.terms_of):
            joined |= dict.fromkeys(op.terms_of, position)
    sizes: dict[int, tuple[int, int]] = {}
    for position, op in enumerate(graph.nodes):
        if isinstance(op, Linear):
            shape = shapes[op.weight]
            outputs, inputs = shape if len(shape) == 2 else (1, shape[0])
            place = joined.get(position, position)
            sizes[place] = (sizes.get(place, (0, 0))[0] + inputs, outputs)
    return tuple(Layer(num_inputs=k, num_outputs=n) for _, (k, n) in sorted(sizes.items()))


def _dots(graph: RankingGraph, shapes: Shapes) -> DotInteraction | None:
    """All dots together, as those of every two of F vectors; F is rounded up."""
    widths = _widths(graph, shapes)
    num_dots, width = 0, 1
    for op in graph.nodes:
        if isinstance(op, PairDots):
            vectors = widths[op.x_of] // op.dim
            num_dots += vectors * (vectors - 1) // 2
        elif isinstance(op, CrossDots):
            num_dots += (widths[op.x_of] // op.dim) * (widths[op.y_of] // op.dim)
        else:
            continue
        width = max(width, op.dim)
    if not num_dots:
        return None
    num_vectors = math.ceil((1 + math.sqrt(1 + 8 * num_dots)) / 2)
    return DotInteraction(num_vectors=num_vectors, width=width)


def _widths(graph: RankingGraph, shapes: Shapes) -> list[int]:
    """Of each node's value; 0 where only the end of a graph has them, which nothing here reads."""
    widths: list[int] = []
    for op in graph.nodes:
        match op:
            case Lookup() | Pool():
                widths.append(_width(shapes[op.table]))
            case Dense():
                widths.append(len(op.columns))
            case Linear():
                shape = shapes[op.weight]
                widths.append(shape[0] if len(shape) == 2 else 1)
            case PairDots():
                count = widths[op.x_of] // op.dim
                widths.append(count * (count - 1) // 2)
            case CrossDots():
                widths.append((widths[op.x_of] // op.dim) * (widths[op.y_of] // op.dim))
            case _:
                widths.append(_width_above(op, widths))
    return widths


def _width_above(op: object, widths: list[int]) -> int:
    """Of an operation that keeps, joins or cuts what it reads."""
    if hasattr(op, "parts_of"):
        return sum(widths[i] for i in op.parts_of)
    if hasattr(op, "stop"):
        return int(op.stop) - int(getattr(op, "start"))  # noqa: B009, see `_kind`
    read = op.terms_of[0] if hasattr(op, "terms_of") else getattr(op, "x_of")  # noqa: B009
    return widths[int(read)]


def _width(shape: tuple[int, ...]) -> int:
    return shape[1] if len(shape) == 2 else 1
