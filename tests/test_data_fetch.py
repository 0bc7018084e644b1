"""Fetching over a loopback server: resumed, checked, unpacked, and clear when it cannot."""

import hashlib
import http.server
import io
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

import data_samples as samples
from recfunnel.core.errors import DataError, StorageError, StudyError
from recfunnel.core.progress import Progress
from recfunnel.data.fetch import RECIPES, DataRecipe, fetch, fetch_recipe
from recfunnel.data.movielens import MovieLens


def archive_of(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("ratings.dat", "users.dat", "movies.dat"):
            archive.write(folder / name, f"ml-1m/{name}")
        archive.writestr("ml-1m/README", "terms")
    return packed.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    content: ClassVar[bytes] = b""
    ranges: ClassVar[list[str]] = []
    cut_at: ClassVar[int] = 0
    knows_ranges: ClassVar[bool] = True

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        start = start if self.knows_ranges else 0
        if start >= len(self.content):
            self.send_error(416)
            return
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.cut_at] if self.cut_at else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[type[Handler]]:
    raw = samples.write_ml_1m(tmp_path / "source")

    class Served(Handler):
        content = archive_of(raw)
        ranges: ClassVar[list[str]] = []

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served) as listening:
        Served.port = listening.server_port
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield Served
        listening.shutdown()
        thread.join()


def recipe_for(server: type[Handler], **changes: object) -> DataRecipe:
    return msgspec.structs.replace(
        RECIPES["ml-1m"],
        **{
            "url": f"http://127.0.0.1:{server.port}/ml-1m.zip",
            "md5": hashlib.md5(server.content).hexdigest(),
            **changes,
        },
    )


class Listening(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        self.lines.append(text)


def test_what_is_fetched_can_be_prepared(server: type[Handler], tmp_path: Path) -> None:
    folder = fetch_recipe(recipe_for(server), tmp_path / "ml-1m")
    assert sorted(path.name for path in folder.iterdir()) == [
        "movies.dat",
        "ratings.dat",
        "users.dat",
    ]
    MovieLens(path=str(folder)).prepare(seed=0)


def test_the_licence_is_shown_before_anything_is_fetched(
    server: type[Handler], tmp_path: Path
) -> None:
    heard = Listening()
    with pytest.raises(DataError):
        fetch_recipe(recipe_for(server, md5="0" * 32), tmp_path / "x", heard)
    assert "research use" in heard.lines[1]
    assert server.ranges == [""]


def test_files_already_there_are_not_fetched_again(server: type[Handler], tmp_path: Path) -> None:
    folder = samples.write_ml_1m(tmp_path / "there", gz=True)
    fetch_recipe(recipe_for(server), folder)
    assert server.ranges == []


def test_a_broken_transfer_goes_on_where_it_stopped(server: type[Handler], tmp_path: Path) -> None:
    server.cut_at = 1000
    with pytest.raises(DataError, match=r"1000 of \d+ bytes.*run the same command to go on"):
        fetch_recipe(recipe_for(server), tmp_path / "x")
    assert (tmp_path / "x" / "ml-1m.zip.part").stat().st_size == 1000
    server.cut_at = 0
    fetch_recipe(recipe_for(server), tmp_path / "x")
    assert server.ranges == ["", "bytes=1000-"]
    assert (tmp_path / "x" / "ratings.dat").exists()


def test_a_server_without_ranges_starts_over(server: type[Handler], tmp_path: Path) -> None:
    server.knows_ranges = False
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "ml-1m.zip.part").write_bytes(b"half of something")
    fetch_recipe(recipe_for(server), tmp_path / "x")
    assert (tmp_path / "x" / "ratings.dat").exists()


def test_a_whole_part_is_not_fetched_again(server: type[Handler], tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "ml-1m.zip.part").write_bytes(server.content)
    fetch_recipe(recipe_for(server), tmp_path / "x")
    assert server.ranges == [f"bytes={len(server.content)}-"]


def test_a_wrong_checksum_leaves_nothing_behind(server: type[Handler], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"checksum is [0-9a-f]{32}, must be 0{32}; .* removed"):
        fetch_recipe(recipe_for(server, md5="0" * 32), tmp_path / "x")
    assert list((tmp_path / "x").iterdir()) == []


def test_a_missing_page_says_what_to_put_where(server: type[Handler], tmp_path: Path) -> None:
    def missing(self: Handler) -> None:
        self.send_error(404)

    server.do_GET = missing
    with pytest.raises(DataError, match=r"answers 404 .* put ratings.dat, users.dat, movies.dat"):
        fetch_recipe(recipe_for(server), tmp_path / "x")


def test_without_a_network_the_error_says_which_files_to_put_where(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    refused = msgspec.structs.replace(RECIPES["ml-1m"], url=f"http://127.0.0.1:{port}/ml-1m.zip")
    with pytest.raises(DataError, match="cannot be reached") as caught:
        fetch_recipe(refused, tmp_path / "ml-1m")
    for part in (refused.url, "ratings.dat, users.dat, movies.dat", str(tmp_path / "ml-1m")):
        assert part in str(caught.value)


def test_an_archive_without_a_file_is_an_error(server: type[Handler], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not hold trailers.dat"):
        fetch_recipe(recipe_for(server, files=("trailers.dat",)), tmp_path / "x")


def test_what_is_no_archive_is_an_error(server: type[Handler], tmp_path: Path) -> None:
    server.content = b"<html>"
    with pytest.raises(DataError, match="is no zip archive"):
        fetch_recipe(recipe_for(server), tmp_path / "x")


def test_a_folder_that_cannot_be_made_is_an_error(server: type[Handler], tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a file")
    with pytest.raises(StorageError, match="choose another folder"):
        fetch_recipe(recipe_for(server), tmp_path / "x")


def test_criteo_says_where_its_terms_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"accept its terms; by hand: .*kaggle.* put train.txt"):
        fetch("criteo", tmp_path / "criteo")


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="known: criteo, ml-100k, ml-1m; did you mean 'ml-1m'"):
        fetch("ml1m", tmp_path)
