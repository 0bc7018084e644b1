"""What `gpu_lane` found, as JSON and as markdown."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpu_lane_mappings import ANSWERED, BACK_SIZE, FRONT_SIZE

Row = tuple[str, ...]


def write(result: Mapping[str, Any], folder: Path, name: str) -> None:
    """Store what was found."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown(result))
    print(f"written: {folder / name}.json and .md, after {result['took_s']:.0f} s")


def markdown(result: Mapping[str, Any]) -> str:
    """All of it, for people."""
    facts = [f"- {key}: {value}" for key, value in result["machine"].items()]
    funnel = f"{FRONT_SIZE} -> RM_small -> {BACK_SIZE} -> RM_large -> {ANSWERED}"
    lines = [
        f"# Ranking on {result['machine']['device']}",
        "",
        *facts,
        f"- tables of {result['rows']:,} rows together, {result['items']:,} items",
        "",
        "## Scores against the float64 evaluator, largest error over largest score",
        "",
        *_table(("model", "runtime", "error", "right"), map(_correctness, result["correctness"])),
        "",
        "## One call, numpy to numpy, microseconds",
        "",
        *_table(
            ("model", "candidates", "runtime", "median", "p99", "million items/s"),
            map(_latency, result["latency"]),
        ),
        "",
        f"## {funnel}, milliseconds at half the slower stage's capacity",
        "",
        *_table(
            ("mapping", "queries/s", "alone", *(name for name, _ in QUANTILES)),
            map(_mapping, result["mappings"]),
        ),
    ]
    return "\n".join(lines) + "\n"


QUANTILES = tuple(
    (f"{side} {label}", f"{side}_{label}_s")
    for label in ("p50", "p99")
    for side in ("measured", "predicted")
)


def _correctness(row: Mapping[str, Any]) -> Row:
    error = row["note"] if row["error"] is None else f"{row['error']:.1e}"
    return row["model"], row["runtime"], error, "yes" if row["right"] else "NO"


def _latency(row: Mapping[str, Any]) -> Row:
    return (
        row["model"],
        f"{row['candidates']:,}",
        row["runtime"],
        f"{1e6 * row['median_s']:,.1f}",
        f"{1e6 * row['p99_s']:,.1f}",
        f"{row['candidates'] / row['median_s'] / 1e6:.2f}",
    )


def _mapping(row: Mapping[str, Any]) -> Row:
    times = ("-" if row[key] is None else f"{1e3 * row[key]:.2f}" for _, key in QUANTILES)
    return row["mapping"], f"{row['rate_qps']:,.0f}", f"{1e3 * row['alone_median_s']:.2f}", *times


def _table(head: Row, rows: Any) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ("---",) * len(head), *rows)]
