"""Measuring the engine: model after model, each on its workloads, libraries beside it.

Letters: B candidates a query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from recfunnel.bench.backend import Backend, exact_scores, load_peers, peer_backend
from recfunnel.bench.interleave import interleave
from recfunnel.bench.machine import look_at_machine
from recfunnel.bench.model import BenchModel, build_model
from recfunnel.bench.ours import PRECISIONS, OurEngine
from recfunnel.bench.peer import LoadedPeer, Peer
from recfunnel.bench.peers import peers_named, usable_peers
from recfunnel.bench.queries import (
    Draw,
    Workload,
    catalogue_items,
    catalogue_workload,
    flat_queries,
    plain_workload,
)
from recfunnel.bench.results import (
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
from recfunnel.bench.roof import call_bound
from recfunnel.bench.shapes import NeuMFShape, cardinalities, shape_named
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Features
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.spec import Value

Part = Literal["plain", "catalogue", "largest", "scan", "cores"]
"""Features of each candidate's own; a catalogue; the largest catalogue; the whole catalogue for one
query; two cores against one."""

PARTS: tuple[Part, ...] = ("plain", "catalogue", "largest", "scan", "cores")
FLAT_PAIRS = 1 << 17
"""Candidates in all the queries that libraries cycle through; ours cycle through more."""

USUAL = 1024
ON_LARGEST: tuple[Precision, ...] = ("bfloat16",)
"""Precisions on the largest catalogue, whose records would not fit beside each other."""

KEPT = 256
"""The best a scan keeps."""


class EngineRequest(Value, frozen=True):
    """What to measure.

    Args:
        models: names of shapes.
        parts: of the measurement.
        candidates: a query, for plain and catalogue.
        num_items: of the usual catalogue.
        largest_items: of the largest.
        num_rows: of a DLRM's tables, about; None for the full size.
        peers: names of libraries; none for all.
        num_rounds: of turns.
        round_s: for each back-end in a round.
        num_pairs: candidates in all queries of a workload together, about.
        seed: of everything random.
        quick: leave out libraries that take minutes to set up.
    """

    models: tuple[str, ...] = ("RM_small", "RM_med", "RM_large", "NeuMF_large")
    parts: tuple[Part, ...] = PARTS
    candidates: tuple[int, ...] = (1, 256, 1024, 4096)
    num_items: int = 10**6
    largest_items: int = 10**7
    num_rows: int | None = None
    peers: tuple[str, ...] = ()
    num_rounds: int = 7
    round_s: float = 0.05
    num_pairs: int = 1 << 20
    seed: int = 0
    quick: bool = False

    def __post_init__(self) -> None:
        for what, value, least in (
            ("candidates", min(self.candidates, default=1), 1),
            ("items", self.num_items, 1),
            ("items of the largest catalogue", self.largest_items, 1),
            ("rounds", self.num_rounds, 1),
            ("candidates in all queries", self.num_pairs, 1),
        ):
            if value < least:
                raise StudyError(f"{value} {what}, must be at least {least}")
        if not self.round_s > 0:
            raise StudyError(f"{self.round_s:g} s for a round, must be above 0")
        for name in self.models:
            shape_named(name)
        peers_named(self.peers)


QUICK = EngineRequest(
    models=("RM_small", "RM_large", "NeuMF_large"),
    parts=("plain", "catalogue", "scan", "cores"),
    candidates=(1, 256, 1024),
    num_items=20_000,
    num_rows=200_000,
    num_rounds=5,
    round_s=0.01,
    num_pairs=1 << 17,
    quick=True,
)
"""A first look in less than a minute, on tables that fit anywhere: not the targets' sizes."""


@dataclass(slots=True)
class _Run:
    """What all parts of a run share.

    Args:
        request: what to measure.
        machine: where.
        cache: for what libraries compile.
        progress: told of everything.
        missing: what was left out so far.
    """

    request: EngineRequest
    machine: Machine
    cache: Path
    progress: Progress
    missing: list[Missing] = field(default_factory=list)

    def draw(self, num_candidates: int) -> Draw:
        """How queries of that size are drawn."""
        return Draw(num_candidates, self.request.num_pairs, self.request.seed)


@dataclass(frozen=True, slots=True)
class _Subject:
    """One model, with everything that runs it."""

    model: BenchModel
    ours: OurEngine
    peers: list[tuple[Peer, LoadedPeer]]


def measure_engine(
    request: EngineRequest, cache: Path, progress: Progress = SILENT
) -> EngineResult:
    """Measure, one model in memory at a time.

    Args:
        request: what.
        cache: folder for what libraries compile.
        progress: told of everything.

    Returns:
        All of it.

    Raises:
        StudyError: tables that do not fit into memory.
    """
    run = _Run(request, look_at_machine(), cache, progress)
    groups: list[GroupResult] = []
    for name in request.models:
        groups += _measure_model(run, name)
    return EngineResult(
        machine=run.machine,
        num_rows=sum(cardinalities(request.num_rows)),
        num_items=request.num_items,
        quick=request.quick,
        groups=tuple(groups),
        missing=tuple(dict.fromkeys(run.missing)),
    )


