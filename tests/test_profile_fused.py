"""Native stages are timed as they are served: inside the one call that runs them all."""

from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from recfunnel.core.dataset import load_dataset
from recfunnel.core.pipeline import Mapping, Station, pipeline_of
from recfunnel.core.pipeline import Path as ServedPath
from recfunnel.core.results import LatencyProfile
from recfunnel.profile.measure import measure_profiles
from recfunnel.profile.request import HAND_OVER, RESTED, WAKE_UP, ProfileRequest
from recfunnel.profile.service import draw_service
from recfunnel.profile.storage import load_profiles, save_profiles
from recfunnel.runtime.cascade import Cascade, OneByOne
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.native import Native
from recfunnel.runtime.native_stages import NativeStages
from recfunnel.runtime.runner import quickest
from recfunnel.runtime.server import stored_question, unmapped
from recfunnel.runtime.timing import FUSED_CALL, TOP_K
from recfunnel.study.planning import Planning
from recfunnel.study.run_folder import RunFolder
from tiny_study import tiny_study

SIZES = {"als": (40, 150), "ease": (40, 150), "reranker": (40,)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    with RunFolder(place) as folder:
        Planning(tiny_study(), folder).steps.train()
    return place


@pytest.fixture(scope="module")
def profiles(run: Path) -> tuple[LatencyProfile, ...]:
    names = {"native": Native(), "torch": tiny_study().runtimes["torch"]}
    with RunFolder(run) as folder:
        setup = Planning(tiny_study(), folder).setup()
    request = ProfileRequest(
        sizes=SIZES, runtimes=dict.fromkeys(SIZES, tuple(names)), repetitions=60, seconds=6
    )
    with Engine(setup) as engine:
        return measure_profiles(engine, request, load_dataset(run / "data").test)


def found(profiles: tuple[LatencyProfile, ...], model: str, runtime: str = "") -> LatencyProfile:
    (profile,) = [p for p in profiles if (p.model, p.runtime) == (model, runtime)]
    return profile


def test_models_on_the_native_runtime_are_timed_inside_the_call_and_others_are_not(
    profiles: tuple[LatencyProfile, ...], tmp_path: Path
) -> None:
    named = {(p.model, p.runtime) for p in profiles if not p.model.endswith(RESTED.suffix)}
    besides = {(name, "") for name in (TOP_K, FUSED_CALL, HAND_OVER, WAKE_UP)}
    assert named == {(model, on) for model in SIZES for on in ("native", "torch")} | besides
    for model, sizes in SIZES.items():
        assert found(profiles, model, "native").fused_sizes == sizes
        assert found(profiles, model, "torch").fused_sizes == ()
    save_profiles(tmp_path / "profiles", profiles)
    again = load_profiles(tmp_path / "profiles")
    assert [p.fused_sizes for p in again] == [p.fused_sizes for p in profiles]


def test_stages_and_the_call_around_them_add_up_to_what_a_whole_query_takes(
    run: Path, profiles: tuple[LatencyProfile, ...]
) -> None:
    """Within a factor, for queries that follow each other: a test must hold on a busy machine."""
    queries = unmapped(load_dataset(run / "data").test)
    pipeline = pipeline_of(("als", "reranker"), (150, 40, 10))
    inputs = {"als": (), "ease": (), "reranker": ("als", "ease")}
    models = {name: Native().load(run / "models" / name, queries.items) for name in inputs}
    stages = quickest(OneByOne(Cascade(pipeline, models, 150, inputs), range(2)))
    assert isinstance(stages, NativeStages)
    taken_s = []
    for row in np.arange(400) % len(queries):
        question = stored_question(queries, int(row))
        began = perf_counter()
        stages.run(question, None)
        taken_s.append(perf_counter() - began)
    native = [p for p in profiles if p.runtime in ("native", "")]
    free = [p for p in native if p.model != HAND_OVER]
    nothing = np.full_like(found(profiles, HAND_OVER).latency_s, 1e-12)
    free.append(
        LatencyProfile(HAND_OVER, "cpu", 1, np.array([1]), nothing, "measured"),
    )
    station = Station(platform="cpu", num_stages=2)
    path = ServedPath(pipeline=pipeline, mapping=Mapping(stations=(station,)))
    scorers = (("als",), ("ease", "reranker"))
    drawn_s = draw_service(path, scorers, free, np.ones(2000), np.random.default_rng(0))

    assert 0.5 < np.median(drawn_s) / np.median(taken_s) < 4
