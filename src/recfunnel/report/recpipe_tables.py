"""RecPipe's accelerator figures as tables: published, by its own model, corrected, by ours."""

import math
from collections.abc import Iterator, Sequence

from recfunnel.core.results import Estimate
from recfunnel.report.formatting import (
    MISSING,
    NOT_STEADY,
    duration,
    percent,
)
from recfunnel.report.recpipe import (
    BestRow,
    CachePoint,
    ComponentRow,
    EnergyRow,
    LoadRow,
    MappingRow,
    OursRow,
    RecPipeReproduction,
    SystolicRow,
    WaterfallRow,
)
from recfunnel.report.table import Cell, Column, Row, Table, Tone


def recpipe_tables(result: RecPipeReproduction) -> tuple[Table, ...]:
    """Every table that there are results for."""
    tables = (
        systolic_table(result.systolic),
        caches_table(result.caches, result.cache_lookups),
        components_table(result.components),
        energy_table(result.energies),
        loads_table(result.loads),
        ours_table(result.ours),
        mappings_table(result.mappings),
        *(waterfall_table(row) for row in result.waterfalls),
        *scaling_tables(result),
        best_table(result.best),
    )
    return tuple(table for table in tables if table.rows)


def systolic_table(rows: Sequence[SystolicRow]) -> Table:
    """Figure 10a."""
    columns = (
        Column("network"),
        Column("array", "", True),
        Column("published\ncycles", "their SCALE-Sim, version 1", True),
        Column("artifact's\nmodel", "its timing model", True),
        Column("ours", "same layers, fold by fold", True),
        Column("overlapped", "next weights loaded behind computing", True),
        Column("true\nnetwork", "overlapped, with dots instead of joined vectors", True),
        Column("published\nutilised", "", True),
        Column("ours\nutilised", "fold by fold", True),
    )
    return Table(
        "recpipe-10a",
        "Figure 10a: cycles of 4096 items on square arrays, weights staying (simulated)",
        columns,
        tuple(
            Row(
                (
                    Cell(row.network),
                    Cell(f"{row.side}²", row.side),
                    _count(row.published_cycles),
                    _count(row.artifact_cycles),
                    _count(row.cycles),
                    _count(row.overlapped_cycles),
                    _count(row.true_cycles),
                    Cell(percent(row.published_utilisation, 1)),
                    Cell(percent(row.utilisation, 1)),
                )
            )
            for row in rows
        ),
        caption="true network: 351 dots on 1,024 lanes instead of 27 joined vectors.",
    )


def caches_table(points: Sequence[CachePoint], num_lookups: int) -> Table:
    """Figure 10c: the best division of every size."""
    columns = (
        Column("items that\npass", "", True),
        Column("memory", "", True),
        *(
            Column(name, "least mean cycles, with the front stage's share", True)
            for name in ("published", "FIFO", "LRU", "static")
        ),
        Column("even, published", "mean cycles with half the memory each", True),
        Column("even, FIFO", "ours", True),
    )
    cases = dict.fromkeys((point.filter_ratio, point.size_mb) for point in points)
    return Table(
        "recpipe-10c",
        "Figure 10c: least mean access time in cycles, with the front stage's share of the memory",
        columns,
        tuple(_cache_row([p for p in points if (p.filter_ratio, p.size_mb) == c]) for c in cases),
        caption=f"{num_lookups:,} lookups drawn and played, simulated. FIFO is what the published "
        "study ran under the name of LRU.",
    )


def _cache_row(points: Sequence[CachePoint]) -> Row:
    first = points[0]
    even = next(point for point in points if point.front_share == 0.5)
    best = []
    for name in ("published_cycles", "fifo_cycles", "lru_cycles", "static_cycles"):
        point = min(points, key=lambda each: getattr(each, name))
        best.append(Cell(f"{getattr(point, name):.1f} at {point.front_share:g}"))
    return Row(
        (
            Cell(f"1/{round(1 / first.filter_ratio)}", first.filter_ratio),
            Cell(f"{first.size_mb} MB", first.size_mb),
            *best,
            Cell(f"{even.published_cycles:.1f}"),
            Cell(f"{even.fifo_cycles:.1f}"),
        )
    )


