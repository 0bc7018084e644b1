"""The set of paths: exact against trying all of them, and every candidate's fate explained."""

import dataclasses
import itertools
from pathlib import Path

import msgspec
import numpy as np
import pytest

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StorageError, StudyError
from recfunnel.core.servable import PathStation, ServablePath, ServiceTimes
from recfunnel.core.workload import ServiceLevel
from recfunnel.plan.paths.greedy import greedy_mapping
from recfunnel.plan.paths.plan import load_path_plan, plan_paths, save_path_plan
from recfunnel.plan.paths.problem import (
    LoadLevel,
    MemoryPart,
    PathCandidate,
    PathProblem,
    PathTarget,
    size_classes,
)
from recfunnel.plan.paths.prune import prune
from recfunnel.plan.paths.routing import TIE, best_routing, capacity_qps
from recfunnel.plan.paths.search import best_set, capacity_objective, quality_objective
from recfunnel.plan.paths.simplex import maximise

linprog = pytest.importorskip("scipy.optimize").linprog

SIZES = np.array([10, 20, 40, 80])


def candidate(
    name: str,
    quality: float,
    slope_s: float,
    *,
    platform: str = "cpu",
    num_bytes: int = 1,
    parts: tuple[MemoryPart, ...] = (),
    also: str = "",
) -> PathCandidate:
    """A path of 1 ms and a slope a candidate; its tail is twice that."""
    grid = (1, 100)
    median_s = tuple(1e-3 + slope_s * n for n in grid)
    service = ServiceTimes(
        num_candidates=grid, median_s=median_s, tail_s=tuple(2 * s for s in median_s)
    )
    stations = tuple(
        PathStation(platform=p, service=service, num_servers=2 if p == "cpu" else 1)
        for p in (platform, *filter(None, [also]))
    )
    path = ServablePath(
        name=name,
        quality=quality,
        stations=stations,
        resident_bytes=tuple((s.platform, num_bytes) for s in stations),
    )
    return PathCandidate(path=path, parts=parts)


def problem_of(
    candidates: list[PathCandidate],
    rate_qps: float = 100.0,
    memory: int = 10,
    deadline_s: float = 0.1,
    **options: float,
) -> PathProblem:
    target = PathTarget(
        loads=(LoadLevel(rate_qps=rate_qps),),
        service_level=ServiceLevel(deadline_s=deadline_s),
        **options,
    )
    return PathProblem(
        tuple(candidates), {"cpu": memory, "gpu": memory}, size_classes(SIZES, 2), target
    )


def drawn(seed: int, num_candidates: int = 7) -> PathProblem:
    """A random problem in which memory, deadline and load all bind now and then."""
    rng = np.random.default_rng(seed)
    candidates = []
    for number in range(num_candidates):
        platform = str(rng.choice(["cpu", "gpu"]))
        also = "gpu" if platform == "cpu" and rng.random() < 0.3 else ""
        shared = MemoryPart(platform=platform, name="table", num_bytes=3)
        own = MemoryPart(
            platform=also or platform, name=f"own {number}", num_bytes=int(rng.integers(1, 6))
        )
        candidates.append(
            candidate(
                f"p{number}",
                float(np.round(rng.uniform(0.5, 0.8), 3)),
                float(rng.choice([1e-5, 5e-5, 2e-4, 1e-3])),
                platform=platform,
                also=also,
                parts=(shared, own) if rng.random() < 0.5 else (own,),
            )
        )
    loads = (
        LoadLevel(rate_qps=float(rng.uniform(20, 200))),
        LoadLevel(rate_qps=float(rng.uniform(100, 900)), weight=0.5),
    )
    target = PathTarget(loads=loads, service_level=ServiceLevel(deadline_s=0.06))
    memory = {"cpu": int(rng.integers(3, 12)), "gpu": int(rng.integers(3, 12))}
    return PathProblem(tuple(candidates), memory, size_classes(SIZES, 3), target)


def by_library(problem: PathProblem, chosen: tuple[int, ...], rate_qps: float) -> float | None:
    """The routing programme in another library's words."""
    num_paths, num_classes = problem.in_time.shape
    gains = np.repeat(problem.quality, num_classes)
    busy = rate_qps * problem.busy_s.transpose(1, 0, 2).reshape(len(problem.platforms), -1)
    serve = np.tile(np.eye(num_classes), num_paths)
    usable = problem.in_time & np.isin(np.arange(num_paths), chosen)[:, np.newaxis]
    found = linprog(
        -gains,
        A_ub=busy,
        b_ub=problem.target.utilisation_limit * problem.servers,
        A_eq=serve,
        b_eq=problem.weights,
        bounds=[(0, None if allowed else 0) for allowed in usable.reshape(-1)],
    )
    return -float(found.fun) if found.success else None


