"""Files that appear whole or not at all.

Everything is written beside its final name first and renamed at the end, so a killed process
leaves no half-written file under a final name. A value with arrays is a folder: one `.npy` an
array (memory-mapped when read) and a `manifest.json`.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from recfunnel.core.errors import StorageError

T = TypeVar("T")

FORMAT_VERSION = 1
"""Version of the stored files; a run folder of another version is refused."""

MANIFEST = "manifest.json"


def content_hash(value: object) -> str:
    """16 hex digits that depend on the content of a spec, value or plain data, not on key order."""
    plain = msgspec.to_builtins(value)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _errno_of(error: OSError) -> int:
    """The error's number; numpy reports a write cut short by a full disk without one."""
    if error.errno is None and "requested and" in str(error):
        return errno.ENOSPC
    return error.errno or 0


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = {
            errno.ENOSPC: "no space left on the disk; free some and run the same command again",
            errno.EDQUOT: "the disk quota is used up; free some and run the same command again",
            errno.EACCES: "no permission to write there; choose another folder",
            errno.EPERM: "no permission to write there; choose another folder",
            errno.EROFS: "the file system is read-only; choose another folder",
            errno.ENOTDIR: "a part of that path is a file, not a folder",
            errno.EEXIST: "a part of that path is a file, not a folder",
        }.get(_errno_of(error))
        if reason is None:
            raise
        raise StorageError(f"{path}: {reason}") from error


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well it becomes `path`, durably.

    Raises:
        StorageError: no space, no permission.
    """
    temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex[:8]}")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; when the block ends well it becomes `path`.

    An older folder of that name is moved aside first and removed after.

    Raises:
        StorageError: no space, no permission.
    """
    mark = uuid.uuid4().hex[:8]
    temporary = path.with_name(f"{path.name}.tmp-{mark}")
    aside = path.with_name(f"{path.name}.tmp-{mark}-old")
    with _explained(path):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            if path.exists():
                path.rename(aside)
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(aside, ignore_errors=True)


def to_json(value: object) -> bytes:
    """Plain data, a spec or a value as indented JSON that any parser reads.

    An infinite number (an unsteady latency) is written 1e999, which parsers read as infinite; the
    JSON library alone would write null and lose it.
    """
    plain = _spelled_out(msgspec.to_builtins(value))
    return msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n"


def _spelled_out(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _spelled_out(part) for key, part in plain.items()}
    if isinstance(plain, list | tuple):
        return [_spelled_out(part) for part in plain]
    if isinstance(plain, float) and math.isinf(plain):
        return msgspec.Raw(b"1e999" if plain > 0 else b"-1e999")
    return plain


def write_json(path: Path, value: object) -> None:
    """Store plain data, a spec or a value as indented JSON."""
    text = to_json(value)
    with replacing_file(path) as temporary:
        temporary.write_bytes(text)


def read_json(path: Path, cls: type[T]) -> T:
    """Read JSON into `cls` (use `dict` for plain data).

    Raises:
        StorageError: missing, truncated, or not what `cls` describes.
    """
    try:
        # msgspec's own decoder refuses 1e999, see `to_json`
        return msgspec.convert(json.loads(path.read_bytes()), cls, str_keys=True)
    except FileNotFoundError as error:
        raise StorageError(f"{path} does not exist; run the step that writes it") from error
    except ValueError as error:  # malformed JSON, broken encoding, or not of this shape
        raise StorageError(f"{path} is damaged or of another version: {error}") from error


def save_arrays(
    folder: Path, arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]
) -> None:
    """Store arrays and a manifest as one folder that appears whole.

    Args:
        folder: final place; replaced when it exists.
        arrays: by name; each becomes `NAME.npy`.
        manifest: plain data that says what the arrays are.
    """
    with replacing_folder(folder) as temporary:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", np.ascontiguousarray(array))
        body = {"format_version": FORMAT_VERSION, **manifest}
        (temporary / MANIFEST).write_bytes(to_json(body))


def _load_array(file: Path) -> NDArray[Any]:
    if os.path.getsize(file) > 4096:
        array: NDArray[Any] = np.load(file, mmap_mode="r")
        return array
    small: NDArray[Any] = np.load(file)  # an empty array cannot be mapped
    return small


def load_arrays(folder: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what `save_arrays` wrote, arrays memory-mapped read-only.

    Returns:
        Arrays by name, and the manifest.

    Raises:
        StorageError: the folder or a file in it is missing, damaged, or of another version.
    """
    manifest = read_json(folder / MANIFEST, dict[str, Any])
    version = manifest.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise StorageError(
            f"{folder} has format version {version}, this recfunnel reads {FORMAT_VERSION}; "
            "use a fresh run folder"
        )
    arrays = {}
    for file in sorted(folder.glob("*.npy")):
        try:
            arrays[file.stem] = _load_array(file)
        except (ValueError, OSError, EOFError) as error:
            raise StorageError(f"{file} is damaged: {error}; delete it and run again") from error
    return arrays, manifest
