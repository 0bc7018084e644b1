"""`recfunnel accel cache`: how often row caches hold what a trace looks up."""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from recfunnel.cli.printing import emit_json, print_table, say
from recfunnel.core.errors import StudyError

if TYPE_CHECKING:
    from recfunnel.hardware.caches.base import HitCounts
    from recfunnel.hardware.caches.trace import RowTrace

Several = Parameter(negative="", consume_multiple=True)
Flag = Parameter(negative="")


def cache(
    trace: Path,
    /,
    *,
    capacity: Annotated[tuple[int, ...], Several],
    policy: Annotated[tuple[str, ...], Several] = ("lru",),
    warm_up: int | None = None,
    profile: Path | None = None,
    sub_batch: int | None = None,
    table_rows: Annotated[tuple[int, ...], Several] = (),
    json: Annotated[bool, Flag] = False,
    csv: Annotated[bool, Flag] = False,
) -> int:
    """Count how often caches hold the rows that a trace looks up, exactly (simulated).

    Every policy and capacity is a cache of its own, which begins empty.

    Args:
        trace: .npy of row ids: (lookups,), or (candidates, tables) with a column a table.
        capacity: rows a cache holds; any number of them.
        policy: lru, fifo, lfu, s3fifo, belady (the bound: it knows the future) or static (the
            rows looked up most in the warm-up); any number of them.
        warm_up: lookups at the front that are played and not counted. 0 when not given; half of
            the trace when a static policy is asked for.
        profile: another trace to play first and not count, instead of `--warm-up`.
        sub_batch: count a row once in so many candidates, as a memory does that fetches a
            sub-batch's rows together.
        table_rows: rows of each table; the largest ids + 1 when not given.
        json: print JSON.
        csv: print CSV.
    """
    from recfunnel.hardware.caches.base import cache_policies, count_hits

    if json and csv:
        raise StudyError("--json and --csv are both given; choose one")
    policies = [cache_policies.parse({"kind": kind}) for kind in policy]
    lookups = _lookups(trace, profile, warm_up, sub_batch, table_rows, "static" in policy)
    counts = [count_hits(each, lookups, capacity) for each in policies]
    rows = [row for each in counts for row in _rows(each)]
    if csv:
        _print_csv(rows)
    elif json:
        emit_json({"simulated": True, **_facts(lookups), "caches": rows})
    else:
        print_table(rows)
        facts = _facts(lookups)
        say(
            f"simulated; {facts['lookups']} lookups counted after {facts['warm_up']}, "
            f"{facts['rows']} different rows"
        )
    return 0


def _lookups(
    trace: Path,
    profile: Path | None,
    warm_up: int | None,
    sub_batch: int | None,
    table_rows: tuple[int, ...],
    needs_warm_up: bool,
) -> "RowTrace":
    """The trace as the options say it is played."""
    from recfunnel.hardware.caches.trace import read_ids, row_trace

    if profile is not None and warm_up is not None:
        raise StudyError("--warm-up and --profile are both given; choose one")
    before = None if profile is None else read_ids(profile)
    lookups = row_trace(read_ids(trace), before=before, table_rows=table_rows or None)
    if profile is None:
        if warm_up is None:
            warm_up = lookups.rows.size // 2 if needs_warm_up else 0
        lookups = lookups.warmed_up_by(warm_up)
    return lookups if sub_batch is None else lookups.once_per_sub_batch(sub_batch)


def _facts(lookups: "RowTrace") -> dict[str, int]:
    return {
        "lookups": lookups.num_counted,
        "warm_up": lookups.num_warm_up,
        "rows": lookups.num_rows,
    }


def _rows(counts: "HitCounts") -> Iterable[dict[str, Any]]:
    for capacity, hits in zip(counts.capacities.tolist(), counts.hits.tolist(), strict=True):
        yield {
            "policy": counts.policy,
            "capacity": capacity,
            "lookups": counts.num_counted,
            "hits": hits,
            "misses": counts.num_counted - hits,
            "hit_rate": hits / counts.num_counted,
        }


def _print_csv(rows: list[dict[str, Any]]) -> None:
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