def components_table(rows: Sequence[ComponentRow]) -> Table:
    """Figure 11."""
    columns = (
        Column("component"),
        Column("baseline\nmm²", "by the published scaling", True),
        Column("RPAccel\nmm²", "by the published scaling", True),
        Column("RPAccel mm²\nunrounded", "", True),
        Column("baseline\nmW", "by the published scaling", True),
        Column("RPAccel\nmW", "by the published scaling", True),
        Column("RPAccel mW\nunrounded", "", True),
    )
    drawn = []
    for row in rows:
        tone: Tone = "chosen" if row.name == "all" else "plain"
        areas, powers = row.published_mm2, [1e3 * power for power in row.published_w]
        cells = (
            Cell(row.name),
            Cell(f"{areas[0]:.4f}", areas[0]),
            Cell(f"{areas[1]:.4f}", areas[1]),
            Cell(f"{row.area_mm2[1]:.4f}", row.area_mm2[1]),
            Cell(f"{powers[0]:.1f}", powers[0]),
            Cell(f"{powers[1]:.1f}", powers[1]),
            Cell(f"{1e3 * row.power_w[1]:.1f}", row.power_w[1]),
        )
        drawn.append(Row(cells, tone))
    return Table(
        "recpipe-11",
        "Figure 11: area and power at 12 nm, scaled from the published synthesis of its blocks",
        columns,
        tuple(drawn),
        caption="Power is at an activity and clock that the reports do not state.",
    )


def energy_table(rows: Sequence[EnergyRow]) -> Table:
    """Energy of a query, one row a mapping."""
    groups = {
        "multiply": ("multiply-adds", "registers"),
        "SRAM": ("activation SRAM", "weight SRAM", "row SRAM"),
        "DRAM": ("DRAM transfers", "DRAM rows opened"),
        "PCIe": ("PCIe",),
        "leakage": ("leakage",),
    }
    columns = (
        Column("mapping"),
        *(Column(f"{name}\n\N{MICRO SIGN}J", "", True) for name in groups),
        Column("all\n\N{MICRO SIGN}J", "", True),
        Column("range\n\N{MICRO SIGN}J", "all operations at their least and at their most", True),
    )
    drawn = []
    for mapping in dict.fromkeys(row.mapping for row in rows):
        own = [row for row in rows if row.mapping == mapping]
        parts = [sum(r.energy_j for r in own if r.component in names) for names in groups.values()]
        total = sum(row.energy_j for row in own)
        low, high = sum(row.low_j for row in own), sum(row.high_j for row in own)
        cells = (
            Cell(mapping),
            *(Cell(f"{1e6 * part:,.0f}", part) for part in parts),
            Cell(f"{1e6 * total:,.0f}", total),
            Cell(f"{1e6 * low:,.0f} to {1e6 * high:,.0f}", low),
        )
        drawn.append(Row(cells))
    return Table(
        "recpipe-energy",
        "Energy of a query alone on the corrected model (simulated; the artifact has 0)",
        columns,
        tuple(drawn),
        caption="The range has every operation at its least or at its most plausible energy.",
    )


def loads_table(rows: Sequence[LoadRow]) -> Table:
    """Figure 12: the logged best mapping of each number of stages, and the best corrected one."""
    columns = (
        Column("queries/s", "that were set", True),
        Column("logged best"),
        Column("logged\np95", "of their one run", True),
        Column("sleeping\np95", "simulated with what their processes add", True),
        Column("model\np95", "their model alone, exponential gaps", True),
        Column("model p99\nms", "the same", True),
        Column("corrected\nbest"),
        Column("p99\nms", "every fault corrected", True),
    )
    drawn = []
    for number, rate in sorted({(row.num_stages, row.rate_qps) for row in rows}):
        own = [row for row in rows if (row.num_stages, row.rate_qps) == (number, rate)]
        best = min(own, key=lambda row: row.logged_p95_s)
        corrected = min(own, key=lambda row: row.corrected_p99_s.mean)
        cells = (
            Cell(f"{rate:,.0f}", rate),
            Cell(_mapping(best)),
            Cell(_logged(best), best.logged_p95_s),
            Cell(duration(best.emulated_p95_s.mean), best.emulated_p95_s.mean),
            Cell(duration(best.p95_s.mean), best.p95_s.mean),
            _milliseconds(best.p99_s),
            Cell(_mapping(corrected)),
            _milliseconds(corrected.corrected_p99_s),
        )
        drawn.append(Row(cells))
    return Table(
        "recpipe-12",
        "Figure 12: tails under load (all but the logged ones simulated)",
        columns,
        tuple(drawn),
        caption="sleeping: whole-millisecond gaps and the times the emulation's processes add. "
        "± is one standard error over replications. A star: the logged run could not keep up.",
    )


