"""Load that the best plan of each runtime carries, executed in turns: what the engine is worth.

    python benchmarks/runtime_capacity.py RUN [--runtimes native,torch] [--repetitions 5]

RUN is the folder of a study with several exact runtimes, of `recfunnel run movielens` for instance.
For each runtime alone the same search chooses a plan for the study's target, from the profiles that
are there (measured first where they are not). Then, one after another in every repetition, each
plan is served for real at rising and falling loads until the highest is found that keeps the
promise. The last column is the capacity over that of the last runtime, repetition by repetition:
its median and its range. Meant for a quiet machine.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from recfunnel.core.results import DesignPoint
from recfunnel.plan.measured import CapacityTrial, measure_capacity
from recfunnel.plan.planner import make_plan
from recfunnel.runtime.engine import Engine
from recfunnel.study.by_runtime import inputs_alone
from recfunnel.study.parse import read_toml, study_from_dict
from recfunnel.study.planning import Planning
from recfunnel.study.run_folder import RunFolder


def main() -> None:
    options = _options()
    study = study_from_dict(read_toml(options.run / "study.toml"))
    with RunFolder(options.run) as folder:
        planning = Planning(study, folder)
        chosen = {name: _best(planning, name) for name in options.runtimes.split(",")}
        print(f"target: {study.plan_target().name}")
        for name, point in chosen.items():
            print(
                f"{name:10s}{point.path.name}, NDCG {point.objectives.ndcg.mean:.4f} on validation"
            )
        _print(chosen, _measured(planning, chosen, options.repetitions, options.seconds))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--runtimes", default="native,torch", help="the last is compared with")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one load")
    return parser.parse_args()


def _best(planning: Planning, runtime: str) -> DesignPoint:
    """The plan with one runtime alone."""
    if runtime not in planning.study.runtimes:
        sys.exit(
            f"the study has no runtime {runtime!r}; known: {', '.join(planning.study.runtimes)}"
        )
    inputs = inputs_alone(planning, runtime)
    if inputs is None:
        sys.exit(f"{runtime!r} can run no model of the study alone")
    plan = make_plan(inputs, planning.study.plan_target(), store_folder=planning.path / "estimates")
    if plan.plan.chosen is None:
        sys.exit(f"with {runtime!r} alone nothing meets the target: {plan.plan.reason}")
    return plan.plan.chosen


def _measured(
    planning: Planning, chosen: dict[str, DesignPoint], repetitions: int, seconds: float
) -> dict[str, np.ndarray]:
    """(R,) queries a second of each runtime's plan, in turns."""
    workload = planning.study.workload()
    guess = {name: point.objectives.capacity_qps.mean for name, point in chosen.items()}
    found: dict[str, list[float]] = {name: [] for name in chosen}
    with Engine(planning.setup()) as engine:
        for repetition in range(repetitions):
            for name in list(chosen)[:: 1 if repetition % 2 else -1]:
                trial = CapacityTrial(
                    service_level=workload.service_level,
                    arrivals=workload.arrivals,
                    sizes=workload.sizes,
                    num_queries=len(planning.steps.queries("test")),
                    seconds=seconds,
                    repeats=1,
                    seed=repetition,
                )
                measured = measure_capacity(engine, chosen[name].path, guess[name], trial)
                guess[name] = measured.capacity_qps.mean or guess[name]
                found[name].append(measured.capacity_qps.mean)
    return {name: np.array(each) for name, each in found.items()}


def _print(chosen: dict[str, DesignPoint], found: dict[str, np.ndarray]) -> None:
    reference = list(found)[-1]
    print(
        f"\n{'runtime':10s}{'predicted/s':>12s}{'measured/s':>12s}{'range':>16s}  over {reference}"
    )
    for name, capacity_qps in found.items():
        ratio = capacity_qps / found[reference]
        predicted = chosen[name].objectives.capacity_qps.mean
        print(
            f"{name:10s}{predicted:12.0f}{np.median(capacity_qps):12.0f}"
            f"{f'{capacity_qps.min():.0f} to {capacity_qps.max():.0f}':>16s}"
            f"  {np.median(ratio):.2f}x ({ratio.min():.2f} to {ratio.max():.2f})"
        )


if __name__ == "__main__":
    main()
