"""One file over HTTP: resumed where it stopped, checked before it gets its name."""

import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from recfunnel.core.errors import DataError, StorageError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.data.files import digest

CHUNK_BYTES = 256 * 1024
TIMEOUT_S = 30.0


def download(url: str, target: Path, md5: str, remedy: str, progress: Progress = SILENT) -> None:
    """Bring a file to `target`; what already came is kept as `target.part` and continued.

    Args:
        url: http or https.
        target: final path; does not exist unless whole and right.
        md5: hex digest it must have.
        remedy: what to do by hand without a network, added to errors.
        progress: told about bytes.

    Raises:
        DataError: no connection, refused, cut off, or another checksum.
        StorageError: no space, no permission.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _transfer(url, part, progress)
    except urllib.error.HTTPError as error:
        error.close()
        raise DataError(f"{url} answers {error.code} {error.reason}; {remedy}") from error
    except urllib.error.URLError as error:
        raise DataError(f"{url} cannot be reached ({error.reason}); {remedy}") from error
    except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
        raise DataError(
            f"{url}: the connection broke ({error}); run the same command to go on from there"
        ) from error
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror}; free space or choose another folder"
        ) from error
    found = digest(part, "md5")
    if found != md5:
        part.unlink()
        raise DataError(
            f"{url}: the checksum is {found}, must be {md5}; the file was removed, fetch it again"
        )
    part.replace(target)


def _transfer(url: str, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            error.close()
            return  # nothing is left to send; the checksum decides
        raise
    with response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            _copy(response, file, progress, part.stem, have, total)
    received = part.stat().st_size
    if total is not None and received < total:
        raise ConnectionError(f"{received} of {total} bytes arrived")


def _copy(
    response: http.client.HTTPResponse,
    file: BinaryIO,
    progress: Progress,
    name: str,
    have: int,
    total: int | None,
) -> None:
    with progress.task(f"fetch {name}", total) as task:
        task.advance(have)
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            task.advance(len(chunk))
