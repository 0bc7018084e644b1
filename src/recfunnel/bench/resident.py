"""Memory of a process that serves a model: measured in a process of its own.

It makes the tables where they stay, as a server maps them from their file; compiles the catalogue
in bfloat16; answers a hundred queries; and is then looked at.
"""

import resource
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import psutil

from recfunnel.bench.model import FLOAT_BYTES, build_model
from recfunnel.bench.ours import OurEngine
from recfunnel.bench.process_results import Resident
from recfunnel.bench.queries import Draw, catalogue_items, catalogue_workload
from recfunnel.bench.shapes import DLRMShape
from recfunnel.core.errors import RecfunnelError, StudyError

STATUS = Path("/proc/self/status")
NUM_CALLS = 100
NUM_CANDIDATES = 256
SEED = 0
SMALLEST_BYTES = 400 << 20
"""Of tables: five per cent of fewer are less than any process needs besides."""


def resident_memory(shape: DLRMShape, num_rows: int | None, num_items: int) -> Resident:
    """Measure in a new process.

    Args:
        shape: of the model.
        num_rows: of its tables, about; more where these would be small. None for the full size.
        num_items: of the catalogue.

    Raises:
        StudyError: the process failed, or what it was to hold does not fit.
    """
    if num_rows is not None:
        num_rows = max(num_rows, SMALLEST_BYTES // (FLOAT_BYTES * shape.dim))
    crew = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    try:
        with crew:
            return crew.submit(_hold, shape, num_rows, num_items).result()
    except (BrokenProcessPool, MemoryError, RecfunnelError) as error:
        raise StudyError(f"memory of {shape.name} was not measured: {error}") from error


def _hold(shape: DLRMShape, num_rows: int | None, num_items: int) -> Resident:
    process = psutil.Process()
    imported = process.memory_info().rss
    model = build_model(shape, num_rows=num_rows, seed=SEED)
    items = catalogue_items(model, num_items, SEED)
    draw = Draw(min(NUM_CANDIDATES, num_items), NUM_CALLS * NUM_CANDIDATES, SEED)
    workload = catalogue_workload(model, items, draw)
    ours = OurEngine(model)
    machine, _ = ours.machine(workload, "compiled", "bfloat16")
    for number in range(NUM_CALLS):
        query = number % workload.num_queries
        machine.score(workload.context.row(query), workload.candidates[query : query + 1])
    return Resident(
        model=model.name,
        table_bytes=model.table.nbytes,
        record_bytes=sum(records.nbytes for records in ours.records.values()),
        feature_bytes=items.categorical.nbytes,
        resident_bytes=process.memory_info().rss - imported,
        peak_bytes=_peak_bytes() - imported,
    )


def _peak_bytes() -> int:
    """Of this process alone: what the system counts for children includes their parent."""
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
