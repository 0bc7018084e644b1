"""How the engine's rate changes with candidates, catalogue, tables, features and threads.

Letters: B candidates a query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path

from msgspec.structs import replace

from recfunnel.bench.backend import Backend, exact_scores
from recfunnel.bench.machine import cache_bytes, look_at_machine
from recfunnel.bench.model import build_dlrm
from recfunnel.bench.peers import peers_named
from recfunnel.bench.queries import Workload, catalogue_items, catalogue_workload, plain_workload
from recfunnel.bench.results import SIDE_BY_SIDE, Missing, Precision, Way, our_name
from recfunnel.bench.run import Run, Subject
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


@dataclass(frozen=True, slots=True)
class _Scaling:
    request: ScalingRequest
    shape: DLRMShape
    run: Run

    def upto(self, places: Sequence[int]) -> list[int]:
        """Places that are asked for."""
        most = self.request.most
        return [at for at in places if most is None or at <= most]

    def subject(self, sizes: tuple[int, ...]) -> Subject:
        """The model over tables of so many rows."""
        return self.run.subject(build_dlrm(self.shape, sizes, self.request.seed))


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
    run = Run(
        peers=request.peers,
        num_rounds=request.num_rounds,
        round_s=request.round_s,
        num_pairs=request.num_pairs,
        flat_pairs=FLAT_PAIRS,
        seed=request.seed,
        quick=False,
        cache=cache,
        progress=progress,
    )
    found = _Scaling(request, shape, run)
    points: list[ScalingPoint] = []
    if "tables" in request.axes:
        points += _tables(found)
    if "features" in request.axes:
        points += _features(found)
    if set(request.axes) - {"tables", "features"}:
        points += _on_one_model(found)
    return ScalingResult(
        model=shape.name,
        machine=look_at_machine(),
        caches=cache_bytes(),
        dim=shape.dim,
        record_bytes=2 * (len(ITEM_FEATURES) * shape.dim + shape.top[0]),
        points=tuple(points),
        missing=tuple(dict.fromkeys(run.missing)),
    )


def _on_one_model(found: _Scaling) -> Iterator[ScalingPoint]:
    subject = found.subject(cardinalities(found.request.num_rows))
    if "candidates" in found.request.axes:
        yield from _candidates(found, subject)
    if "threads" in found.request.axes:
        yield from _threads(found, subject)
    if "catalogue" in found.request.axes:
        yield from _catalogues(found, subject)


def _candidates(found: _Scaling, subject: Subject) -> Iterator[ScalingPoint]:
    items = catalogue_items(subject.model, found.request.num_items, found.request.seed)
    for size in found.upto(OF_CANDIDATES):
        plain = plain_workload(subject.model, found.run.draw(size))
        backends = found.run.libraries(subject, plain) if size <= MOST_FOR_LIBRARIES else []
        backends += _ours(subject, plain)
        if size <= len(items):
            workload = catalogue_workload(subject.model, items, found.run.draw(size))
            backends += _ours(subject, workload)
        yield from _timed(found, "candidates", size, size, backends)
    subject.ours.forget_records()


def _catalogues(found: _Scaling, subject: Subject) -> Iterator[ScalingPoint]:
    for num_items in found.upto(OF_ITEMS):
        precisions: tuple[Precision, ...] = ("bfloat16",)
        if num_items < LARGE:
            precisions += ("float32",)
        lack = subject.ours.lacks_memory_for(num_items, precisions)
        if lack:
            found.run.missing.append(Missing(name=f"{num_items:,} items", why=lack))
            continue
        items = catalogue_items(subject.model, num_items, found.request.seed)
        size = min(USUAL, num_items)
        workload = catalogue_workload(subject.model, items, found.run.draw(size))
        backends = [*found.run.libraries(subject, workload), *_ours(subject, workload, precisions)]
        yield from _timed(found, "catalogue", num_items, size, backends)
        subject.ours.forget_records()


def _tables(found: _Scaling) -> Iterator[ScalingPoint]:
    full = sum(cardinalities(None))
    for rows in found.upto([full if rows is None else rows for rows in OF_ROWS]):
        subject = found.subject(cardinalities(rows))
        yield from _plain(found, subject, "tables", rows)


def _features(found: _Scaling) -> Iterator[ScalingPoint]:
    for count in found.upto(OF_FEATURES):
        subject = found.subject((ROWS_A_FEATURE,) * count)
        yield from _plain(found, subject, "features", count)


def _plain(found: _Scaling, subject: Subject, axis: Axis, at: int) -> Iterator[ScalingPoint]:
    workload = plain_workload(subject.model, found.run.draw(USUAL))
    backends = [*found.run.libraries(subject, workload), *_ours(subject, workload)]
    return _timed(found, axis, at, USUAL, backends)


def _threads(found: _Scaling, subject: Subject) -> Iterator[ScalingPoint]:
    for size in (256, USUAL, 4 * USUAL):
        workload = plain_workload(subject.model, found.run.draw(size))
        exact = exact_scores(subject.model, workload)
        cores = range(1, num_allowed_cores() + 1)
        backends = [subject.ours.on_cores(workload, exact, n, f" on {n}") for n in cores]
        if size == USUAL:
            backends += [_side_by_side(subject, workload, n) for n in cores]
        for point in _timed(found, "threads", 0, size, backends):
            name, _, count = point.name.rpartition(" on ")
            alone = SIDE_BY_SIDE if SIDE_BY_SIDE in name else ""
            yield replace(point, at=int(count), name=f"{size:,} candidates{alone}")


def _side_by_side(subject: Subject, workload: Workload, num_cores: int) -> Backend:
    """The limit that memory and clock set: cores with queries of their own."""
    exact = exact_scores(subject.model, workload)
    alone = subject.ours.side_by_side(workload, exact, num_cores)
    return changed(alone, name=f"{alone.name} on {num_cores}")


def _ours(
    subject: Subject,
    workload: Workload,
    precisions: Sequence[Precision] = ("float32", "bfloat16"),
) -> list[Backend]:
    wanted = {our_name(way, each) for way in DRAWN for each in precisions}
    wanted.discard(our_name("hoisted", "float32"))
    exact = exact_scores(subject.model, workload)
    return list(subject.ours.backends(workload, exact, wanted))


def _timed(
    found: _Scaling, axis: Axis, at: int, size: int, backends: Sequence[Backend]
) -> Iterator[ScalingPoint]:
    turns = found.run.take_turns(backends, f"{found.shape.name}: {axis} {at or size:,}")
    for backend in backends:
        timing = turns.timings[backend.name]
        yield ScalingPoint(axis=axis, at=at, name=backend.name, num_candidates=size, timing=timing)
