"""The engine's figures as tables: back-ends beside each other, and target against measured."""

import math
from collections.abc import Sequence

from recfunnel.bench.results import CASCADE, BackendResult, EngineResult, GroupResult, ratio
from recfunnel.bench.targets import USUAL, verdicts
from recfunnel.bench.verdict import Verdict
from recfunnel.report.engine_process_tables import process_tables
from recfunnel.report.formatting import MISSING, duration, percent, significant
from recfunnel.report.table import Cell, Column, Row, Table

QUICK_NOTE = "A quick look: small tables and catalogues, not the sizes the targets are for."

LONGEST_NAME = 20
"""Of what a figure is against, for a row to fit a line; the cascade's own table names a pair."""


def engine_tables(result: EngineResult) -> tuple[Table, ...]:
    """A table for each model and setting, then the targets."""
    groups = [group for group in result.groups if group.model != CASCADE]
    keys = dict.fromkeys(_key(group) for group in groups)
    tables = [_backends_table([group for group in groups if _key(group) == key]) for key in keys]
    return (*tables, *process_tables(result), verdicts_table(result))


def missing_lines(result: EngineResult) -> tuple[str, ...]:
    """What was left out, and why, in words."""
    return tuple(f"not measured: {left.name} ({left.why})" for left in result.missing)


def machine_line(result: EngineResult) -> str:
    """Where it was measured, in words."""
    machine = result.machine
    libraries = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    return (
        f"{machine.processor}, one core: {machine.compute_flops_per_s / 1e9:.0f} GFLOP/s in "
        f"float32, {machine.bandwidth_bytes_per_s / 1e9:.0f} GB/s; {result.num_rows:,} rows; "
        f"{libraries}"
    )


def noise_line(result: EngineResult) -> str:
    """How much else went on, in words; empty when it was little."""
    foreign = max((group.foreign_share for group in result.groups), default=0.0)
    stolen = max((group.steal_share for group in result.groups), default=0.0)
    if max(foreign, stolen) < 0.05:
        return ""
    return (
        f"Up to {percent(foreign)} of the machine was used by other programs and {percent(stolen)} "
        "kept by its hypervisor while this was measured: trust ratios before times."
    )


def verdicts_table(result: EngineResult) -> Table:
    """Every cell of the target table."""
    columns = (
        Column("model"),
        Column("what"),
        Column("target", "", True),
        Column("measured", "median of the rounds", True),
        Column("rounds", "least and most of them", True),
        Column("", "whether the target was reached"),
        Column("against"),
    )
    found = verdicts(result)
    measured = [verdict for verdict in found if verdict.measured is not None]
    left = len(found) - len(measured)
    note = [QUICK_NOTE] if result.quick else []
    note += [f"{left} more were not measured in this run."] if left else []
    rows = tuple(map(_verdict_row, measured))
    return Table("targets", "Targets of the engine", columns, rows, caption=" ".join(note))


def _key(group: GroupResult) -> tuple[str, str, int, int, bool]:
    scan = group.num_candidates == group.num_items
    return group.model, group.setting, group.num_items, group.num_threads, scan


def _backends_table(groups: Sequence[GroupResult]) -> Table:
    first = groups[0]
    usual = next((g for g in groups if g.num_candidates == USUAL), groups[-1])
    names = dict.fromkeys(backend.name for group in groups for backend in group.backends)
    columns = (
        Column("back-end"),
        *(
            Column(f"{group.num_candidates:,}", "median time of a call, by candidates", True)
            for group in groups
        ),
        Column("p99", "99th percentile of the calls", True),
        Column("M/s", "millions of items a second", True),
        Column("x best", "times faster than the best library, any precision", True),
        Column("roof", "least possible time by the machine's peaks over the median", True),
        Column("error", "largest difference to float64 over the largest score", True),
    )
    words = {"plain": "every feature the candidate's own", "catalogue": "one context a query"}
    what = words[first.setting] + (f", {first.num_items:,} items" if first.num_items else "")
    if first.num_candidates == first.num_items:
        what = f"the best of all {first.num_items:,} items"
    what += f", {first.num_threads} cores" if first.num_threads > 1 else ""
    return Table(
        f"engine-{first.model}-{first.setting}-{first.num_items}-{first.num_threads}",
        f"{first.model}: {what}; time of a call",
        columns,
        tuple(_backend_row(name, groups, usual) for name in names),
        caption=f"From p99 on: at {usual.num_candidates:,} candidates.",
    )


def _backend_row(name: str, groups: Sequence[GroupResult], usual: GroupResult) -> Row:
    times = [group.backend(name) for group in groups]
    found = usual.backend(name)
    library = usual.fastest_library()
    cells = [Cell(name), *(_time(each) for each in times)]
    if found is None:
        return Row((*cells, *[Cell(MISSING, math.nan)] * 5))
    factor = None if library is None else ratio(found, library).median
    cells += [
        Cell(duration(found.timing.p99_s), found.timing.p99_s),
        Cell(f"{significant(usual.items_per_s(found) / 1e6)}", usual.items_per_s(found)),
        Cell(MISSING if factor is None else significant(factor), factor),
        Cell(percent(found.roof_share), found.roof_share),
        Cell(f"{found.error:.0e}", found.error),
    ]
    return Row(tuple(cells), "plain" if found.way == "library" else "chosen")


def _time(found: BackendResult | None) -> Cell:
    if found is None:
        return Cell(MISSING, math.nan)
    return Cell(duration(found.timing.median_s), found.timing.median_s)


def _verdict_row(verdict: Verdict) -> Row:
    assert verdict.measured is not None
    sign = "≤" if verdict.at_most else "≥"
    ends: tuple[float, ...] = () if verdict.spread is None else verdict.spread
    rounds = " to ".join(_number(verdict, end).split()[0].rstrip("x") for end in ends)
    met = Cell("met", 1, "good") if verdict.met else Cell("missed", 0, "bad")
    return Row(
        (
            Cell(verdict.model),
            Cell(verdict.what),
            Cell(f"{sign} {_number(verdict, verdict.target)}", verdict.target),
            Cell(_number(verdict, verdict.measured), verdict.measured),
            Cell(rounds),
            met,
            Cell(verdict.beside if len(verdict.beside) <= LONGEST_NAME else "in its table"),
        )
    )


def _number(verdict: Verdict, value: float) -> str:
    if verdict.unit == "s":
        return duration(value)
    if verdict.unit == "items/s":
        return f"{significant(value / 1e6)} M/s"
    if verdict.unit == "times":
        return f"{value:,.0f}"
    return f"{significant(value)}x" if verdict.unit == "x" else f"{value:.0e}"