def best_by_trying_all(problem: PathProblem) -> float | None:
    levels = problem.target.loads
    total = sum(level.weight for level in levels)
    best: float | None = None
    everything = range(len(problem.candidates))
    for size in range(1, len(problem.candidates) + 1):
        for chosen in itertools.combinations(everything, size):
            if not problem.fits(chosen):
                continue
            values = [by_library(problem, chosen, level.rate_qps) for level in levels]
            if None in values:
                continue
            weighted = zip(levels, values, strict=True)
            value = sum(level.weight * v for level, v in weighted if v is not None) / total
            best = value if best is None else max(best, value)
    return best


def test_the_best_set_is_that_of_trying_all() -> None:
    outcomes = []
    for seed in range(30):
        problem = drawn(seed)
        kept, _ = prune(problem)
        found, expected = (
            best_set(problem, quality_objective(problem), kept),
            best_by_trying_all(problem),
        )
        assert (found is None) == (expected is None), seed
        if found is not None and expected is not None:
            assert found.value == pytest.approx(expected, abs=3 * TIE), seed
            assert problem.fits(found.chosen)
            outcomes.append(len(found.chosen))
    assert {1, 2} < set(outcomes), "the drawn problems must need sets of several sizes"
    assert 5 < len(outcomes) < 30, "some of the drawn problems must be infeasible"


def test_the_highest_capacity_is_that_of_trying_all() -> None:
    for seed in range(15):
        problem = drawn(seed)
        everything = range(len(problem.candidates))
        sets = itertools.chain.from_iterable(
            itertools.combinations(everything, size) for size in range(1, len(everything) + 1)
        )
        expected = max(capacity_qps(problem, s)[0] if problem.fits(s) else 0.0 for s in sets)
        found = best_set(problem, capacity_objective(problem), everything)
        assert (found.value if found else 0.0) == pytest.approx(expected)


def test_routing_is_that_of_another_library() -> None:
    served = 0
    for seed in range(60):
        problem = drawn(seed)
        everything = tuple(range(len(problem.candidates)))
        found = best_routing(problem, everything, 150.0)
        expected = by_library(problem, everything, 150.0)
        assert (found is None) == (expected is None)
        if found is not None:
            served += 1
            assert found.quality == pytest.approx(expected, abs=2 * TIE)
            assert found.shares.sum(axis=0) == pytest.approx(problem.weights)
            assert (found.utilisation <= problem.target.utilisation_limit + 1e-9).all()
            assert not found.shares[~problem.in_time].any()
    assert served > 20


def test_capacity_is_where_routing_ends() -> None:
    for seed in range(20):
        problem = drawn(seed)
        everything = tuple(range(len(problem.candidates)))
        rate_qps, _ = capacity_qps(problem, everything)
        if rate_qps > 0:
            assert best_routing(problem, everything, 0.999 * rate_qps) is not None
            assert best_routing(problem, everything, 1.001 * rate_qps) is None


def test_slow_accurate_and_fast_poor_share_a_load_that_neither_serves_well_alone() -> None:
    good, fast = candidate("good", 0.8, 2e-4), candidate("fast", 0.7, 1e-5)
    plan = plan_paths(problem_of([good, fast], rate_qps=500.0))
    assert plan.menu is not None
    assert [path.name for path in plan.menu.paths] == ["good", "fast"]
    assert 0.7 < plan.quality < 0.8
    # the slowest queries take the fast path: a second of it saves most there
    shares = {s.path: s.by_class for s in plan.routing[0].shares}
    assert shares["fast"][1] > shares["fast"][0]
    assert dict(plan.routing[0].utilisation)["cpu"] == pytest.approx(0.8)
    single = plan.alternatives[1]
    assert single.paths == ("fast",)
    assert single.quality == pytest.approx(0.7)


def test_of_equally_good_paths_the_fast_one_serves() -> None:
    slow, fast = candidate("slow", 0.8, 2e-4), candidate("fast", 0.8, 1e-4, num_bytes=2)
    plan = plan_paths(problem_of([slow, fast]))
    assert plan.menu is not None
    assert [path.name for path in plan.menu.paths] == ["fast"]
    assert plan.reserve == ()