def _measure_model(run: _Run, name: str) -> list[GroupResult]:
    shape = shape_named(name)
    model = build_model(shape, num_rows=run.request.num_rows, seed=run.request.seed)
    asked = peers_named(run.request.peers)
    usable, missing = usable_peers(asked, model, quick=run.request.quick)
    loaded, failed = load_peers(usable, model, run.cache, run.progress)
    run.missing += [*missing, *failed]
    subject = _Subject(model, OurEngine(model), loaded)
    groups: list[GroupResult] = []
    if not isinstance(shape, NeuMFShape) and "plain" in run.request.parts:
        groups += _plain(run, subject)
    for largest, num_items in ((False, run.request.num_items), (True, run.request.largest_items)):
        groups += _on_catalogue(run, subject, num_items, largest=largest)
    return groups


def _plain(run: _Run, subject: _Subject) -> Iterator[GroupResult]:
    for size in run.request.candidates:
        workload = plain_workload(subject.model, run.draw(size))
        yield _group(run, subject, workload)
        if "cores" in run.request.parts and size == USUAL:
            yield _two_cores(run, subject, workload)


def _on_catalogue(
    run: _Run, subject: _Subject, num_items: int, *, largest: bool
) -> Iterator[GroupResult]:
    parts = run.request.parts
    if isinstance(subject.model.shape, NeuMFShape):
        if largest:
            return
        num_items = subject.model.shape.num_items
    if not ({"largest"} if largest else {"catalogue", "scan"}) & set(parts):
        return
    precisions = ON_LARGEST if largest else PRECISIONS
    lack = subject.ours.lacks_memory_for(num_items, precisions)
    if lack:
        run.missing.append(Missing(name=f"{subject.model.name}, {num_items:,} items", why=lack))
        return
    items = catalogue_items(subject.model, num_items, run.request.seed)
    if "catalogue" in parts or largest:
        for size in (USUAL,) if largest else run.request.candidates:
            if size > num_items:
                continue
            workload = catalogue_workload(subject.model, items, run.draw(size))
            yield _group(run, subject, workload, largest=largest)
    if "scan" in parts and not largest and not isinstance(subject.model.shape, NeuMFShape):
        yield _scan(run, subject, items)
    subject.ours.forget_records()


def _group(
    run: _Run, subject: _Subject, workload: Workload, *, largest: bool = False
) -> GroupResult:
    """Libraries and ours on the same queries, one core each."""
    model, size = subject.model, workload.candidates.shape[1]
    exact = exact_scores(model, workload)
    as_written = call_bound(model.graph("plain"), model.parameters, size)
    flat = list(flat_queries(model, workload, max(16, FLAT_PAIRS // size))) if subject.peers else []
    backends = [peer_backend(peer, ready, flat, exact, as_written) for peer, ready in subject.peers]
    ways: tuple[Way, ...] = ("plain", "hoisted", "compiled")
    precisions = ON_LARGEST if largest else PRECISIONS
    names = {our_name(way, precision) for way in ways for precision in precisions}
    backends += subject.ours.backends(workload, exact, names)
    num_items = 0 if workload.setting == "plain" else len(workload.items)
    return _timed(run, subject, workload, backends, num_items=num_items, largest=largest)


def _two_cores(run: _Run, subject: _Subject, workload: Workload) -> GroupResult:
    exact = exact_scores(subject.model, workload)
    ours = subject.ours
    backends = [ours.on_cores(workload, exact, 1, ON_ONE_CORE), ours.on_cores(workload, exact, 2)]
    return _timed(run, subject, workload, backends, num_threads=2)


def _scan(run: _Run, subject: _Subject, items: Features) -> GroupResult:
    workload = catalogue_workload(subject.model, items, run.draw(min(USUAL, len(items))))
    backends = list(subject.ours.scans(workload, min(KEPT, len(items))))
    return _timed(run, subject, workload, backends, num_items=len(items), num_candidates=len(items))


def _timed(
    run: _Run,
    subject: _Subject,
    workload: Workload,
    backends: Sequence[Backend],
    *,
    num_items: int = 0,
    num_candidates: int | None = None,
    num_threads: int = 1,
    largest: bool = False,
) -> GroupResult:
    size = workload.candidates.shape[1] if num_candidates is None else num_candidates
    found = interleave(
        {backend.name: backend.answer for backend in backends},
        num_rounds=run.request.num_rounds,
        round_s=run.request.round_s,
        seed=run.request.seed,
        progress=run.progress,
        label=f"{subject.model.name}: {workload.setting}, {size:,} candidates",
    )
    results = []
    for backend in backends:
        timing = found.timings[backend.name]
        share = None
        if backend.bound is not None and num_threads == 1:
            share = backend.bound.least_s(run.machine, backend.precision) / timing.median_s
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
        model=subject.model.name,
        setting=workload.setting,
        num_candidates=size,
        num_items=num_items,
        largest=largest,
        num_threads=num_threads,
        backends=tuple(results),
        foreign_share=found.noise.foreign_share,
        steal_share=found.noise.steal_share,
    )
