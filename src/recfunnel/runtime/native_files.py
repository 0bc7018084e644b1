"""A model's compiled form in files: made once, then mapped by every process that serves it.

    models/NAME/compiled/FORM/manifest.json     what it was made from
    models/NAME/compiled/FORM/program/          the program and the tables made for it
    models/NAME/compiled/FORM/records.npy       a row an item
    models/NAME/compiled/FORM.lock

FORM is the precision and a hash of all options. A form that was made from another model, other
items or another version of the compiler, or that is damaged, is not used but made anew. Processes
that want the same form wait for the one that makes it. Letters: I items.
"""

import contextlib
import fcntl
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray

import recfunnel.compile
from recfunnel.compile.load import StoredGraph
from recfunnel.compile.lower_fingerprint import fingerprint
from recfunnel.compile.program import Program, load_program, save_program
from recfunnel.core.errors import StorageError
from recfunnel.core.features import Features
from recfunnel.core.spec import Value
from recfunnel.core.storage import (
    FORMAT_VERSION,
    MANIFEST,
    content_hash,
    read_json,
    replacing_folder,
    write_json,
)
from recfunnel.hardware.limits import allowed_memory_bytes
from recfunnel.runtime.native_compile import (
    HUGE_PAGE_BYTES,
    Form,
    ItemRecords,
    compile_model,
    made_records,
    new_rows,
    row_layout,
    too_few_huge,
)

if TYPE_CHECKING:
    from recfunnel.runtime.native_machine import MachineOptions

COMPILED = "compiled"
RECORDS = "records.npy"
PROGRAM = "program"

COPIED_AT_ONCE = 1 << 24
"""Bytes of records copied at once into huge pages."""


class MadeFrom(Value, frozen=True):
    """What a compiled form depends on; each as a hash.

    Args:
        model: graph and parameters.
        items: features of every item.
        compiler: the passes, the lowering and the machine that makes records.
        schema: names of features.
        id_counts: of a window of queries, where frequent rows are kept by them.
    """

    model: str
    items: str
    compiler: str
    schema: str
    id_counts: str = ""


class FormManifest(Value, frozen=True):
    """What lies in the folder of a compiled form.

    Args:
        format_version: of the stored files.
        made_from: what it depends on.
        record_columns: elements of an item's row; 0 without records.
        content: hash of the arrays, large ones by 4,096 of their rows.
    """

    format_version: int
    made_from: MadeFrom
    record_columns: int
    content: str


def compiled_form(
    folder: Path, stored: StoredGraph, items: Features, form: Form, options: "MachineOptions"
) -> tuple[Program, ItemRecords, tuple[str, ...]]:
    """A model's program and records from its files, which are made first where they must be.

    Args:
        folder: of the finished model.
        stored: the model.
        items: that will be ranked.
        form: to compile to.
        options: of the machine that makes records.

    Returns:
        Both with large arrays mapped from the files (a write to a record stays in this process),
        and what is worth telling: that files were not fit for use and have been made anew.

    Raises:
        StorageError: the files cannot be written.
        DataError: an item's id is outside its table.
        ModelError: a hot store is asked for, and no window of queries was counted.
    """
    place = folder / COMPILED / f"{form.options.layers}-{content_hash(form)}"
    made_from = MadeFrom(
        model=fingerprint(stored.graph, stored.parameters),
        items=items_hash(items),
        compiler=_compiler_of(stored),
        schema=content_hash(stored.schema),
        id_counts=_counts_hash(stored) if form.hot_store_bytes else "",
    )
    with contextlib.suppress(StorageError), _locked(place, fcntl.LOCK_SH):
        return *_read(place, stored, len(items), form, made_from), ()
    with _locked(place, fcntl.LOCK_EX):
        said: tuple[str, ...] = ()
        try:
            return *_read(place, stored, len(items), form, made_from), ()
        except StorageError as error:
            if place.exists():
                said = (f"{error}; compiled again",)
        with replacing_folder(place) as fresh:
            _make(fresh, stored, items, form, made_from, options)
        return *_read(place, stored, len(items), form, made_from), said


