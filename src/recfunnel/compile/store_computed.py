"""Computed tables become stored ones: trained computed, served looked up.

Every row is computed once, when the model is compiled; a query then reads it. Scores stay the same
to the last bit, and whatever can be done with a stored table (folding, records of a catalogue,
storage in fewer bits) can be done with these.
"""

import msgspec

from recfunnel.compile.budget import NO_LIMIT, Budget
from recfunnel.compile.computed import (
    RowMaker,
    computed_rows,
    row_flops,
    stored_bytes,
    stored_table,
)
from recfunnel.compile.rewrite import Model, tidy
from recfunnel.compile.widths import Parameters
from recfunnel.core.computed import AnyComputed
from recfunnel.core.errors import ModelError
from recfunnel.core.graph import RankingGraph, parameters_of


def store_computed(
    graph: RankingGraph,
    parameters: Parameters,
    *,
    budget: Budget,
    largest_bytes: int = NO_LIMIT,
    make_rows: RowMaker = computed_rows,
) -> Model:
    """Store whole what computed tables there is room for.

    Those that save most arithmetic a byte come first, so that as much of it as possible goes.

    Args:
        graph: any.
        parameters: by name.
        budget: what new tables may cost.
        largest_bytes: tables that would be larger stay computed.
        make_rows: who computes rows; a runtime that also computes some while it serves gives its
            own function, so that both agree to the last bit.

    Returns:
        An equal graph and its parameters; a stored table has the name of the computed one.
    """
    graph, parameters = tidy(graph, parameters)
    for table in sorted(graph.computed, key=lambda t: _worth(t, parameters), reverse=True):
        made = stored_bytes(table, parameters)
        if made <= largest_bytes and budget.take(made, _freed_bytes(graph, parameters, table)):
            rows = stored_table(table, parameters, make_rows=make_rows)
            kept = tuple(other for other in graph.computed if other != table)
            graph = msgspec.structs.replace(graph, computed=kept)
            graph, parameters = tidy(graph, {**parameters, table.name: rows})
    return graph, parameters


def _worth(table: AnyComputed, parameters: Parameters) -> float:
    """Arithmetic saved a byte, in each lookup."""
    return row_flops(table, parameters) / stored_bytes(table, parameters)


def _freed_bytes(graph: RankingGraph, parameters: Parameters, table: AnyComputed) -> int:
    """Bytes of parameters that nobody would read without a computed table."""
    others = [other for other in graph.computed if other != table]
    read = {name for op in graph.nodes for name in parameters_of(op)}
    read |= {name for other in others for name in other.parameter_names}
    return sum(parameters[name].nbytes for name in set(table.parameter_names) - read)


def refuse_computed(graph: RankingGraph, runtime: str) -> None:
    """Say that a runtime looks up stored tables alone.

    Raises:
        ModelError: the graph has a computed table.
    """
    if graph.computed:
        names = ", ".join(repr(table.name) for table in graph.computed)
        raise ModelError(
            f"{runtime} looks up stored tables, but {names} would be computed; "
            "give compiling enough max_growth_bytes and max_made_bytes to store them whole, or use "
            "the runtime 'torch'"
        )