def test_a_shared_table_is_paid_once() -> None:
    table = MemoryPart(platform="cpu", name="table", num_bytes=8)
    extra = MemoryPart(platform="cpu", name="extra", num_bytes=2)
    both = [
        candidate("fast", 0.7, 1e-5, parts=(table,)),
        candidate("good", 0.8, 2e-4, parts=(table, extra)),
    ]
    problem = problem_of(both, rate_qps=500.0, memory=10)
    assert problem.bytes_of([0, 1]) == {"cpu": 10, "gpu": 0}
    plan = plan_paths(problem)
    assert plan.menu is not None
    assert len(plan.menu.paths) == 2


def test_every_candidate_that_is_left_out_says_why() -> None:
    candidates = [
        candidate("chosen", 0.8, 1e-5, num_bytes=9),
        candidate("too large", 0.9, 1e-5, num_bytes=11),
        candidate("too slow", 0.9, 1e-2),
        candidate("dominated", 0.7, 2e-5, num_bytes=9),
        candidate("displaced", 0.79, 5e-6, num_bytes=8),
        candidate("unused", 0.75, 1.5e-5),
        candidate("in reserve", 0.7, 1e-6, platform="gpu"),
    ]
    problem = problem_of(candidates)
    plan = plan_paths(problem)
    reasons = {left.name: left for left in plan.left_out}
    assert {name: left.reason for name, left in reasons.items()} == {
        "too large": "memory",
        "too slow": "deadline",
        "dominated": "dominated",
        "displaced": "displaced",
        "unused": "unused",
    }
    assert plan.reserve == ("in reserve",)
    large = reasons["too large"].shortfall
    assert large is not None
    assert (large.needed, large.available) == (11, 10)
    assert "chosen is as good" in reasons["dominated"].words
    assert reasons["displaced"].quality_with == pytest.approx(0.79)


def test_room_that_is_left_goes_to_what_carries_most() -> None:
    good, fast = candidate("good", 0.8, 2e-4, num_bytes=6), candidate("fast", 0.7, 1e-5)
    slow = candidate("slow", 0.7, 9e-5, num_bytes=2)
    plan = plan_paths(problem_of([good, fast, slow], memory=8))
    assert plan.reserve == ("fast",)
    assert plan.quality == pytest.approx(0.8)
    assert [s.path for s in plan.routing[0].shares if sum(s.by_class) > 0] == ["good"]
    assert plan.capacity_qps == pytest.approx(0.8 * 2 / 1.375e-3)
    full = plan_paths(problem_of([good, fast, slow], memory=6))
    assert full.reserve == ()


def test_dropping_dominated_candidates_loses_nothing() -> None:
    dropped = 0
    for seed in range(40):
        problem = drawn(seed, num_candidates=9)
        kept, left = prune(problem)
        dropped += sum(one.reason == "dominated" for one in left)
        objective = quality_objective(problem)
        few = best_set(problem, objective, kept)
        everything = [p for p in range(len(problem.candidates)) if problem.fits([p])]
        many = best_set(problem, objective, everything)
        assert (few is None) == (many is None)
        if few is not None and many is not None:
            assert few.value == pytest.approx(many.value, abs=1e-9)
    assert dropped > 20


def test_of_two_equal_candidates_one_is_kept() -> None:
    problem = problem_of([candidate("a", 0.7, 1e-5), candidate("b", 0.7, 1e-5)])
    kept, left = prune(problem)
    assert kept == (0,)
    assert left[0].reason == "dominated"


@pytest.mark.parametrize(
    ("candidates", "options", "requirement", "unit"),
    [
        ([candidate("a", 0.7, 1e-5, num_bytes=11)], {}, "memory on 'cpu' for 'a'", "bytes"),
        ([candidate("a", 0.7, 1e-3)], {"deadline_s": 0.05}, "with 80 candidates", "s"),
        ([candidate("a", 0.7, 1e-5)], {"rate_qps": 1e4}, "load served", "queries/s"),
        (
            [
                candidate("a", 0.7, 1e-5, platform="gpu", num_bytes=6),
                candidate("b", 0.8, 1e-5, num_bytes=20),
            ],
            {"rate_qps": 900.0},
            "memory on 'cpu' for paths that carry 900",
            "bytes",
        ),
    ],
)
def test_infeasible_names_what_binds(
    candidates: list[PathCandidate], options: dict[str, float], requirement: str, unit: str
) -> None:
    plan = plan_paths(problem_of(candidates, **options))
    assert plan.menu is None
    lack = plan.shortfall
    assert lack is not None
    assert requirement in lack.requirement
    assert lack.unit == unit
    assert lack.remedies
    # too much is needed where it is memory or load, too long is taken where it is time
    assert lack.available > lack.needed if unit == "s" else lack.needed > lack.available