def _milliseconds(value: Estimate) -> Cell:
    """Mean and standard error in milliseconds, both to as many decimals as the mean deserves."""
    mean, error = 1e3 * value.mean, 1e3 * value.stderr
    if not math.isfinite(mean):
        return Cell(NOT_STEADY, value.mean)
    decimals = 2 if mean < 10 else 1
    return Cell(f"{mean:,.{decimals}f} ± {error:.{decimals}f}", value.mean)


def _mapping(row: LoadRow) -> str:
    return f"[{', '.join(map(str, row.fission))}]"


def _logged(row: LoadRow) -> str:
    return duration(row.logged_p95_s) + ("*" if row.logged_saturated else "")


def ours_table(rows: Sequence[OursRow]) -> Table:
    """Figure 12 on our model: the best of each kind at every load."""
    kinds = list(dict.fromkeys(row.kind for row in rows))
    columns = (
        Column("queries/s", "exponential gaps", True),
        *(
            Column(f"{kind}\np99, ms", "of the best mapping and sub-batches", True)
            for kind in kinds
        ),
        *(Column("best", f"of {kind}: parts of the chip, and sub-batches") for kind in kinds[1:]),
    )
    drawn = []
    for rate in dict.fromkeys(row.rate_qps for row in rows):
        own = {row.kind: row for row in rows if row.rate_qps == rate}
        cells = (
            Cell(f"{rate:,.0f}", rate),
            *(_milliseconds(own[kind].p99_s) for kind in kinds),
            *(Cell(_chosen(own[kind])) for kind in kinds[1:]),
        )
        drawn.append(Row(cells))
    return Table(
        "recpipe-12-ours",
        "Figure 12 on our model (simulated): p99 in ms of the best mapping and sub-batches",
        columns,
        tuple(drawn),
        caption="± is one standard error over replications. best: of the kinds but the first, the "
        "part of the chip that each stage's sub-arrays are, and the number of sub-batches.",
    )


def _chosen(row: OursRow) -> str:
    """Such as `4,4/8`: parts of the chip, and sub-batches."""
    if not row.fission:
        return MISSING
    return f"{','.join(map(str, row.fission))}/{row.sub_batches}"


def mappings_table(rows: Sequence[MappingRow]) -> Table:
    """Every mapping without load."""
    columns = (
        Column("mapping"),
        Column("model\nms", "the published one, all stages", True),
        Column("queries/s", "its capacity", True),
        Column("corrected\nms", "every fault corrected", True),
        Column("queries/s", "the same", True),
        Column("ours\nms", "a query alone, with sub-batches and look-ahead", True),
        Column("queries/s", "that the busiest unit can do", True),
        Column("sub-batches", "with which a query alone is soonest answered", True),
    )
    return Table(
        "recpipe-mappings",
        "Every mapping without load, by each model (simulated)",
        columns,
        tuple(
            Row(
                (
                    Cell(f"{list(row.fission)}" + (", host sorts" if row.host_sort else "")),
                    Cell(f"{1e3 * row.published_s:.3f}", row.published_s),
                    Cell(f"{row.published_qps:,.0f}", row.published_qps),
                    Cell(f"{1e3 * row.corrected_s:.3f}", row.corrected_s),
                    Cell(f"{row.corrected_qps:,.0f}", row.corrected_qps),
                    Cell(f"{1e3 * row.ours_s:.3f}", row.ours_s),
                    Cell(f"{row.ours_qps:,.0f}", row.ours_qps),
                    Cell(str(row.sub_batches), row.sub_batches),
                )
            )
            for row in rows
        ),
        caption="On our model a stage's sub-arrays work on one query together; in the other two "
        "each has a query of its own. host sorts: the paper's prior art.",
    )


