"""Predicted against measured p50, p99 and throughput of the models in a run folder.

    python benchmarks/predicted_vs_measured.py RUN [--stages ease,rerank] [--sizes 512,64]

Profiles the models, simulates the pipeline on three mappings of two cores (two servers of one
thread; one server of two threads; two stations of one server), executes each for real and prints
one table a mapping. Meant for a quiet machine: it says when it was not.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path as Folder

from recfunnel.core.dataset import load_dataset
from recfunnel.core.pipeline import Mapping, Path, Pipeline, Station, pipeline_of, stage_scorers
from recfunnel.core.storage import read_json
from recfunnel.core.workload import ServiceLevel, Workload
from recfunnel.plan.prediction import predict_path
from recfunnel.plan.verify import Trial, Verification, verify_path
from recfunnel.profile.measure import measure_profiles
from recfunnel.profile.request import ProfileRequest, sizes_of
from recfunnel.runtime.cascade import needed_models
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.messages import ServingSetup
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.workload.fixed import Fixed
from recfunnel.workload.poisson import Poisson


def main() -> None:
    options = _options()
    dataset = load_dataset(options.run / "data")
    inputs = _score_inputs(options.run / "models")
    stages = tuple(options.stages.split(","))
    sizes = (dataset.test.num_columns, *map(int, options.sizes.split(",")))
    pipeline = pipeline_of(stages, sizes)
    needed_models(stages, inputs)
    setup = ServingSetup(
        {"torch": TorchEager()}, options.run / "models", options.run / "data", inputs
    )
    workload = Workload(
        arrivals=Poisson(), sizes=Fixed(), rate_qps=1.0, service_level=ServiceLevel(deadline_s=1.0)
    )
    trial = Trial(seconds=options.seconds, min_queries=options.queries, repeats=options.repeats)
    request = ProfileRequest(
        sizes=sizes_of([pipeline], inputs),
        num_threads=(1, 2),
        repetitions=400,
        seconds=options.profile_seconds,
    )
    with Engine(setup) as engine:
        began = time.perf_counter()
        profiles = measure_profiles(engine, request, dataset.test)
        print(f"profiled in {time.perf_counter() - began:.0f} s")
        for profile in profiles:
            rows = zip(profile.batch_sizes.tolist(), profile.latency_s, strict=True)
            means = ", ".join(f"{size}: {row.mean() * 1e3:.3f} ms" for size, row in rows)
            print(f"  {profile.model} {profile.num_threads}t  {means}  {' '.join(profile.notes)}")
        for path in _mappings(pipeline):
            scorers = stage_scorers(pipeline, inputs)
            prediction = predict_path(path, scorers, profiles, workload, options.seed)
            capacity_qps = prediction.load.capacity(_service_level(options)).mean
            found = verify_path(
                engine,
                path,
                prediction,
                capacity_qps,
                len(dataset.test),
                Poisson(),
                Fixed(),
                dataclasses.replace(trial, seed=options.seed),
            )
            _show(found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Folder, help="a run folder with data and models")
    parser.add_argument("--stages", default="ease,rerank", help="models, first stage first")
    parser.add_argument("--sizes", default="512,64", help="keep-counts, last is the answer")
    parser.add_argument("--seconds", type=float, default=5.0, help="least length of a run")
    parser.add_argument("--queries", type=int, default=3000, help="least queries of a run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile-seconds", type=float, default=20.0)
    parser.add_argument("--deadline-ms", type=float, default=25.0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _service_level(options: argparse.Namespace) -> ServiceLevel:
    return ServiceLevel(deadline_s=options.deadline_ms / 1e3)


def _score_inputs(models: Folder) -> dict[str, tuple[str, ...]]:
    folders = [folder for folder in sorted(models.iterdir()) if folder.is_dir()]
    if not folders:
        sys.exit(f"{models} holds no model")
    manifests = {folder.name: read_json(folder / "manifest.json", dict) for folder in folders}
    return {name: tuple(manifest["score_inputs"]) for name, manifest in manifests.items()}


def _mappings(pipeline: Pipeline) -> list[Path]:
    depth = len(pipeline.stages)
    together = [
        Station(platform="cpu", num_stages=depth, num_servers=2),
        Station(platform="cpu", num_stages=depth, num_threads=2),
    ]
    mappings = [Mapping(stations=(station,)) for station in together]
    if depth > 1:
        first = Station(platform="cpu", num_stages=1)
        rest = Station(platform="cpu", num_stages=depth - 1)
        mappings.append(Mapping(stations=(first, rest)))
    return [Path(pipeline=pipeline, mapping=mapping) for mapping in mappings]


def _show(found: Verification) -> None:
    print(f"\n{found.path.name}, predicted capacity {found.capacity_qps:.0f} queries/s")
    print(" load   rate   p50 pred/meas ms        p99 pred/meas ms          throughput  queries")
    for load in found.loads:
        medians = f"{load.predicted_p50_s.mean * 1e3:.2f}/{load.measured_p50_s.mean * 1e3:.2f}"
        predicted, measured = load.predicted_p99_s, load.measured_p99_s
        tails = (
            f"{predicted.mean * 1e3:.2f}±{predicted.stderr * 1e3:.2f}/"
            f"{measured.mean * 1e3:.2f}±{measured.stderr * 1e3:.2f}"
        )
        print(
            f" {load.load_fraction:4.0%} {load.rate_qps:6.0f}  {medians:12s}{load.p50_error:+6.1%}"
            f"   {tails:22s} {load.p99_error:+6.1%}   {load.throughput_error:+6.1%}"
            f"   {load.num_queries:6d}{'  POLLUTED' if load.polluted else ''} "
            f"{' '.join(load.notes)}"
        )
    print(f" worst p99 error up to 70 % load: {found.worst_p99_error():.1%}")


if __name__ == "__main__":
    main()