def test_a_computed_deadline_is_one_that_does() -> None:
    slow_and_fast = [candidate("good", 0.8, 1e-5), candidate("gpu", 0.7, 1e-3, platform="gpu")]
    problem = problem_of(slow_and_fast, rate_qps=1190.0, deadline_s=0.01)
    plan = plan_paths(problem)
    assert plan.shortfall is not None
    remedy = next(text for text in plan.shortfall.remedies if "deadline" in text)
    deadline_s = 1.001e-3 * float(remedy.split()[3])
    level = ServiceLevel(deadline_s=deadline_s)
    later = msgspec.structs.replace(problem.target, service_level=level)
    assert plan_paths(dataclasses.replace(problem, target=later)).menu is not None


def test_the_recalled_greedy_mapping_looks_at_accuracy_first_and_never_at_load() -> None:
    candidates = [
        candidate("table", 0.70, 1e-5, num_bytes=6),
        candidate("dhe", 0.75, 3e-4, num_bytes=1),
        candidate("hybrid", 0.80, 4e-4, num_bytes=7),
    ]
    roomy, tight = problem_of(candidates, memory=14), problem_of(candidates, memory=9)
    assert roomy.names(greedy_mapping(roomy)) == ("table", "dhe", "hybrid")
    assert tight.names(greedy_mapping(tight)) == ("dhe", "hybrid")
    least = problem_of(candidates, memory=2)
    assert least.names(greedy_mapping(least)) == ("dhe",)
    busy = plan_paths(problem_of(candidates, memory=9, rate_qps=1000.0))
    greedy = busy.alternatives[0]
    assert greedy.quality is None
    assert busy.quality > 0


def test_ours_is_never_below_the_greedy_mapping() -> None:
    above = 0
    for seed in range(40):
        plan = plan_paths(drawn(seed))
        greedy = plan.alternatives[0].quality
        if greedy is not None:
            assert plan.quality >= greedy - 1e-9
        above += plan.menu is not None and (greedy is None or plan.quality > greedy + 1e-6)
    assert above > 3


def test_a_plan_is_a_file_that_notices_a_change(tmp_path: Path) -> None:
    plan = plan_paths(problem_of([candidate("a", 0.7, 1e-5), candidate("b", 0.8, 2e-4)]))
    file = tmp_path / "paths.json"
    save_path_plan(file, plan)
    assert load_path_plan(file) == plan
    file.write_text(file.read_text().replace('"quality": 0.8', '"quality": 0.81', 1))
    with pytest.raises(StorageError, match="content hash does not match"):
        load_path_plan(file)


def test_sizes_are_cut_into_classes_that_keep_every_query() -> None:
    rng = np.random.default_rng(0)
    sizes = np.ceil(rng.lognormal(4.6, 0.7, 1000)).astype(np.int64)
    classes = size_classes(sizes, 8)
    assert sum(c.weight for c in classes) == pytest.approx(1)
    assert sorted(n for c in classes for n in c.sizes) == sorted(sizes.tolist())
    assert [c.largest for c in classes] == sorted({c.largest for c in classes})
    assert len(size_classes(np.full(10, 7), 8)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"candidates": (candidate("a", 0.7, 1e-5, platform="tpu"),)},
            "'a' uses platform 'tpu', whose memory is not stated; known: cpu, gpu",
        ),
        (
            {
                "candidates": tuple(
                    candidate(
                        name,
                        0.7,
                        1e-5,
                        parts=(MemoryPart(platform="cpu", name="t", num_bytes=size),),
                    )
                    for name, size in (("a", 1), ("b", 2))
                )
            },
            "part 't' has 1 and 2 bytes on 'cpu'",
        ),
        (
            {
                "target": PathTarget(
                    loads=(LoadLevel(rate_qps=1.0),),
                    service_level=ServiceLevel(deadline_s=1.0, quantile=0.999),
                )
            },
            "profiled to its 0.99 quantile on 'cpu', the service level promises 0.999",
        ),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        dataclasses.replace(problem_of([candidate("x", 0.7, 1e-5)]), **change)


def test_simplex_by_hand() -> None:
    def best(gains: list[float], fill: tuple[int, ...] = ()) -> tuple[float, DoubleArray] | None:
        rows = np.array([[1.0, 1.0], [1.0, 3.0]])
        found = maximise(np.array(gains), rows, np.array([4.0, 6.0]), fill)
        return None if found is None else (found.value, found.point)

    value, point = best([3.0, 5.0]) or (0.0, np.zeros(2))
    assert value == pytest.approx(14)
    assert point == pytest.approx([3, 1])
    value, point = best([1.0, -1.0], fill=(0, 1)) or (0.0, np.zeros(2))
    assert point == pytest.approx([3, 1])
    assert value == pytest.approx(2)
