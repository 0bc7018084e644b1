"""MP-Rec's serving experiment with trained models, simulated and executed on this machine.

    python benchmarks/multi_path_serving.py --out RUN [--executed] [--judge ndcg] [--seconds 30]

Trains a small network and one with each representation (table, deep hash embedding, hybrid) on a
generated click log, measures on the validation split how good each path is and how long it takes
here, and lets every policy serve the same queries: lognormal sizes of mean 128, 10 ms target, loads
from 0.3 to 1.5 of what the best static plan carries. What is delivered is judged on the test split,
which nothing was chosen on. Static plans also run with shedding, which is the fair form.

Everything is kept in RUN, so that a killed run goes on; `--seconds` stops early (exit status 3) and
the same command goes on. Times want a quiet machine: a run that other programs took part of is
repeated, at most `--attempts` times.
"""

import argparse
import hashlib
import sys
from dataclasses import fields
from pathlib import Path as Folder
from time import monotonic

import msgspec
import numpy as np
from rich.console import Console

from multi_path_menu import Quality, menu_of, profiled, qualities
from multi_path_models import SERVED, setup_of, train
from multi_path_tables import joint_tables
from recfunnel.core.dataset import load_dataset
from recfunnel.core.progress import Progress
from recfunnel.core.seeds import rng_for
from recfunnel.core.servable import PathMenu, ServiceTimes
from recfunnel.core.spec import Value
from recfunnel.core.storage import content_hash, read_json, replacing_file, write_json
from recfunnel.hardware.processor import processor_name
from recfunnel.report.figure_paths import delivered_figure
from recfunnel.report.terminal import draw_table
from recfunnel.runtime.paths_engine import PathsEngine
from recfunnel.runtime.paths_run import PathsRun, SizedLoad
from recfunnel.schedule.base import Conditions, SchedulerSpec
from recfunnel.schedule.fixed import FixedPath
from recfunnel.schedule.outcome import Outcome
from recfunnel.schedule.shedding import SheddingLate
from recfunnel.simulate.paths_trial import (
    PathsTrial,
    Runner,
    Stream,
    TrialResult,
    best_static,
    draw_stream,
    earlier_queries,
    run_trial,
    simulated,
    usual_policies,
)

_HALVINGS = 6
"""Of the range of a measured capacity, to a fiftieth."""

DRAWN = (
    "only small",
    "only small, shedding",
    "only small, then hybrid, shedding",
    "most accurate in time",
    "the same, aware of queues",
    "the same, shedding late",
)
"""Of the baselines, those worth a line; switching is `only small` here: that is fastest for every
size."""

LOADS = (0.3, 0.5, 0.7, 0.9, 1.0, 1.2, 1.5)
NOT_DONE = 3
"""Exit status when time was up; the same command goes on."""


class Known(Value, frozen=True):
    """What was measured before anything is chosen.

    Args:
        device: that was measured.
        num_servers: of its one platform.
        times: of each path.
        validation: quality by which paths are chosen.
        test: quality by which they are judged.
    """

    device: str
    num_servers: int
    times: dict[str, ServiceTimes]
    validation: dict[str, Quality]
    test: dict[str, Quality]

    def menu(self, split: str, judge: str, only: tuple[str, ...] = ()) -> PathMenu:
        """The paths, with their quality on a split by one measure."""
        found = self.test if split == "test" else self.validation
        times = {name: own for name, own in self.times.items() if not only or name in only}
        return menu_of(times, {n: getattr(q, judge) for n, q in found.items()}, self.num_servers)


class TimeUpError(Exception):
    """The run was told to stop here."""


def main() -> None:
    options = _options()
    progress = _Log()
    stop_s = monotonic() + options.seconds if options.seconds else np.inf
    trial = PathsTrial(
        loads=options.loads,
        num_queries=options.queries,
        num_replications=options.replications,
        bound=not options.executed,
        seed=options.seed,
    )
    try:
        with PathsEngine(setup_of(options.out / "run")) as engine:
            known = _known(options, engine, trial, progress)
            trial = _trivial(trial, known)
            run = _runner(options, known, engine, trial, stop_s)
            _show(options, known, trial, run, progress)
    except TimeUpError:
        progress.log("time is up; the same command goes on from here")
        sys.exit(NOT_DONE)


