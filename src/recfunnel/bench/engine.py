"""Measuring the engine: model after model, each on its workloads, libraries beside it.

Letters: B candidates a query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recfunnel.bench.backend import Backend, exact_scores
from recfunnel.bench.cascade import NUM_IN, Stages, library_cascades, our_cascades
from recfunnel.bench.machine import look_at_machine
from recfunnel.bench.model import build_model
from recfunnel.bench.ours import PRECISIONS, SCANNED, OurEngine
from recfunnel.bench.process_results import Resident, Steadiness
from recfunnel.bench.queries import Workload, catalogue_items, catalogue_workload, plain_workload
from recfunnel.bench.request import EngineRequest
from recfunnel.bench.resident import resident_memory
from recfunnel.bench.results import (
    CASCADE,
    ON_ONE_CORE,
    BackendResult,
    EngineResult,
    GroupResult,
    Machine,
    Missing,
    Precision,
    Way,
    our_name,
)
from recfunnel.bench.run import Run, Subject
from recfunnel.bench.shapes import DLRMShape, NeuMFShape, cardinalities, shape_named
from recfunnel.bench.steady import steady_calls
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Features
from recfunnel.core.progress import SILENT, Progress

FLAT_PAIRS = 1 << 17
"""Candidates in all the queries that libraries cycle through; ours cycle through more."""

USUAL, FEW = 1024, 256
"""Candidates of a query: of two cores, and of steady calls."""

ON_LARGEST: tuple[Precision, ...] = ("bfloat16",)
"""Precisions on the largest catalogue, whose records would not fit beside each other."""

KEPT = 256
"""The best a scan keeps."""

CASCADE_MODELS = ("RM_small", "RM_large")
IN_MEMORY = ("plain", "catalogue", "largest", "scan", "cores", "steady")
"""Parts that need a model of each kind in memory, one at a time."""


@dataclass(slots=True)
class _Measurement:
    """What all models share.

    Args:
        request: what to measure.
        machine: where.
        run: settings, libraries and what was left out.
        groups: measured so far.
        steadiness: measured so far.
    """

    request: EngineRequest
    machine: Machine
    run: Run
    groups: list[GroupResult]
    steadiness: list[Steadiness]

    def wants(self, *parts: str) -> bool:
        """Whether any of these parts is asked for."""
        return not set(parts).isdisjoint(self.request.parts)


def measure_engine(
    request: EngineRequest, cache: Path, progress: Progress = SILENT
) -> EngineResult:
    """Measure, one model in memory at a time.

    Args:
        request: what.
        cache: folder for what libraries compile.
        progress: told of everything.

    Returns:
        All that fits into memory, and what does not.

    Raises:
        StudyError: a number of rows that tables cannot have.
    """
    num_rows = sum(cardinalities(request.num_rows))
    run = Run(
        peers=request.peers,
        num_rounds=request.num_rounds,
        round_s=request.round_s,
        num_pairs=request.num_pairs,
        flat_pairs=FLAT_PAIRS,
        seed=request.seed,
        quick=request.quick,
        cache=cache,
        progress=progress,
    )
    found = _Measurement(request, look_at_machine(), run, [], [])
    resident = _resident(found)
    for name in request.models if found.wants(*IN_MEMORY) else ():
        _measure_model(found, name)
    if found.wants("cascade"):
        _cascade(found)
    return EngineResult(
        machine=found.machine,
        num_rows=num_rows,
        num_items=request.num_items,
        quick=request.quick,
        groups=tuple(found.groups),
        missing=tuple(dict.fromkeys(run.missing)),
        steadiness=tuple(found.steadiness),
        resident=resident,
    )


def _resident(found: _Measurement) -> tuple[Resident, ...]:
    """Before anything else is in memory."""
    request = found.request
    if not found.wants("memory"):
        return ()
    shapes = [s for s in map(shape_named, request.models) if isinstance(s, DLRMShape)]
    measured = []
    for shape in found.run.progress.track(shapes, "memory of a process"):
        try:
            measured.append(resident_memory(shape, request.num_rows, request.num_items))
        except StudyError as error:
            found.run.missing.append(Missing(name=f"{shape.name}, memory", why=str(error)))
    return tuple(measured)


def _measure_model(found: _Measurement, name: str) -> None:
    """One model in memory at a time."""
    request, shape = found.request, shape_named(name)
    try:
        model = build_model(shape, num_rows=request.num_rows, seed=request.seed)
    except StudyError as error:
        found.run.missing.append(Missing(name=shape.name, why=str(error)))
        return
    compared = found.wants("plain", "catalogue", "largest")
    subject = found.run.subject(model) if compared else Subject(model, OurEngine(model), [])
    if isinstance(shape, DLRMShape):
        found.groups += _plain(found, subject)
    for largest, num_items in ((False, request.num_items), (True, request.largest_items)):
        found.groups += _on_catalogue(found, subject, num_items, largest=largest)


def _plain(found: _Measurement, subject: Subject) -> Iterator[GroupResult]:
    if found.wants("plain"):
        for size in found.request.candidates:
            yield _group(found, subject, plain_workload(subject.model, found.run.draw(size)))
    if found.wants("cores"):
        yield _two_cores(found, subject, plain_workload(subject.model, found.run.draw(USUAL)))


def _on_catalogue(
    found: _Measurement, subject: Subject, num_items: int, *, largest: bool
) -> Iterator[GroupResult]:
    is_neumf = isinstance(subject.model.shape, NeuMFShape)
    if isinstance(subject.model.shape, NeuMFShape):
        num_items = subject.model.shape.num_items
    if not found.wants(*(("largest",) if largest else ("catalogue", "scan", "steady"))):
        return
    if is_neumf and (largest or not found.wants("catalogue")):
        return
    lack = subject.ours.lacks_memory_for(num_items, ON_LARGEST if largest else PRECISIONS)
    if lack:
        name = f"{subject.model.name}, {num_items:,} items"
        found.run.missing.append(Missing(name=name, why=lack))
        return
    items = catalogue_items(subject.model, num_items, found.request.seed)
    if largest or found.wants("catalogue"):
        for size in (USUAL,) if largest else found.request.candidates:
            if size <= num_items:
                workload = catalogue_workload(subject.model, items, found.run.draw(size))
                yield _group(found, subject, workload, largest=largest)
    if not largest and not is_neumf:
        if found.wants("scan"):
            yield _scan(found, subject, items)
        if found.wants("steady"):
            found.steadiness.append(_steady(found, subject, items))
    subject.ours.forget_records()


def _steady(found: _Measurement, subject: Subject, items: Features) -> Steadiness:
    draw = found.run.draw(min(FEW, len(items)))
    workload = catalogue_workload(subject.model, items, draw)
    return steady_calls(subject.model, subject.ours, workload, found.request.num_steady)


def _group(
    found: _Measurement, subject: Subject, workload: Workload, *, largest: bool = False
) -> GroupResult:
    """Libraries and ours on the same queries, one core each."""
    exact = exact_scores(subject.model, workload)
    ways: tuple[Way, ...] = ("plain", "hoisted", "compiled")
    precisions = ON_LARGEST if largest else PRECISIONS
    names = {our_name(way, precision) for way in ways for precision in precisions}
    backends = found.run.libraries(subject, workload)
    backends += subject.ours.backends(workload, exact, names)
    num_items = 0 if workload.setting == "plain" else len(workload.items)
    return _timed(
        found, subject.model.name, workload, backends, num_items=num_items, largest=largest
    )


def _two_cores(found: _Measurement, subject: Subject, workload: Workload) -> GroupResult:
    exact, ours = exact_scores(subject.model, workload), subject.ours
    backends = [
        ours.on_cores(workload, exact, 1, ON_ONE_CORE),
        ours.on_cores(workload, exact, 2),
        ours.side_by_side(workload, exact, 2),
    ]
    return _timed(found, subject.model.name, workload, backends, num_threads=2)


def _scan(found: _Measurement, subject: Subject, items: Features) -> GroupResult:
    size = len(items)
    workload = catalogue_workload(subject.model, items, found.run.draw(min(USUAL, size)))
    backends = list(subject.ours.scans(workload, min(KEPT, size)))
    name = subject.model.name
    return _timed(found, name, workload, backends, num_items=size, num_candidates=size)


def _cascade(found: _Measurement) -> None:
    """Both models in memory, and the records of both."""
    request, run = found.request, found.run
    asked = {shape_named(name).name for name in request.models}
    if not asked.issuperset(CASCADE_MODELS):
        run.missing.append(Missing(name=CASCADE, why="needs the models RM_small and RM_large"))
        return
    try:
        models = [
            build_model(shape_named(name), num_rows=request.num_rows, seed=request.seed)
            for name in CASCADE_MODELS
        ]
    except StudyError as error:
        run.missing.append(Missing(name=CASCADE, why=str(error)))
        return
    small, large = map(run.subject, models)
    for subject in (small, large):
        lack = subject.ours.lacks_memory_for(request.num_items, SCANNED)
        if lack:
            run.missing.append(Missing(name=CASCADE, why=lack))
            return
    items = catalogue_items(small.model, request.num_items, request.seed)
    workload = catalogue_workload(small.model, items, run.draw(min(NUM_IN, len(items))))
    stages = Stages(small, large, workload)
    backends = [*library_cascades(stages), *our_cascades(stages)]
    found.groups.append(_timed(found, CASCADE, workload, backends, num_items=len(items)))


def _timed(
    found: _Measurement,
    name: str,
    workload: Workload,
    backends: Sequence[Backend],
    *,
    num_items: int = 0,
    num_candidates: int | None = None,
    num_threads: int = 1,
    largest: bool = False,
) -> GroupResult:
    size = workload.candidates.shape[1] if num_candidates is None else num_candidates
    label = f"{name}: {workload.setting}, {size:,} candidates"
    turns = found.run.take_turns(backends, label)
    results = []
    for backend in backends:
        timing = turns.timings[backend.name]
        share = None
        if backend.bound is not None and num_threads == 1:
            share = backend.bound.least_s(found.machine, backend.precision) / timing.median_s
        results.append(
            BackendResult(
                name=backend.name,
                way=backend.way,
                precision=backend.precision,
                timing=timing,
                error=backend.error,
                roof_share=share,
            )
        )
    return GroupResult(
        model=name,
        setting=workload.setting,
        num_candidates=size,
        num_items=num_items,
        largest=largest,
        num_threads=num_threads,
        backends=tuple(results),
        foreign_share=turns.noise.foreign_share,
        steal_share=turns.noise.steal_share,
    )
