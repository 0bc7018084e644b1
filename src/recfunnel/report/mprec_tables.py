"""MP-Rec's tables beside ours: published and ours, measured and modelled, each labelled."""

import math
from collections.abc import Iterator, Sequence

from recfunnel.report.formatting import MISSING, duration, percent, significant
from recfunnel.report.mprec import (
    CallRow,
    MeasuredQuality,
    MPRecReproduction,
    PolicyRow,
    Published,
    RatioRow,
    SensitivityRow,
    SimulatedServing,
    SizeRow,
    SweepPoint,
)
from recfunnel.report.table import Cell, Column, Row, Table, Tone


def mprec_tables(result: MPRecReproduction) -> tuple[Table, ...]:
    """Every table, the headline ratios first; those without rows are left out."""
    tables = (
        ratios_table(result.ratios),
        *design_point_tables(result.policies),
        *sweep_tables(result.sweeps),
        sizes_table(result.sizes),
        quality_table(result),
        *measured_tables(result.measured_quality),
        *call_tables(result.calls),
        sensitivity_table(result.sensitivity),
        assumptions_table(result),
    )
    return tuple(table for table in tables if table.rows)


def ratios_table(rows: Sequence[RatioRow]) -> Table:
    """The headline figures."""
    columns = (
        Column("where"),
        Column("data"),
        Column("ratio", "what is divided by what"),
        Column("published", "", True),
        Column("known", "how the published figure is known"),
        Column("ours", "modelled, with the assumptions", True),
        Column("bound", "modelled, by rooflines and one launch a call alone", True),
    )
    short = {"correct": "TCP", "time": "slowdown"}
    return Table(
        "mprec-ratios",
        "Ratios over the table on the CPU (ours modelled)",
        columns,
        tuple(
            Row(
                (
                    Cell(row.name),
                    Cell(row.network),
                    Cell(short[row.what.split()[0]]),
                    _times(row.published.value),
                    Cell(row.published.known),
                    _times(row.expected),
                    _times(row.bound),
                )
            )
            for row in rows
        ),
        caption="TCP: throughput of correct predictions, without a deadline. slowdown: time of one "
        "call of 128 candidates, both on the CPU.",
    )


def design_point_tables(rows: Sequence[PolicyRow]) -> Iterator[Table]:
    """One for each design point and data set."""
    for name, network in dict.fromkeys((row.design_point, row.network) for row in rows):
        own = [row for row in rows if (row.design_point, row.network) == (name, network)]
        yield _design_point_table(name, network, own)


def _design_point_table(name: str, network: str, rows: Sequence[PolicyRow]) -> Table:
    rates = {row.simulated.rate_qps for row in rows if row.simulated is not None}
    columns = (
        Column("policy"),
        Column("paths", "", True),
        Column("memory", "of both platforms", True),
        Column("carries", "queries a second within deadline and utilisation", True),
        Column("accuracy", "there, the paper's", True),
        Column("TCP", "there, over the table on the CPU of HW-1", True),
        Column("delivered", "mean accuracy of all queries, 0 where late", True),
        Column("late", "share of queries late or never answered", True),
        Column("TCP/s", "correct predictions a second, late ones too", True),
    )
    caption = "carries, accuracy, TCP: best routing on modelled times, 10 ms."
    caption += "".join(f" {row.policy}: {row.why_not}" for row in rows if row.why_not)
    if rates:
        loads = ", ".join(significant(rate, 4) for rate in sorted(rates))
        caption += f" delivered, late, TCP/s: simulated at {loads} queries/s."
    return Table(
        f"mprec-{name}-{network}".lower(),
        f"{name}, {network} (modelled times)",
        columns,
        tuple(_policy_row(row) for row in rows),
        caption=caption,
    )


def _policy_row(row: PolicyRow) -> Row:
    capacity = row.capacity_qps
    cells = (
        Cell(row.policy),
        Cell(str(len(row.paths)), len(row.paths)),
        Cell(_megabytes(row.memory_bytes), row.memory_bytes),
        Cell(_carried(row), capacity),
        Cell(f"{row.quality_at_capacity:.4f}" if capacity else MISSING, row.quality_at_capacity),
        Cell(MISSING, math.nan) if row.tcp_ratio is None else _times(row.tcp_ratio),
        *_simulated(row.simulated),
    )
    return Row(cells, "chosen" if row.policy.startswith("exact") else "plain")


def _carried(row: PolicyRow) -> str:
    if row.capacity_qps:
        return significant(row.capacity_qps)
    return "too slow" if row.paths else "nothing"