def _known(
    options: argparse.Namespace, engine: PathsEngine, trial: PathsTrial, progress: Progress
) -> Known:
    """Quality and times of all paths, measured once."""
    file = options.out / f"known-{options.servers}.json"
    if file.exists():
        return read_json(file, Known)
    train(options.out / "run", options.rows, options.seed, progress)
    setup = engine.setup
    folders = (setup.models_folder, setup.dataset_folder)
    num_rows = len(load_dataset(setup.dataset_folder).test)
    known = Known(
        device=processor_name(),
        num_servers=options.servers,
        times=profiled(engine, options.servers, num_rows, options.seed, progress),
        validation=qualities(*folders, "validation", trial),
        test=qualities(*folders, "test", trial),
    )
    write_json(file, known)
    return known


def _trivial(trial: PathsTrial, known: Known) -> PathsTrial:
    """With the trivial predictor's accuracy on the test split."""
    trivial = next(iter(known.test.values())).trivial
    return msgspec.structs.replace(trial, trivial_quality=trivial)


def policies(menu: PathMenu) -> dict[str, SchedulerSpec]:
    """The usual ones, and every static plan with shedding."""
    fair: dict[str, SchedulerSpec] = {
        f"only {path.name}, shedding": SheddingLate(policy=FixedPath(index=number))
        for number, path in enumerate(menu.paths)
    }
    return fair | usual_policies(menu)


def executed(
    engine: PathsEngine, menu: PathMenu, num_rows: int, trial: PathsTrial, attempts: int
) -> Runner:
    """A runner that executes; a run that was disturbed is repeated."""
    engine.prepare(menu)

    def run(spec: SchedulerSpec, known: Conditions, stream: Stream, rate_qps: float) -> Outcome:
        rows = rng_for(trial.seed, "rows").integers(0, num_rows, stream.sizes.size)
        load = SizedLoad(stream.unit_times / rate_qps, rows, stream.sizes)
        found: PathsRun | None = None
        for _ in range(attempts):
            found = engine.run(load, spec, known, drain_s=5 * trial.deadline_s)
            if not found.polluted:
                break
        else:
            assert found is not None
            print(f"  disturbed: {found.disturbance.words}", file=sys.stderr, flush=True)
        return found.outcome

    return run


