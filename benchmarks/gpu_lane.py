"""What a GPU does for ranking: correctness, latency and CPU-GPU mappings, in one run.

    python benchmarks/gpu_lane.py                    # under ten minutes
    python benchmarks/gpu_lane.py --quick            # under a minute, small tables, few sizes
    PYTHONPATH=src python benchmarks/gpu_lane.py     # from a checkout, nothing installed

Scores of every runtime are held against the float64 evaluator on every kind of model. Calls go from
numpy to numpy, transfers included, runtimes taking turns. Mappings of the funnel RM_small ->
RM_large are executed under Poisson arrivals, beside what the simulator predicts for the very same
arrivals. Writes JSON and markdown; ends with 1 if scores are wrong. Without a GPU the code of the
GPU runtime is run on the CPU, as with --quick.

Needs torch, numpy, msgspec, psutil, threadpoolctl and safetensors; numba for the predictions.
"""

import argparse
import importlib.util
import json
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REQUIRED = ("torch", "numpy", "msgspec", "psutil", "threadpoolctl", "safetensors")


def missing_packages() -> list[str]:
    """Packages this needs that are not installed."""
    return [name for name in REQUIRED if importlib.util.find_spec(name) is None]


def machine_facts() -> dict[str, str]:
    import torch

    from recfunnel.hardware.processor import processor_name

    facts = {
        "device": "none: torch finds no CUDA device",
        "processor": processor_name(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "CUDA of torch": torch.version.cuda or "none",
        "triton": "yes" if importlib.util.find_spec("triton") else "no",
    }
    if not torch.cuda.is_available():
        return facts
    properties = torch.cuda.get_device_properties(0)
    facts["device"] = properties.name
    facts["device memory"] = f"{properties.total_memory / 2**30:.1f} GiB"
    facts["driver"] = "unknown"
    if smi := shutil.which("nvidia-smi"):
        command = [smi, "--query-gpu=driver_version", "--format=csv,noheader"]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        facts["driver"] = found.stdout.partition("\n")[0].strip() or "unknown"
    return facts


def runtimes(device: str) -> dict[str, Any]:
    """Specs by name: what can be measured here."""
    from recfunnel.core.errors import RecfunnelError
    from recfunnel.runtime.base import runtimes as registry
    from recfunnel.runtime.torch_cuda import TorchCuda
    from recfunnel.runtime.torch_eager import TorchEager

    found: dict[str, Any] = {"torch, CPU": TorchEager()}
    try:
        found["native, CPU"] = registry.parse({"kind": "native"})
    except (RecfunnelError, ImportError) as error:
        print(f"no native runtime: {error}")
    if device == "cpu":
        return found | {
            "torch_cuda's code, CPU": TorchCuda(device="cpu"),
            "torch_cuda's code, CPU, bf16": TorchCuda(device="cpu", dtype="bfloat16"),
        }
    kinds = {
        "torch, GPU": TorchEager(device=device),
        "torch_cuda, no graphs": TorchCuda(device=device, cuda_graphs=False, kernels="torch"),
        "torch_cuda": TorchCuda(device=device, kernels="torch"),
        "torch_cuda, bf16": TorchCuda(device=device, dtype="bfloat16", kernels="torch"),
    }
    if importlib.util.find_spec("triton"):
        kinds |= {
            "torch_cuda, triton": TorchCuda(device=device, kernels="triton"),
            "torch_cuda, triton, bf16": TorchCuda(
                device=device, dtype="bfloat16", kernels="triton"
            ),
        }
    return found | kinds


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small tables and few sizes")
    parser.add_argument("--rows", type=int, help="of all tables of a DLRM together")
    parser.add_argument("--items", type=int, help="in the catalogue")
    parser.add_argument("--minutes", type=float, default=8.0, help="begin nothing new after these")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def main() -> int:
    began, asked = time.monotonic(), arguments()
    if missing := missing_packages():
        print(f"missing: {', '.join(missing)}; pip install -e '.[train]', or these by name")
        return 1
    from gpu_lane_mappings import mappings
    from gpu_lane_models import Lane, Loaded, correctness, latencies, measured_specs
    from gpu_lane_report import write

    machine = machine_facts()
    print(json.dumps(machine, indent=1))
    has_gpu = not machine["device"].startswith("none")
    if not has_gpu:
        print("no GPU: the GPU runtime's code is run on the CPU, as with --quick")
    quick = asked.quick or not has_gpu
    lane = Lane(
        quick=quick,
        rows=asked.rows or (20_000 if quick else 4_000_000),
        items=asked.items or (5_000 if quick else 200_000),
        round_s=0.05 if quick else 0.15,
        until_s=began + 60 * asked.minutes,
    )
    specs = runtimes("cuda" if has_gpu else "cpu")
    result: dict[str, Any] = {"machine": machine, "rows": lane.rows, "items": lane.items}
    result["correctness"], result["latency"] = correctness(specs), []
    kept: dict[str, Loaded] = {}
    for name, (spec, kind) in measured_specs().items():
        loaded = Loaded(name, spec, kind, specs, lane)
        result["correctness"] += loaded.checks
        result["latency"] += latencies(loaded, lane)
        if name in ("RM_small", "RM_large"):
            kept[name] = loaded
    on_cpu = "native, CPU" if "native, CPU" in specs else "torch, CPU"
    where = {"CPU": on_cpu} | ({"GPU": "torch_cuda"} if has_gpu else {})
    result["mappings"] = mappings(kept["RM_small"], kept["RM_large"], where, lane)
    result["took_s"] = time.monotonic() - began
    name = machine["device"] if has_gpu else f"no GPU {machine['processor']}"
    write(result, asked.out, re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"))
    wrong = [row for row in result["correctness"] if not row["right"]]
    for row in wrong:
        print(f"WRONG: {row}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
