"""Source files, plain or gzip: found, hashed and read whole or in blocks of whole lines."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from recfunnel.core.errors import DataError

BLOCK_BYTES = 32 * 2**20
"""How much uncompressed text is held at a time when a file is read in blocks."""


def locate(folder: Path, name: str, remedy: str = "") -> Path:
    """The file `name`, or `name.gz`, in a folder.

    Args:
        folder: where to look.
        name: file name, may hold a subfolder.
        remedy: how to get the file, added to the error.

    Returns:
        Path of the file that exists; the plain one when both do.

    Raises:
        DataError: neither exists.
    """
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    advice = f"; {remedy}" if remedy else ""
    raise DataError(f"{folder / name} does not exist (nor {name}.gz){advice}")


def exists(folder: Path, name: str) -> bool:
    """Whether `name` or `name.gz` is a file of the folder."""
    return (folder / name).is_file() or (folder / f"{name}.gz").is_file()


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, uncompressed when its name ends in `.gz`.

    Raises:
        DataError: missing, unreadable, not gzip in spite of its name, or cut short; also for
            what goes wrong while reading inside the `with` block.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as stream:
                yield cast("BinaryIO", stream)
        else:
            with path.open("rb") as plain:
                yield plain
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; check the path") from error
    except (IsADirectoryError, PermissionError) as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except EOFError as error:
        raise DataError(
            f"{path} is cut short: the gzip stream ends too early; fetch it again"
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is not a sound gzip file ({error}); fetch it again") from error


def read_bytes(path: Path) -> bytes:
    """The uncompressed content of a file.

    Raises:
        DataError: missing, unreadable, cut short or empty.
    """
    with opened(path) as stream:
        content = stream.read()
    if not content:
        raise DataError(f"{path} is empty; fetch or export it again")
    return content


def line_blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Read a file in blocks that end at line ends, holding one block at a time.

    Args:
        path: plain or gzip.
        block_bytes: about how large a block is; a longer line makes a longer block.

    Yields:
        Blocks of whole lines; the last may lack its newline.

    Raises:
        DataError: missing, unreadable, cut short or empty.
    """
    rest, total = b"", 0
    with opened(path) as stream:
        while block := stream.read(block_bytes):
            total += len(block)
            end = block.rfind(b"\n") + 1
            if not end:
                rest += block
                continue
            yield rest + block[:end]
            rest = block[end:]
    if rest:
        yield rest
    if not total:
        raise DataError(f"{path} is empty; fetch or export it again")


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file as it lies on the disk (compressed when it is).

    Raises:
        DataError: missing or unreadable.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, algorithm).hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def digests(paths: list[Path]) -> dict[str, str]:
    """SHA-256 of each file, by file name."""
    return {path.name: digest(path) for path in paths}