def _simulated(found: SimulatedServing | None) -> tuple[Cell, ...]:
    if found is None:
        return (Cell(MISSING, math.nan),) * 3
    return (
        Cell(f"{found.delivered_quality:.4f}", found.delivered_quality),
        Cell(percent(found.violation_rate, 1), found.violation_rate),
        Cell(f"{found.tcp_per_s / 1e3:,.0f} k", found.tcp_per_s),
    )


def sweep_tables(points: Sequence[SweepPoint]) -> Iterator[Table]:
    """One for each axis, design point and data set: policies against values."""
    for axis, name, network in dict.fromkeys((p.axis, p.design_point, p.network) for p in points):
        own = [p for p in points if (p.axis, p.design_point, p.network) == (axis, name, network)]
        yield _sweep_table(axis, name, network, own)


def _sweep_table(axis: str, name: str, network: str, points: Sequence[SweepPoint]) -> Table:
    values = sorted({point.at for point in points})
    found = {(point.policy, point.at): point for point in points}
    policies = dict.fromkeys(point.policy for point in points)
    best = {at: max(p.delivered_quality for p in points if p.at == at) for at in values}
    rows = []
    for policy in policies:
        cells = [Cell(policy)]
        for at in values:
            point = found.get((policy, at))
            quality = None if point is None else point.delivered_quality
            text = MISSING if quality is None else f"{quality:.4f}"
            tone: Tone = "good" if quality is not None and quality >= best[at] - 5e-5 else "plain"
            cells.append(Cell(text, math.nan if quality is None else quality, tone))
        rows.append(Row(tuple(cells)))
    columns = (Column("policy"), *(Column(axis_value(axis, at), "", True) for at in values))
    title = {"query size": "mean candidates a query", "target": "target", "load": "queries/s"}[axis]
    return Table(
        f"mprec-{axis}-{name}-{network}".lower().replace(" ", "-"),
        f"{name}, {network}: delivered accuracy over {title} (simulated on modelled times)",
        columns,
        tuple(rows),
        caption="Mean accuracy over all queries, late ones counting 0.",
    )


def axis_value(axis: str, at: float) -> str:
    """A value of a sweep as people read it."""
    return duration(at) if axis == "target" else significant(at, 3)


def sizes_table(rows: Sequence[SizeRow]) -> Table:
    """Memory and arithmetic."""
    columns = (
        Column("data"),
        Column("representation"),
        Column("published", "", True),
        Column("known"),
        Column("ours", "parameters, float32, exact", True),
        Column("difference", "", True),
        Column("MFLOP", "a candidate, exact", True),
        Column("over table", "FLOPs", True),
    )
    return Table(
        "mprec-sizes",
        "Memory and arithmetic (exact)",
        columns,
        tuple(
            Row(
                (
                    Cell(row.network),
                    Cell(row.representation),
                    *_published_size(row.published_bytes),
                    Cell(_megabytes(row.parameter_bytes), row.parameter_bytes),
                    _relative(row.parameter_bytes, row.published_bytes),
                    Cell(significant(row.flops_per_item / 1e6), row.flops_per_item),
                    _times(row.over_table),
                )
            )
            for row in rows
        ),
        caption="k2048-512-256 stacks and concatenated vectors, as reproduces the paper's 126 MB.",
    )


def _published_size(found: Published | None) -> tuple[Cell, Cell]:
    if found is None:
        return Cell(MISSING, math.nan), Cell("")
    return Cell(_megabytes(found.value), found.value), Cell(found.known)


def _relative(value: float, published: Published | None) -> Cell:
    if published is None:
        return Cell(MISSING, math.nan)
    off = value / published.value - 1
    return Cell(f"{100 * off:+.1f} %".replace("-", "\N{MINUS SIGN}"), off)


def quality_table(result: MPRecReproduction) -> Table:
    """The paper's accuracies, and how little of them is above the trivial predictor."""
    columns = (
        Column("data"),
        Column("representation"),
        Column("accuracy", "at the threshold 0.5", True),
        Column("known"),
        Column("above trivial", "accuracy less that of always saying no click", True),
    )
    rows = tuple(
        Row(
            (
                Cell(row.network),
                Cell(row.representation),
                Cell(percent(row.accuracy.value, 2), row.accuracy.value),
                Cell(row.accuracy.known),
                Cell(f"{100 * row.above_trivial:.2f} points", row.above_trivial),
            )
        )
        for row in result.quality
    )
    return Table("mprec-quality", "Accuracy, published", columns, rows)


