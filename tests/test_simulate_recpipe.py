"""RecPipe's published grids, from its service times, against known answers."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "recpipe_grids.py"


def test_the_published_grids_give_the_known_tails_and_capacities() -> None:
    command = [sys.executable, str(BENCHMARK), "--json", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["num_points"] == 41 * 11 + 134 * 12
    assert len(result["table"]) == 33
    assert [row for row in result["table"] if not row["within"]] == []
    assert [row for row in result["capacities"] if not row["within"]] == []
    assert result["grid_s"] <= 60
