"""`recfunnel accel latency`: one's own accelerator, alone and under load."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter

from recfunnel.cli.printing import emit_json, print_table, say
from recfunnel.core.errors import StudyError

if TYPE_CHECKING:
    from recfunnel.core.results import Estimate
    from recfunnel.hardware.accel.description import AccelDescription
    from recfunnel.hardware.accel.rows import RowDemand
    from recfunnel.hardware.accel.times import UnitTimes
    from recfunnel.simulate.accel_load import AccelLoad
    from recfunnel.simulate.accel_spans import Span
    from recfunnel.simulate.load import LoadPoint

Several = Parameter(negative="", consume_multiple=True)
Flag = Parameter(negative="")


def latency(
    design: Path,
    /,
    *,
    load: Annotated[tuple[float, ...], Several] = (),
    deadline: float | None = None,
    queries: int = 20_000,
    replications: int = 5,
    seed: int = 0,
    picture: Path | None = None,
    json: Annotated[bool, Flag] = False,
) -> int:
    """Tell how long an accelerator of your own takes, alone and under load (simulated).

    Args:
        design: .toml or .json with num_in, [[stages]] and, where they differ from the defaults,
            [chip] and the overlaps; the page on RPAccel has an example.
        load: queries a second that come, by a Poisson process; any number of loads.
        deadline: seconds that p99 may take; tells the highest load that meets it.
        queries: simulated for each load and replication, a tenth of them to warm up.
        replications: independent runs, for intervals.
        seed: of arrivals.
        picture: .svg or .png to write, which unit works for which sub-batch and when.
        json: print JSON.
    """
    from recfunnel.core.workload import ServiceLevel
    from recfunnel.simulate.accel_load import accel_load
    from recfunnel.simulate.accel_spans import query_spans
    from recfunnel.workload.poisson import Poisson

    made = read_design(design)
    times = _times(made, design.parent)
    latency_s, spans = query_spans(times)
    tried = accel_load(
        times, Poisson(), num_queries=queries, num_replications=replications, seed=seed
    )
    most = tried.saturated()
    points = [tried.at(rate) for rate in load]
    capacity = None if deadline is None else tried.capacity(ServiceLevel(deadline_s=deadline))
    units = _units(times, latency_s)
    if picture is not None:
        _draw(picture, latency_s, spans)
    if json:
        emit_json(
            {
                "simulated": True,
                "latency_s": latency_s,
                "saturated_qps": most.mean,
                "units": units,
                "candidates": times.num_items[0].tolist(),
                "spans": spans,
                "deadline_s": deadline,
                "capacity_qps": capacity,
                "loads": [{"units": tried.units, **_named(point)} for point in points],
            }
        )
        return 0
    print_table([{_heading(name): unit[name] for name in unit} for unit in units])
    say(
        f"simulated; one query alone takes {_ms(latency_s)}, {made.sub_batches} sub-batches; "
        f"no load above {most.mean:.4g} queries/s is steady"
    )
    if points:
        print_table([_load_row(tried, point) for point in points])
        say(f"simulated; {replications} runs of {queries} queries each, means with 95 % intervals")
    if capacity is not None:
        low, high = capacity.interval()
        spread = f" ± {(high - low) / 2:,.0f}" if np.isfinite(high) else ""
        say(f"p99 within {_ms(deadline or 0.0)} holds up to {capacity.mean:,.0f}{spread} queries/s")
    return 0


def read_design(path: Path) -> "AccelDescription":
    """A description of an accelerator from a file.

    Raises:
        StudyError: missing, neither TOML nor JSON, or not a description.
    """
    from recfunnel.hardware.accel.description import described
    from recfunnel.study.parse import read_toml

    if path.suffix != ".json":
        return described(read_toml(path), str(path))
    try:
        plain = json_module.loads(path.read_text())
    except FileNotFoundError as error:
        raise StudyError(f"{path} does not exist") from error
    except (json_module.JSONDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(plain, dict):
        raise StudyError(f"{path} holds no table; give num_in and stages")
    return described(plain, str(path))


def _times(made: "AccelDescription", folder: Path) -> "UnitTimes":
    from recfunnel.hardware.accel.batches import sub_batch_sizes
    from recfunnel.hardware.accel.design import columns_of
    from recfunnel.hardware.accel.fits import check_fits
    from recfunnel.hardware.accel.times import unit_times

    check_fits(made.chip, made.work, made.design)
    columns = columns_of(made.work, [made.design])
    sizes, _ = sub_batch_sizes(columns)
    demands = [_demand(made, s, sizes[0, s], folder) for s in range(len(made.stages))]
    return unit_times(made.chip, made.work, columns, demands)


def _demand(
    made: "AccelDescription", number: int, sizes: "np.ndarray[Any, Any]", folder: Path
) -> "RowDemand":
    """What a stage's sub-batches fetch: stated rates, or counted on a trace."""
    from recfunnel.hardware.accel.row_curve import row_curve
    from recfunnel.hardware.caches.trace import read_ids, row_trace

    stage = made.stages[number]
    if stage.trace is None:
        return stage.rates
    ids = read_ids(folder / stage.trace)
    before = None if stage.profile is None else read_ids(folder / stage.profile)
    lookups = row_trace(ids, before=before)
    if lookups.num_tables != stage.num_tables:
        raise StudyError(
            f"{stage.trace} has {lookups.num_tables} tables, stage {number} {stage.num_tables}"
        )
    if before is None:
        half = ids.shape[0] // 2 * lookups.num_tables
        lookups = lookups.warmed_up_by(half)
    wanted = [int(size) for size in np.unique(sizes) if size > 0]
    return row_curve(lookups, wanted, dram_rows=stage.dram_rows)


