"""Every benchmark in turn; each also runs on its own.

make bench                                   # what needs no data
python benchmarks/all.py --data path/to/ml-1m   # the MovieLens figures too
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
WITHOUT_DATA = (
    "simulator_speed.py",
    "recpipe_grids.py",
    "quality_funnels.py",
    "planner_speed.py",
    "model_calls.py",
    "native_kernels.py",
    "topk_filter.py",
    "cache_speed.py",
    "accel_speed.py",
    "computed_embeddings.py",
    "scheduler_speed.py",
    "hot_store.py",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the raw ML-1M files")
    data = parser.parse_args().data
    for name in WITHOUT_DATA:
        _run(name)
    _run("engine.py", "--quick")
    if data is not None:
        _run("quality_funnels.py", "--data", str(data))
        _run("hot_store.py", "--data", str(data))
        _run("movielens.py", str(data))
        _run("runtime_capacity.py", "runs/movielens-benchmark")


def _run(name: str, *arguments: str) -> None:
    print(f"\n=== {name} {' '.join(arguments)}", flush=True)
    subprocess.run([sys.executable, str(HERE / name), *arguments], check=True)


if __name__ == "__main__":
    main()
