"""The GPU lane runs anywhere: without a GPU it checks the same code on the CPU and says so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

LANE = Path(__file__).parents[1] / "benchmarks" / "gpu_lane.py"


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_scores_are_checked_and_all_is_written(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(LANE),
        "--minutes",
        "0",
        "--items",
        "500",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no GPU" in done.stdout
    assert "out of time" in done.stdout
    (stored,) = tmp_path.glob("no-gpu-*.json")
    found = json.loads(stored.read_text())
    assert {row["runtime"] for row in found["correctness"]} >= {"torch, CPU"}
    assert all(row["right"] for row in found["correctness"])
    assert stored.with_suffix(".md").read_text().startswith("# Ranking on none")