def _units(times: "UnitTimes", latency_s: float) -> list[dict[str, Any]]:
    """Seconds of each unit for one query, and its share of the query's time."""
    from recfunnel.simulate.accel_query import busy_s

    rows = []
    for unit, seconds in busy_s(times).items():
        parts = seconds[0] if seconds.ndim == 2 else seconds[:1]
        for number, value in enumerate(parts.tolist()):
            copies = int(times.copies[0, number]) if unit in ("array", "topk") else 1
            name = f"{unit}, stage {number}" if parts.size > 1 else unit
            if value > 0:
                rows.append(
                    {
                        "unit": name,
                        "busy_s": value,
                        "copies": copies,
                        "share": value / copies / latency_s,
                    }
                )
    return rows


def _heading(name: str) -> str:
    return {"unit": "unit (simulated)", "busy_s": "busy_s", "share": "of latency"}.get(name, name)


def _draw(path: Path, latency_s: float, spans: "list[Span]") -> None:
    from recfunnel.report.figure_accel import timeline_figure

    if path.suffix not in (".svg", ".png"):
        raise StudyError(f"--picture {path} must end in .svg or .png")
    figure = timeline_figure(latency_s, spans)
    figure.save_svg(path) if path.suffix == ".svg" else figure.save_png(path)


def _named(point: "LoadPoint") -> dict[str, Any]:
    from recfunnel.core.spec import to_builtins

    plain: dict[str, Any] = to_builtins(point)
    return plain


def _load_row(tried: "AccelLoad", point: "LoadPoint") -> dict[str, Any]:
    used = {unit: share.mean for unit, share in zip(tried.units, point.utilisation, strict=True)}
    busiest = max(used, key=lambda unit: used[unit])
    row: dict[str, Any] = {"queries/s": point.rate_qps}
    for name in ("mean", "p50", "p95", "p99"):
        found = getattr(point, f"{name}_s")
        row[f"{name}, ms"] = _interval(found, 1e3) if point.steady else "not steady"
    row["answered"] = point.throughput_qps.mean
    row["busiest unit"] = f"{busiest} {used[busiest]:.0%}"
    return row


def _interval(found: "Estimate", scale: float) -> str:
    low, high = found.interval()
    half = (high - low) / 2 * scale
    spread = f" ±{half:.1g}" if np.isfinite(half) else ""
    return f"{found.mean * scale:.3g}{spread}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.4g} ms"
