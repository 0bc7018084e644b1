"""How the engine's rate changes with candidates, catalogue, tables, features and threads.

Letters: B candidates a query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recfunnel.bench.backend import Backend, exact_scores, load_peers, peer_backend
from recfunnel.bench.interleave import interleave
from recfunnel.bench.machine import cache_bytes, look_at_machine
from recfunnel.bench.model import BenchModel, build_dlrm
from recfunnel.bench.ours import OurEngine
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
from recfunnel.bench.results import Missing, Precision, Way, our_name
from recfunnel.bench.roof import call_bound
from recfunnel.bench.scaling_result import AXES, Axis, ScalingPoint, ScalingResult
from recfunnel.bench.shapes import ITEM_FEATURES, DLRMShape, cardinalities, shape_named
from recfunnel.core.errors import StudyError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.spec import Value
from recfunnel.hardware.limits import num_allowed_cores

USUAL = 1024
ROWS_A_FEATURE = 100_000
FLAT_PAIRS = 1 << 16
MOST_FOR_LIBRARIES = 1 << 14
"""Candidates of one call; more only take longer."""
LARGE = 5 * 10**6
"""Items from which on records are kept in bfloat16 only."""
DRAWN: tuple[Way, ...] = ("plain", "hoisted", "compiled")
OF_FEATURES = (4, 8, 13, 26, 52, 104, 208)
OF_CANDIDATES = (1, 4, 16, 64, 256, 1024, 4096, 16384, 100_000)
OF_ITEMS = (10**3, 10**4, 10**5, 10**6, 10**7)
OF_ROWS = (10**4, 10**5, 10**6, 10**7, None)


class ScalingRequest(Value, frozen=True):
    """What to measure.

    Args:
        model: name of a DLRM's shape.
        axes: along which.
        peers: names of libraries beside ours.
        num_rows: of all tables where they are not the axis; None for the full size.
        num_items: of the catalogue where it is not the axis.
        most: leave out points above this many candidates, items, rows or features; None for none.
        num_rounds: of turns.
        round_s: for each back-end in a round.
        num_pairs: candidates in all queries of a workload together, about.
        seed: of everything random.
    """

    model: str = "RM_small"
    axes: tuple[Axis, ...] = AXES
    peers: tuple[str, ...] = ("torch eager", "OpenVINO")
    num_rows: int | None = None
    num_items: int = 10**6
    most: int | None = None
    num_rounds: int = 5
    round_s: float = 0.03
    num_pairs: int = 1 << 20
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(shape_named(self.model), DLRMShape):
            raise StudyError(f"scaling is measured on a DLRM; {self.model!r} is none")
        peers_named(self.peers)


@dataclass(slots=True)
class _Run:
    request: ScalingRequest
    shape: DLRMShape
    cache: Path
    progress: Progress
    missing: list[Missing] = field(default_factory=list)

    def draw(self, num_candidates: int) -> Draw:
        """How queries of that size are drawn."""
        return Draw(num_candidates, self.request.num_pairs, self.request.seed)

    def upto(self, places: Sequence[int]) -> list[int]:
        """Places that are asked for."""
        most = self.request.most
        return [at for at in places if most is None or at <= most]


@dataclass(frozen=True, slots=True)
class _Subject:
    model: BenchModel
    ours: OurEngine
    peers: list[tuple[Peer, LoadedPeer]]


def measure_scaling(
    request: ScalingRequest, cache: Path, progress: Progress = SILENT
) -> ScalingResult:
    """Measure along every axis, back-ends taking turns at each place.

    Args:
        request: what.
        cache: folder for what libraries compile.
        progress: told of everything.

    Returns:
        All points.

    Raises:
        StudyError: tables that do not fit into memory.
    """
    shape = shape_named(request.model)
    assert isinstance(shape, DLRMShape)
    run = _Run(request, shape, cache, progress)
    points: list[ScalingPoint] = []
    if "tables" in request.axes:
        points += _tables(run)
    if "features" in request.axes:
        points += _features(run)
    if set(request.axes) - {"tables", "features"}:
        points += _on_one_model(run)
    return ScalingResult(
        model=shape.name,
        machine=look_at_machine(),
        caches=cache_bytes(),
        dim=shape.dim,
        record_bytes=2 * (len(ITEM_FEATURES) * shape.dim + shape.top[0]),
        points=tuple(points),
        missing=tuple(dict.fromkeys(run.missing)),
    )


def _on_one_model(run: _Run) -> Iterator[ScalingPoint]:
    subject = _subject(run, cardinalities(run.request.num_rows))
    if "candidates" in run.request.axes:
        yield from _candidates(run, subject)
    if "threads" in run.request.axes:
        yield from _threads(run, subject)
    if "catalogue" in run.request.axes:
        yield from _catalogues(run, subject)


def _candidates(run: _Run, subject: _Subject) -> Iterator[ScalingPoint]:
    items = catalogue_items(subject.model, run.request.num_items, run.request.seed)
    for size in run.upto(OF_CANDIDATES):
        plain = plain_workload(subject.model, run.draw(size))
        backends = _peers(subject, plain) if size <= MOST_FOR_LIBRARIES else []
        backends += _ours(subject, plain)
        if size <= len(items):
            workload = catalogue_workload(subject.model, items, run.draw(size))
            backends += _ours(subject, workload)
        yield from _timed(run, "candidates", size, size, backends)
    subject.ours.forget_records()


def _catalogues(run: _Run, subject: _Subject) -> Iterator[ScalingPoint]:
    for num_items in run.upto(OF_ITEMS):
        precisions: tuple[Precision, ...] = ("bfloat16",)
        if num_items < LARGE:
            precisions += ("float32",)
        lack = subject.ours.lacks_memory_for(num_items, precisions)
        if lack:
            run.missing.append(Missing(name=f"{num_items:,} items", why=lack))
            continue
        items = catalogue_items(subject.model, num_items, run.request.seed)
        size = min(USUAL, num_items)
        workload = catalogue_workload(subject.model, items, run.draw(size))
        backends = [*_peers(subject, workload), *_ours(subject, workload, precisions)]
        yield from _timed(run, "catalogue", num_items, size, backends)
        subject.ours.forget_records()


def _tables(run: _Run) -> Iterator[ScalingPoint]:
    full = sum(cardinalities(None))
    for rows in run.upto([full if rows is None else rows for rows in OF_ROWS]):
        subject = _subject(run, cardinalities(rows))
        yield from _plain(run, subject, "tables", rows)


def _features(run: _Run) -> Iterator[ScalingPoint]:
    for count in run.upto(OF_FEATURES):
        subject = _subject(run, (ROWS_A_FEATURE,) * count)
        yield from _plain(run, subject, "features", count)


def _plain(run: _Run, subject: _Subject, axis: Axis, at: int) -> Iterator[ScalingPoint]:
    workload = plain_workload(subject.model, run.draw(USUAL))
    backends = [*_peers(subject, workload), *_ours(subject, workload)]
    return _timed(run, axis, at, USUAL, backends)


def _threads(run: _Run, subject: _Subject) -> Iterator[ScalingPoint]:
    for size in (256, USUAL, 4 * USUAL):
        workload = plain_workload(subject.model, run.draw(size))
        exact = exact_scores(subject.model, workload)
        cores = range(1, num_allowed_cores() + 1)
        backends = [subject.ours.on_cores(workload, exact, n, f" on {n}") for n in cores]
        for point in _timed(run, "threads", 0, size, backends):
            _, _, count = point.name.rpartition(" on ")
            yield ScalingPoint(
                axis="threads",
                at=int(count),
                name=f"{size:,} candidates",
                num_candidates=size,
                timing=point.timing,
            )


def _subject(run: _Run, sizes: tuple[int, ...]) -> _Subject:
    model = build_dlrm(run.shape, sizes, run.request.seed)
    peers, missing = usable_peers(peers_named(run.request.peers), model, quick=False)
    loaded, failed = load_peers(peers, model, run.cache, run.progress)
    run.missing += [*missing, *failed]
    return _Subject(model, OurEngine(model), loaded)


def _peers(subject: _Subject, workload: Workload) -> list[Backend]:
    if not subject.peers:
        return []
    exact, size = exact_scores(subject.model, workload), workload.candidates.shape[1]
    bound = call_bound(subject.model.graph("plain"), subject.model.parameters, size)
    queries = list(flat_queries(subject.model, workload, max(2, FLAT_PAIRS // size)))
    return [peer_backend(peer, ready, queries, exact, bound) for peer, ready in subject.peers]


def _ours(
    subject: _Subject,
    workload: Workload,
    precisions: Sequence[Precision] = ("float32", "bfloat16"),
) -> list[Backend]:
    wanted = {our_name(way, each) for way in DRAWN for each in precisions}
    wanted.discard(our_name("hoisted", "float32"))
    exact = exact_scores(subject.model, workload)
    return list(subject.ours.backends(workload, exact, wanted))


def _timed(
    run: _Run, axis: Axis, at: int, size: int, backends: Sequence[Backend]
) -> Iterator[ScalingPoint]:
    found = interleave(
        {backend.name: backend.answer for backend in backends},
        num_rounds=run.request.num_rounds,
        round_s=run.request.round_s,
        seed=run.request.seed,
        progress=run.progress,
        label=f"{run.shape.name}: {axis} {at or size:,}",
    )
    for backend in backends:
        timing = found.timings[backend.name]
        yield ScalingPoint(axis=axis, at=at, name=backend.name, num_candidates=size, timing=timing)
