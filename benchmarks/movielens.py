"""Reprints README's MovieLens-1M figures: quality, the chosen plan, predicted against measured.

    python benchmarks/movielens.py path/to/ml-1m [--out runs/movielens-benchmark] [--json]

Runs the recipe from nothing (or goes on in the folder), plans again for another target from what is
stored, and runs the NCF protocol. Take a machine on which nothing else runs.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from recfunnel.core.storage import read_json
from recfunnel.report.formatting import estimate
from recfunnel.report.summary import RunSummary


def main() -> None:
    arguments = _arguments()
    found = {
        "full catalogue": _run(["run", str(arguments.data)], arguments.out),
        "another target": _run(["plan", "--rate", "800", "--deadline-ms", "10"], arguments.out),
        "most capacity": _run(["run", "--objective", "capacity"], arguments.out),
        "ncf protocol": _run(
            ["score", "movielens-ncf", "--data", str(arguments.data)],
            arguments.out.with_name(arguments.out.name + "-ncf"),
        ),
    }
    if arguments.json:
        sys.stdout.write(json.dumps({k: v["seconds"] for k, v in found.items()}, indent=2) + "\n")
        return
    _print_summary(found, arguments.out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the raw ML-1M files")
    parser.add_argument("--out", type=Path, default=Path("runs/movielens-benchmark"))
    parser.add_argument("--json", action="store_true", help="print seconds as JSON only")
    return parser.parse_args()


def _run(arguments: list[str], out: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", "from recfunnel.cli.main import main; main()", *arguments]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--out", str(out), "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode == 2:
        sys.exit(2)
    summary = out / "summary.json"
    return {
        "seconds": time.perf_counter() - began,
        "printed": json.loads(done.stdout),
        "summary": read_json(summary, RunSummary) if summary.exists() else None,
    }


def _print_summary(found: dict[str, dict[str, Any]], out: Path) -> None:
    for name, run in found.items():
        print(f"{name}: {run['seconds']:.1f} s")
    for name in ("full catalogue", "most capacity"):
        summary: RunSummary = found[name]["summary"]
        print(f"\n== {name} ==")
        for row in sorted(summary.models, key=lambda r: -(r.ndcg.mean if r.ndcg else 0)):
            print(f"{row.name:18} NDCG@{summary.k} {estimate(row.ndcg)}")
        _print_choice(summary)
    print("\n== NCF protocol, 100 candidates ==")
    for row in found["ncf protocol"]["printed"]:
        print(f"{row['model']:12} HR@10 {row['hit_rate@10']:.4f}  NDCG@10 {row['ndcg@10']:.4f}")
    print(f"\nreport: {out / 'report.html'}")


def _print_choice(summary: RunSummary) -> None:
    if summary.plan is None or summary.plan.chosen is None:
        print("nothing meets the target")
        return
    print("chosen:", summary.plan.chosen.path.name)
    if summary.attribution is not None:
        print("  NDCG on test:", estimate(summary.attribution.ndcg))
    if (found := summary.comparison) is not None:
        print(f"  against {found.rival}: {found.difference.mean:+.4f}", end=" ")
        print(f"[{found.low:+.4f}, {found.high:+.4f}], {found.verdict}")
        print("  capacity ratio, predicted:", estimate(found.capacity_ratio), end=", ")
        print("measured:", estimate(found.measured_capacity_ratio))
    for row in summary.verification:
        print(
            f"  {row.role:8} {row.load_fraction:5.0%} of capacity: p99 predicted "
            f"{row.predicted_p99_s.mean * 1e3:.3f} ms, measured {row.measured_p99_s.mean * 1e3:.3f}"
            f" ms ({row.p99_error:+.1%}){' disturbed' if row.polluted else ''}"
        )


if __name__ == "__main__":
    main()