def measured_tables(rows: Sequence[MeasuredQuality]) -> Iterator[Table]:
    """Our own study, one table a world."""
    for world in dict.fromkeys(row.world for row in rows):
        own = [row for row in rows if row.world == world]
        metrics = list(own[0].means)
        columns = (
            Column("representation"),
            *(Column(metric, "mean over seeds", True) for metric in metrics),
            Column("over table", f"difference of {own[0].metric}, paired, 95 %", True),
            Column("memory", "resident", True),
            Column("kFLOP", "a candidate", True),
        )
        cells = tuple(Row(_measured_cells(row, metrics)) for row in own)
        title = f"Quality measured here: {world}"
        yield Table(f"mprec-measured-{world}", title, columns, cells)


def _measured_cells(row: MeasuredQuality, metrics: Sequence[str]) -> tuple[Cell, ...]:
    against = MISSING
    if row.difference is not None and row.interval is not None:
        low, high = row.interval
        against = f"{row.difference:+.4f} [{low:+.4f}, {high:+.4f}]".replace("-", "\N{MINUS SIGN}")
    return (
        Cell(row.variant),
        *(Cell(f"{row.means[m]:.4f}", row.means[m]) for m in metrics),
        Cell(against, math.nan if row.difference is None else row.difference),
        Cell(_megabytes(row.parameter_bytes), row.parameter_bytes),
        Cell(significant(row.flops_per_item / 1e3), row.flops_per_item),
    )


def call_tables(rows: Sequence[CallRow]) -> Iterator[Table]:
    """Time of a call, one table a data set: platforms against representations."""
    for network in dict.fromkeys(row.network for row in rows):
        own = [row for row in rows if row.network == network]
        names = dict.fromkeys(row.representation for row in own)
        found = {(row.platform, row.representation): row for row in own}
        columns = (
            Column("platform"),
            *(Column(name, "with the assumptions (by the roofline alone)", True) for name in names),
        )
        lines = tuple(
            Row((Cell(platform), *(_call_cell(found[platform, name]) for name in names)))
            for platform in dict.fromkeys(row.platform for row in own)
        )
        yield Table(
            f"mprec-calls-{network}".lower(),
            f"{network}: one call of {own[0].num_items} candidates (modelled)",
            columns,
            lines,
            caption="In brackets the least time by the roofline, made of l: launch, c: compute, "
            "m: memory, o: on-chip memory. 4x: so many chips hold the model together.",
        )


def _call_cell(row: CallRow) -> Cell:
    chips = f"{row.num_chips}x " if row.num_chips > 1 else ""
    room = "" if row.fits else " too large"
    text = f"{chips}{duration(row.expected_s)} ({duration(row.bound_s)} {row.bound_by[0]}){room}"
    return Cell(text, row.expected_s)


def sensitivity_table(rows: Sequence[SensitivityRow]) -> Table:
    """What each assumption does to each ratio, alone."""
    columns = (
        Column("ratio"),
        Column("assumption"),
        Column("low", "value, and the ratio there", True),
        Column("assumed", "", True),
        Column("high", "", True),
        Column("explains", "the value at which ours is the published ratio", True),
    )
    return Table(
        "mprec-sensitivity",
        "Which assumption carries each ratio (modelled; each varied alone)",
        columns,
        tuple(
            Row(
                (
                    Cell("" if number and rows[number - 1].ratio == row.ratio else row.ratio),
                    Cell(row.assumption),
                    *(
                        Cell(f"{with_unit(value, row.unit)}: {significant(ratio)}", ratio)
                        for value, ratio in zip(row.values, row.ratios, strict=True)
                    ),
                    Cell(
                        MISSING if row.explains is None else with_unit(row.explains, row.unit),
                        math.nan if row.explains is None else row.explains,
                    ),
                )
            )
            for number, row in enumerate(rows)
        ),
        caption="explains: where there is a dash, no value between low and high does it alone.",
    )


def assumptions_table(result: MPRecReproduction) -> Table:
    """What was assumed."""
    columns = (Column("assumption"), Column("value", "SI units", True))
    rows = tuple(
        Row((Cell(name), Cell(f"{value:.4g}", value))) for name, value in result.assumptions.items()
    )
    return Table("mprec-assumptions", "Assumptions of the modelled times", columns, rows)


def with_unit(value: float, unit: str) -> str:
    """An assumption's value as people read it, shares as 0.6."""
    if unit == "s":
        return duration(value)
    if unit == "bytes/s":
        return f"{significant(value / 1e9)} GB/s"
    return f"{significant(value)} {unit}".strip()


def _times(value: float) -> Cell:
    return Cell(f"{significant(value)}x", value)


def _megabytes(num_bytes: float) -> str:
    """Decimal, as the paper writes them."""
    if num_bytes >= 999.5e6:
        return f"{significant(num_bytes / 1e9)} GB"
    return f"{significant(num_bytes / 1e6)} MB"