def waterfall_table(row: WaterfallRow) -> Table:
    """What each correction does to one mapping."""
    columns = (
        Column("corrected"),
        Column("so far", "with all above", True),
        Column("step", "", True),
        Column("alone", "against the published model", True),
        Column("capacity so far", "queries a second", True),
    )
    drawn = [
        Row(
            (
                Cell("nothing: the published model"),
                Cell(_ms(row.published_s)),
                Cell(""),
                Cell(""),
                Cell(f"{row.published_qps:,.0f}"),
            ),
            "chosen",
        )
    ]
    before_s = row.published_s
    for step in row.steps:
        cells = (
            Cell(step.fault),
            Cell(_ms(step.cumulative_s)),
            Cell(_signed_ms(step.cumulative_s - before_s)),
            Cell(_signed_ms(step.alone_s - row.published_s)),
            Cell(f"{step.cumulative_qps:,.0f}"),
        )
        drawn.append(Row(cells))
        before_s = step.cumulative_s
    return Table(
        f"recpipe-waterfall-{_dashed(row.mapping)}",
        f"From the published model to the corrected one: {row.mapping} (simulated, no waiting)",
        columns,
        tuple(drawn),
        caption="What is done instead stands in the page about RPAccel and in the JSON.",
    )


def _dashed(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name).split())


def _ms(value_s: float) -> str:
    return f"{1e3 * value_s:.4f} ms"


def _signed_ms(value_s: float) -> str:
    text = f"{1e3 * value_s:+.4f} ms".replace("-", "\N{MINUS SIGN}")
    return MISSING if round(1e3 * value_s, 4) == 0 else text


def scaling_tables(result: RecPipeReproduction) -> Iterator[Table]:
    """Figure 13, one table a load."""
    for rate in sorted({row.rate_qps for row in result.scaling}):
        rows = [row for row in result.scaling if row.rate_qps == rate]
        yield _scaling_table(rate, rows, result)


def _scaling_table(rate: float, rows: Sequence[LoadRow], result: RecPipeReproduction) -> Table:
    ndcg = dict(result.ndcg_by_items)
    ours = {row.items: row for row in result.ours_scaling if row.rate_qps == rate}
    columns = (
        Column("items"),
        Column("NDCG@64", "of one stage, the authors'", True),
        Column("logged best"),
        Column("logged\np95", "", True),
        Column("sleeping\np95", "simulated with what their processes add", True),
        Column("model\np99, ms", "their model alone, exponential gaps", True),
        Column("corrected\np99, ms", "every fault corrected, its best mapping", True),
        Column("ours\np99, ms", "our model, its best mapping and sub-batches", True),
    )
    drawn = []
    for items in dict.fromkeys(row.items for row in rows):
        own = [row for row in rows if row.items == items]
        best = min(own, key=lambda row: row.logged_p95_s)
        corrected = min(own, key=lambda row: row.corrected_p99_s.mean)
        cells = (
            Cell(" → ".join(map(str, items))),
            Cell(f"{ndcg[items[0]]:.2f}" if len(items) == 1 else MISSING),
            Cell(_mapping(best)),
            Cell(_logged(best), best.logged_p95_s),
            Cell(duration(best.emulated_p95_s.mean), best.emulated_p95_s.mean),
            _milliseconds(best.p99_s),
            _milliseconds(corrected.corrected_p99_s),
            _milliseconds(ours[items].p99_s),
        )
        drawn.append(Row(cells))
    return Table(
        f"recpipe-13-{rate:.0f}",
        f"Figure 13: more items at {rate:,.0f} queries/s (all but the logged ones simulated)",
        columns,
        tuple(drawn),
        caption="A star: the logged run could not keep up.",
    )


def best_table(rows: Sequence[BestRow]) -> Table:
    """Figure 14."""
    columns = (
        Column("load"),
        Column("platform"),
        Column("stages", "", True),
        Column("published p95", "", True),
        Column("model p95", "the published model without its emulation, simulated", True),
        Column("corrected p95", "every fault corrected, simulated", True),
        Column("ours, p95", "our model, simulated", True),
    )
    return Table(
        "recpipe-14",
        "Figure 14: best p95 at a load or a higher one",
        columns,
        tuple(
            Row(
                (
                    Cell(row.target),
                    Cell(row.platform),
                    Cell(str(row.num_stages)),
                    Cell(duration(row.published_p95_s)),
                    Cell(duration(row.p95_s)),
                    Cell(duration(row.corrected_p95_s)),
                    Cell(duration(row.ours_p95_s)),
                )
            )
            for row in rows
        ),
        caption="A dash: no configuration holds the load, or the column does not apply. CPU and "
        "GPU are measured by the authors.",
    )


def _count(value: int | None) -> Cell:
    return Cell(MISSING if value is None else f"{value:,}", value)
