"""Tables of the engine's cascade, of how steady its calls are, and of the memory it takes."""

from collections.abc import Iterator

from recfunnel.bench.process_results import REASONS, Reason, Resident, Steadiness
from recfunnel.bench.results import (
    CASCADE,
    STAGES,
    BackendResult,
    EngineResult,
    GroupResult,
    our_name,
    ratio,
)
from recfunnel.bench.targets_cascade import best_stages
from recfunnel.report.formatting import MISSING, duration, percent, significant, size
from recfunnel.report.table import Cell, Column, Row, Table

OURS = our_name("compiled", "bfloat16")
TITLES: dict[Reason, str] = {
    "switched out": "switch",
    "page fault": "fault",
    "stolen": "steal",
    "unknown": "none",
}


def process_tables(result: EngineResult) -> Iterator[Table]:
    """Those of the three that were measured.

    Args:
        result: of a run.
    """
    yield from (_cascade_table(group) for group in result.groups if group.model == CASCADE)
    if result.steadiness:
        yield _steady_table(result.steadiness)
    if result.resident:
        yield _memory_table(result.resident)


def _cascade_table(group: GroupResult) -> Table:
    columns = (
        Column("back-end"),
        Column("query", "median time of both stages", True),
        Column("p99", "99th percentile of the calls", True),
        Column("stage 1", "scoring with the small model and choosing the best, alone", True),
        Column("stage 2", "scoring the best with the large model, alone", True),
        Column("ours x", "how many times faster ours is on records, in the same rounds", True),
        Column("error", "largest difference to float64 over the largest score", True),
    )
    whole = [b for b in group.backends if not b.name.endswith(STAGES)]
    rows = [_cascade_row(group, backend) for backend in whole]
    best = best_stages(group)
    if best is not None:
        rows.append(_row("best a stage", best, group, [MISSING] * len(STAGES)))
    return Table(
        "engine-cascade",
        f"RM_small, then RM_large on the best; {group.num_candidates:,} of {group.num_items:,} "
        "items, one core, one call",
        columns,
        tuple(rows),
        caption="" if best is None else f"Best a stage: {best.name}, times added round by round.",
    )


def _cascade_row(group: GroupResult, backend: BackendResult) -> Row:
    stages = [group.backend(backend.name + stage) for stage in STAGES]
    told = [MISSING if each is None else duration(each.timing.median_s) for each in stages]
    return _row(backend.name, backend, group, told)


def _row(name: str, backend: BackendResult, group: GroupResult, stages: list[str]) -> Row:
    ours = group.backend(OURS)
    factor = None if ours is None else ratio(ours, backend).median
    cells = (
        Cell(name),
        Cell(duration(backend.timing.median_s), backend.timing.median_s),
        Cell(duration(backend.timing.p99_s), backend.timing.p99_s),
        *map(Cell, stages),
        Cell(MISSING if factor is None else significant(factor), factor),
        Cell(f"{backend.error:.0e}", backend.error),
    )
    return Row(cells, "plain" if backend.way == "library" else "chosen")


def _steady_table(found: tuple[Steadiness, ...]) -> Table:
    columns = (
        Column("model"),
        Column("median", "of all calls", True),
        Column("p99", "of all calls", True, in_terminal=False),
        Column("p99/med", "the 99th percentile of all calls over their median", True),
        Column("kept", "as p99/med, of calls that kept the core", True, in_terminal=False),
        Column("no tick", "the same of further calls that no core's timer interrupted", True),
        Column("longest", "call", True),
        Column("slow", "calls longer than 1.5 medians", True),
        *(Column(TITLES[each], f"slow calls: {each}", True) for each in REASONS),
        Column("ticks", "of the system's timer that fell into calls", True),
        Column("allocs", "calls of operator new in native code, in all calls", True),
        Column("pages", "touched for the first time, in all calls", True),
    )
    first = found[0]
    return Table(
        "engine-steady",
        f"{first.num_calls:,} calls of {first.num_candidates} items, compiled, bf16, one core",
        columns,
        tuple(map(_steady_row, found)),
        caption="Kept: p99 of calls whose thread kept its core, over the median of all. No tick: "
        "p99 over the median of further calls during which no core's timer ticked. Slow: over 1.5 "
        "medians, by the first reason that holds: core given to another thread, page fault, "
        "time taken by the hypervisor within the same hundred calls, none of these. Ticks: of the "
        "system's timer, by its count and the calls' share of the time; where more than a "
        "hundredth of the calls meet one, they are what p99 shows. Allocs: by native code. "
        "Pages: touched for the first time.",
    )


def _steady_row(found: Steadiness) -> Row:
    counts = [found.slow.get(reason, 0) for reason in REASONS]
    made = found.allocations
    return Row(
        (
            Cell(found.model),
            Cell(duration(found.median_s), found.median_s),
            Cell(duration(found.p99_s), found.p99_s),
            _share(found.p99_s, found.median_s),
            _share(found.p99_kept_s, found.median_s),
            _quiet(found),
            Cell(duration(found.longest_s), found.longest_s),
            Cell(f"{sum(counts):,}", sum(counts)),
            *(Cell(f"{count:,}", count) for count in counts),
            Cell(MISSING if found.ticks is None else f"{found.ticks:,}", found.ticks),
            Cell(MISSING if made is None else f"{made:,}", made),
            Cell(f"{found.page_faults:,}", found.page_faults),
        )
    )


def _quiet(found: Steadiness) -> Cell:
    if found.quiet_p99_s is None or found.quiet_median_s is None:
        return Cell(MISSING)
    return _share(found.quiet_p99_s, found.quiet_median_s)


def _share(part: float, whole: float) -> Cell:
    return Cell(f"{part / whole:.2f}", part / whole)


def _memory_table(found: tuple[Resident, ...]) -> Table:
    columns = (
        Column("model"),
        Column("tables", "of the model", True),
        Column("records", "of the catalogue, bfloat16", True),
        Column("item ids", "of the catalogue", True),
        Column("resident", "of the process, less what it had after its imports", True),
        Column("more", "than tables, records and ids", True),
        Column("peak", "the most it had while records were made, less the same", True),
    )
    rows = (
        Row(
            (
                Cell(each.model),
                *(
                    Cell(size(number), number)
                    for number in (
                        each.table_bytes,
                        each.record_bytes,
                        each.feature_bytes,
                        each.resident_bytes,
                    )
                ),
                Cell(percent(each.ratio - 1), each.ratio - 1),
                Cell(size(each.peak_bytes), each.peak_bytes),
            )
        )
        for each in found
    )
    return Table(
        "engine-memory", "Memory of a process that serves, after 100 calls", columns, tuple(rows)
    )