def in_huge_pages(records: ItemRecords) -> ItemRecords:
    """Mapped records as a copy in this process's own huge pages, where they can be had.

    Returns:
        The copy; or the records as they are, with a remark, where memory does not suffice. Records
        smaller than a huge page stay where they are.
    """
    rows = records.stored
    if rows is None or rows.nbytes < HUGE_PAGE_BYTES:
        return records
    free = min(psutil.virtual_memory().available, allowed_memory_bytes())
    if rows.nbytes > free:
        remark = (
            f"records stay in their file: a copy in huge pages needs {rows.nbytes / 2**30:.1f} "
            f"GiB, {free / 2**30:.1f} GiB are free"
        )
        return ItemRecords(rows, records.storage, remark)
    copy, remark = new_rows(rows.shape[0], rows.shape[1], rows.dtype, huge_pages=True)
    step = max(1, COPIED_AT_ONCE // (rows.shape[1] * rows.itemsize))
    for start in range(0, len(rows), step):
        copy[start : start + step] = rows[start : start + step]
    return ItemRecords(copy, records.storage, remark or too_few_huge(copy))


def kept_forms(folder: Path) -> dict[str, int]:
    """Names of the compiled forms that a finished model's folder keeps, with their bytes."""
    return {
        manifest.parent.name: sum(
            f.stat().st_size for f in manifest.parent.rglob("*") if f.is_file()
        )
        for manifest in sorted((folder / COMPILED).glob(f"*/{MANIFEST}"))
    }


def items_hash(items: Features) -> str:
    """16 hex digits that depend on every feature of every item."""
    digest = hashlib.blake2b(digest_size=8)
    arrays: list[NDArray[Any]] = [items.categorical, items.dense]
    for ragged in items.multi_valued:
        arrays += [ragged.values, ragged.offsets]
        arrays += [] if ragged.weights is None else [ragged.weights]
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@functools.cache
def compiler_hash() -> str:
    """16 hex digits that depend on the code that compiles: its sources and the extension module."""
    from recfunnel.runtime import _native, native_compile, native_tables

    sources = sorted(Path(recfunnel.compile.__path__[0]).glob("*.py"))
    digest = hashlib.blake2b(digest_size=8)
    own = [Path(str(part.__file__)) for part in (native_compile, native_tables, _native)]
    for file in (*sources, *own):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _compiler_of(stored: StoredGraph) -> str:
    """Rows that are stored must be those this processor computes for the rest."""
    from recfunnel.runtime import _native

    return f"{compiler_hash()} {_native.isa()}" if stored.graph.computed else compiler_hash()


def _counts_hash(stored: StoredGraph) -> str:
    """16 hex digits that depend on all counts of ids; empty without any."""
    if stored.id_counts is None:
        return ""
    digest = hashlib.blake2b(digest_size=8)
    for name, (ids, counts) in sorted(stored.id_counts.items()):
        digest.update(f"{name} {ids.size} ".encode())
        digest.update(np.ascontiguousarray(ids).data)
        digest.update(np.ascontiguousarray(counts).data)
    return digest.hexdigest()


def _read(
    place: Path, stored: StoredGraph, num_items: int, form: Form, made_from: MadeFrom
) -> tuple[Program, ItemRecords]:
    """What lies in the files, if it is whole and made from just this."""
    manifest = read_json(place / MANIFEST, FormManifest)
    _check(place, manifest, made_from)
    program = load_program(place / PROGRAM, stored.parameters, made_from.model)
    rows = None
    if manifest.record_columns:
        rows = _map_records(place / RECORDS, (num_items, manifest.record_columns), form)
    if manifest.content != _content(stored, program, rows):
        raise StorageError(f"{place} is damaged (its content is not what was stored)")
    return program, ItemRecords(rows, form.records)


def _check(place: Path, manifest: FormManifest, made_from: MadeFrom) -> None:
    if manifest.format_version != FORMAT_VERSION:
        raise StorageError(f"{place} has format version {manifest.format_version}")
    words = {
        "model": "another model",
        "items": "other items",
        "compiler": "another version of recfunnel",
        "schema": "another schema",
        "id_counts": "other counts of ids",
    }
    for name, other in words.items():
        if getattr(manifest.made_from, name) != getattr(made_from, name):
            raise StorageError(f"{place} was compiled from {other}")


def _map_records(file: Path, shape: tuple[int, int], form: Form) -> NDArray[Any]:
    """Rows that other processes share until one of them is written to."""
    try:
        # an empty array cannot be mapped
        rows: NDArray[Any] = np.asarray(np.load(file, mmap_mode="c" if shape[0] else None))
    except (OSError, ValueError, EOFError) as error:
        raise StorageError(f"{file} is damaged ({error})") from error
    if rows.shape != shape or rows.dtype != row_layout(0, form.records)[0]:
        raise StorageError(f"{file} is damaged ({rows.dtype} of shape {rows.shape})")
    return rows


def _content(stored: StoredGraph, program: Program, rows: NDArray[Any] | None) -> str:
    """Hash of the arrays that were stored; the model's own parameters have theirs already."""
    known = stored.parameters
    arrays = {name: a for name, a in program.arrays.items() if known.get(name) is not a}
    return fingerprint(stored.graph, arrays if rows is None else {**arrays, RECORDS: rows})


def _make(
    folder: Path,
    stored: StoredGraph,
    items: Features,
    form: Form,
    made_from: MadeFrom,
    options: "MachineOptions",
) -> None:
    """Compile, and write everything into a folder."""
    program, split = compile_model(stored, form, options.num_threads)
    listing = msgspec.structs.replace(program.listing, fits=made_from.model)
    program = Program(listing, program.arrays)
    save_program(folder / PROGRAM, program, stored.parameters)
    rows, columns = None, 0
    if split is not None:
        dtype, columns = row_layout(split.width, form.records)
        with (folder / RECORDS).open("wb") as file:
            _write_header(file, dtype, (len(items), columns))
            # Written, not mapped: a full disk is then an error and not the end of the process.
            for _, made in made_records(stored, split, form, items, options):
                file.write(np.ascontiguousarray(made).data)
        rows = _map_records(folder / RECORDS, (len(items), columns), form)
    manifest = FormManifest(
        format_version=FORMAT_VERSION,
        made_from=made_from,
        record_columns=columns,
        content=_content(stored, program, rows),
    )
    write_json(folder / MANIFEST, manifest)


def _write_header(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, int]) -> None:
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype.str, "fortran_order": False, "shape": shape}
    )


@contextlib.contextmanager
def _locked(place: Path, how: int) -> Iterator[None]:
    """Hold the lock of a form: many may read it, one makes it."""
    file = place.with_name(f"{place.name}.lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.open("r" if file.exists() else "a")
    except OSError as error:
        raise StorageError(f"{file} cannot be written ({error.strerror})") from error
    with lock:
        fcntl.flock(lock, how)
        yield
