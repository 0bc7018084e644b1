"""All passes in order: from a trained model's graph to the form a query is answered with."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches

import msgspec

from recfunnel.compile.bind_query import bind_query
from recfunnel.compile.budget import NO_LIMIT, Budget
from recfunnel.compile.catalogue import CatalogueSplit, split_catalogue
from recfunnel.compile.computed import RowMaker, computed_rows
from recfunnel.compile.fold import fold
from recfunnel.compile.hoist import hoist
from recfunnel.compile.join import join
from recfunnel.compile.materialise import materialise
from recfunnel.compile.precision import Precisions, choose_precisions
from recfunnel.compile.program import Precision, Storage
from recfunnel.compile.rewrite import Model
from recfunnel.compile.simplify import simplify
from recfunnel.compile.widths import Parameters
from recfunnel.compile.work import NUMBER_BYTES, Work, graph_work
from recfunnel.core.errors import InvalidInput
from recfunnel.core.graph import RankingGraph
from recfunnel.core.spec import Value

PASSES = (
    *("simplify", "materialise", "hoist", "bind_query", "fold", "join"),
    *("catalogue", "precision"),
)
"""In the order they run."""


class CompileOptions(Value, frozen=True):
    """What compiling may do.

    Args:
        without: passes to leave out, of `PASSES`; others still simplify what they touch.
        num_candidates: B, how many a query usually has; it decides between dots and matrices.
        max_growth_bytes: by which all parameters may grow in `materialise`, `fold` and `join`.
        max_made_bytes: of tables that `materialise`, `fold` and `join` make: memory of each process
            that compiles the model, where tables as trained are shared.
        largest_computed_bytes: a computed table that would be larger than this with all its rows
            stored stays computed; 0 keeps all of them so. What a hot store of rows is for.
        layers: precision of long layers.
        tables: storage of tables.
    """

    without: tuple[str, ...] = ()
    num_candidates: int = 512
    max_growth_bytes: int = 256 * 2**20
    max_made_bytes: int = 2**30
    largest_computed_bytes: int = NO_LIMIT
    layers: Precision = "float32"
    tables: Storage = "float32"

    def __post_init__(self) -> None:
        for name in self.without:
            if name not in PASSES:
                close = get_close_matches(name, PASSES, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(PASSES)}"
                raise InvalidInput(f"no pass {name!r}; {hint}")
        if self.num_candidates < 1:
            raise InvalidInput(f"num_candidates is {self.num_candidates}, must be at least 1")
        for name in ("max_growth_bytes", "max_made_bytes", "largest_computed_bytes"):
            if getattr(self, name) < 0:
                raise InvalidInput(f"{name} is {getattr(self, name)}, must not be below 0")


class PassReport(Value, frozen=True):
    """What one pass did.

    Args:
        name: of `PASSES`.
        nodes: how many nodes of each operation there are more (or fewer) than before.
        before: work of the graph it was given.
        after: work of the graph it made.
        record_bytes: of one item's stored record, in float32; 0 without a compiled catalogue.
        lower_layers: layers kept in fewer bits than float32.
        lower_tables: tables kept in fewer bits than float32.
        too_wide: layers kept in bfloat16 because they have too many inputs for int8.
    """

    name: str
    nodes: dict[str, int]
    before: Work
    after: Work
    record_bytes: int = 0
    lower_layers: int = 0
    lower_tables: int = 0
    too_wide: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Compiled:
    """A compiled model.

    Args:
        graph: the whole model, from the features of both sides.
        parameters: what it reads.
        split: the model cut into item records and what is left for a pair; None without the pass.
        precisions: of the layers and tables of `pair_graph`.
        reports: what each pass did, in order.
    """

    graph: RankingGraph
    parameters: Parameters
    split: CatalogueSplit | None
    precisions: Precisions
    reports: tuple[PassReport, ...]

    @property
    def pair_graph(self) -> RankingGraph:
        """What a query is answered with: of the records where there are any."""
        return self.graph if self.split is None else self.split.pairs

    @property
    def pair_parameters(self) -> Parameters:
        """What `pair_graph` reads."""
        return self.parameters if self.split is None else self.split.pair_parameters


def compile_graph(
    graph: RankingGraph,
    parameters: Parameters,
    options: CompileOptions | None = None,
    *,
    make_rows: RowMaker = computed_rows,
) -> Compiled:
    """Run the passes.

    Args:
        graph: of a trained model.
        parameters: by name; those that no pass changes are kept as they are, not copied.
        options: what may be done; by default everything, in float32.
        make_rows: who computes the rows of computed tables that are stored.

    Returns:
        A compiled model with the same scores.
    """
    chosen = options or CompileOptions()
    budget = Budget(chosen.max_growth_bytes, chosen.max_made_bytes)
    passes: dict[str, Callable[[Model], Model]] = {
        "simplify": lambda model: simplify(*model),
        "materialise": lambda model: materialise(
            *model,
            budget=budget,
            largest_computed_bytes=chosen.largest_computed_bytes,
            make_rows=make_rows,
        ),
        "hoist": lambda model: hoist(*model),
        "bind_query": lambda model: bind_query(*model, num_candidates=chosen.num_candidates),
        "fold": lambda model: fold(*model, budget=budget),
        "join": lambda model: join(*model, budget=budget),
    }
    model, reports = (graph, parameters), []
    for name, run in passes.items():
        if name not in chosen.without:
            after = run(model)
            reports.append(_report(name, model, after))
            model = after
    compiled = Compiled(*model, None, Precisions(), tuple(reports))
    if "catalogue" not in chosen.without:
        compiled = _with_catalogue(compiled)
    return compiled if "precision" in chosen.without else _with_precisions(compiled, chosen)


def _report(name: str, before: Model, after: Model) -> PassReport:
    nodes = _count_nodes(after[0])
    nodes.subtract(_count_nodes(before[0]))
    return PassReport(
        name=name,
        nodes={op: count for op, count in sorted(nodes.items()) if count},
        before=graph_work(*before),
        after=graph_work(*after),
    )


def _count_nodes(graph: RankingGraph) -> Counter[str]:
    return Counter(str(op.__struct_config__.tag) for op in graph.nodes)


def _with_catalogue(compiled: Compiled) -> Compiled:
    split = split_catalogue(compiled.graph, compiled.parameters)
    whole = compiled.graph, compiled.parameters
    report = msgspec.structs.replace(
        _report("catalogue", whole, (split.pairs, split.pair_parameters)),
        record_bytes=NUMBER_BYTES * split.width,
    )
    return replace(compiled, split=split, reports=(*compiled.reports, report))


def _with_precisions(compiled: Compiled, options: CompileOptions) -> Compiled:
    model = compiled.pair_graph, compiled.pair_parameters
    precisions = choose_precisions(*model, layers=options.layers, tables=options.tables)
    report = msgspec.structs.replace(
        _report("precision", model, model),
        lower_layers=len(precisions.layers),
        lower_tables=len(precisions.tables),
        too_wide=len(precisions.too_wide),
    )
    return replace(compiled, precisions=precisions, reports=(*compiled.reports, report))