def kept(run: Runner, folder: Folder, stop_s: float) -> Runner:
    """A runner whose outcomes are kept in files; it stops when time is up.

    Raises:
        TimeUpError: from the runner, before a cell that is not there yet.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def again(spec: SchedulerSpec, known: Conditions, stream: Stream, rate_qps: float) -> Outcome:
        drawn = hashlib.sha256(stream.unit_times.tobytes() + stream.sizes.tobytes()).hexdigest()
        file = folder / f"{content_hash([spec, rate_qps, known.deadline_s, drawn])}.npz"
        names = [field.name for field in fields(Outcome)]
        if not file.exists():
            if monotonic() > stop_s:
                raise TimeUpError
            outcome = run(spec, known, stream, rate_qps)
            with replacing_file(file) as place, place.open("wb") as opened:
                np.savez(opened, **{name: getattr(outcome, name) for name in names})
        with np.load(file) as arrays:
            return Outcome(**{name: arrays[name] for name in names})

    return again


def _runner(
    options: argparse.Namespace,
    known: Known,
    engine: PathsEngine,
    trial: PathsTrial,
    stop_s: float,
) -> Runner:
    menu = known.menu("validation", options.judge, options.only)
    way = "executed" if options.executed else "simulated"
    cells = options.out / "cells" / f"{way}-{content_hash(menu)}"
    if not options.executed:
        return kept(simulated(menu, trial), cells, stop_s)
    num_rows = len(load_dataset(options.out / "run" / "data").test)
    return kept(executed(engine, menu, num_rows, trial, options.attempts), cells, stop_s)


def carried_qps(
    menu: PathMenu, trial: PathsTrial, run: Runner, progress: Progress
) -> tuple[str, float]:
    """The best static plan and the highest load that it carried with 99 % in time, by halving."""
    stream, known = draw_stream(menu, trial, 0), earlier_queries(menu, trial)
    name, guess_qps = best_static(menu, trial, stream)
    low, high = 0.5, 2.0  # of the simulated capacity
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        outcome = run(FixedPath(index=menu.index(name)), known, stream, middle * guess_qps)
        late = float((outcome.after(trial.warmup).latency_s > trial.deadline_s).mean())
        low, high = (middle, high) if late <= 0.01 else (low, middle)
    progress.log(f"{name} carries {low * guess_qps:.0f} queries/s, simulated {guess_qps:.0f}")
    return name, low * guess_qps


def _show(
    options: argparse.Namespace, known: Known, trial: PathsTrial, run: Runner, progress: Progress
) -> None:
    """All runs, then what they delivered by both measures of quality."""
    menu = known.menu("validation", options.judge, options.only)
    way = "executed" if options.executed else "simulated"
    results: dict[str, TrialResult] = {}
    static = carried_qps(menu, trial, run, progress) if options.executed else None
    for judge in ("ndcg", "accuracy"):
        judged = known.menu("test", judge, options.only)
        bounded = msgspec.structs.replace(trial, bound=trial.bound and judge == "ndcg")
        results[judge] = run_trial(
            menu,
            bounded,
            policies(menu),
            run,
            judged=judged,
            static=static,
            executed=options.executed,
            progress=progress,
        )
        write_json(_result_file(options, way, judge), results[judge])
    names = ", ".join(path.name for path in menu.paths)
    print(
        f"\n{known.device}, {known.num_servers} servers; chosen by {options.judge} on validation, "
        f"judged on test; {trial.num_queries} queries, {trial.num_replications} replications; "
        f"paths: {names}"
    )
    for table in joint_tables(results["ndcg"], results["accuracy"], _bounds(options)):
        Console(width=190).print(draw_table(table))

    figure = options.out / f"{way}{'-part' if options.only else ''}.png"
    shown = [name for name in DRAWN if name in policies(menu)]
    bounds = tuple(_bounds(options).items())
    delivered_figure(results["ndcg"], shown, bounds).save_png(figure)


def _result_file(options: argparse.Namespace, way: str, judge: str) -> Folder:
    menu = f"-{len(options.only)}" if options.only else ""
    found: Folder = options.out / f"{way}-by-{judge}{menu}.json"
    return found


def _bounds(options: argparse.Namespace) -> dict[float, float]:
    """Of delivered NDCG by load, from the simulated experiment where that was run."""
    file = _result_file(options, "simulated", "ndcg")
    if not file.exists():
        return {}
    loads = read_json(file, TrialResult).loads
    return {load.load: load.bound for load in loads if load.bound is not None}


class _Log(Progress):
    def log(self, line: str) -> None:
        print(f"  {line}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Folder, required=True, help="folder of the run")
    parser.add_argument("--rows", type=int, default=400_000, help="of the generated click log")
    parser.add_argument("--servers", type=int, default=1, help="each on a core of its own")
    parser.add_argument("--executed", action="store_true", help="execute instead of simulating")
    parser.add_argument("--judge", choices=("ndcg", "accuracy"), default="ndcg", help="quality")
    names = ", ".join(served.name for served in SERVED)
    parser.add_argument("--only", default="", help=f"paths, separated by ;, of: {names}")
    parser.add_argument("--loads", default=",".join(map(str, LOADS)), help="of capacities")
    parser.add_argument("--queries", type=int, default=10_000, help="of a cell")
    parser.add_argument("--replications", type=int, default=3)
    parser.add_argument("--attempts", type=int, default=6, help="of a disturbed executed run")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after; 0 never")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.loads = tuple(float(load) for load in options.loads.split(","))
    options.only = tuple(filter(None, options.only.split(";")))
    return options


if __name__ == "__main__":
    main()
