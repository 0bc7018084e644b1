"""Source files: plain and gzip are the same, and every fault is named by file and line."""

import gzip
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.errors import DataError
from recfunnel.data.delimited import Column, Layout, parse, read_blocks, read_table
from recfunnel.data.files import digest, line_blocks, locate, read_bytes

LAYOUT = Layout(
    (
        Column("user", "int"),
        Column("note"),
        Column("score", "float", optional=True),
        Column("key", "hex", optional=True),
    ),
    separator="::",
)
GOOD = b"1::a::0.5::ff\n2::b c::::\n3::d::-1::0a\n"


def test_fields_become_typed_columns() -> None:
    frame = parse(GOOD, LAYOUT, Path("x"))
    assert frame.rows() == [(1, "a", 0.5, 255), (2, "b c", None, None), (3, "d", -1.0, 10)]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"2::b::1", "line 2: 3 fields, must be 4"),
        (b"2::b::1::0::9", "line 2: 5 fields, must be 4"),
        (b"two::b::1::0", "line 2: user is 'two', must be a whole number"),
        (b"2.5::b::1::0", "line 2: user is '2.5', must be a whole number"),
        (b"99999999999999999999::b::1::0", "line 2: user is '99999999999999999999', must be"),
        (b"::b::1::0", "line 2: user is empty, must be a whole number"),
        (b"2::::1::0", "line 2: note is empty, must be given"),
        (b"2::b::much::0", "line 2: score is 'much', must be a number"),
        (b"2::b::nan::0", "line 2: score is 'nan', must be a number"),
        (b"2::b::inf::0", "line 2: score is 'inf', must be a number"),
        (b"2::b::1::xyz", "line 2: key is 'xyz', must be a hexadecimal number"),
        (b"", "line 2: 1 fields, must be 4"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, fault: str) -> None:
    path = tmp_path / "table.dat"
    path.write_bytes(b"1::a::0.5::ff\n" + line + b"\n3::d::-1::0a\n")
    with pytest.raises(DataError, match=fault) as caught:
        read_table(path, LAYOUT)
    assert str(path) in str(caught.value)


def test_line_numbers_count_on_across_blocks(tmp_path: Path) -> None:
    path = tmp_path / "table.dat"
    path.write_bytes(b"1::a::1::0\n" * 500 + b"x::a::1::0\n")
    with pytest.raises(DataError, match="line 501: user is 'x'"):
        list(read_blocks(path, LAYOUT, block_bytes=64))


def test_windows_line_ends_change_nothing() -> None:
    assert parse(GOOD.replace(b"\n", b"\r\n"), LAYOUT, Path("x")).equals(
        parse(GOOD, LAYOUT, Path("x"))
    )


def test_a_header_is_skipped_and_counted(tmp_path: Path) -> None:
    layout = Layout((Column("a", "int"), Column("b", "int")), ",", has_header=True)
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n1,2\n3,x\n")
    with pytest.raises(DataError, match="line 3: b is 'x'"):
        read_table(path, layout)
    path.write_bytes(b"a,b\n1,2\n3,4\n")
    assert pl.concat(read_blocks(path, layout, 5)).rows() == [(1, 2), (3, 4)]


def test_latin_1_text_is_read_as_such() -> None:
    layout = Layout((Column("name"),), encoding="latin-1")
    assert parse("Café\n".encode("latin-1"), layout, Path("x"))["name"][0] == "Café"


def test_text_in_another_encoding_is_an_error() -> None:
    with pytest.raises(DataError, match="not utf-8 text"):
        parse("Café\n".encode("latin-1"), Layout((Column("name"),)), Path("x"))


def test_a_missing_file_says_so_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.dat does not exist \(nor a\.dat\.gz\); buy it"):
        locate(tmp_path, "a.dat", "buy it")


def test_gzip_is_found_under_the_plain_name(tmp_path: Path) -> None:
    (tmp_path / "a.dat.gz").write_bytes(gzip.compress(GOOD))
    assert read_bytes(locate(tmp_path, "a.dat")) == GOOD


@pytest.mark.parametrize("kept", [5, 20, -9, -1])
def test_a_truncated_gzip_file_is_an_error(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.dat.gz"
    path.write_bytes(gzip.compress(GOOD * 50)[:kept])
    with pytest.raises(DataError, match=r"a\.dat\.gz is cut short"):
        read_table(path, LAYOUT)


def test_a_damaged_gzip_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.dat.gz"
    path.write_bytes(GOOD)
    with pytest.raises(DataError, match="not a sound gzip file"):
        read_table(path, LAYOUT)
    packed = bytearray(gzip.compress(GOOD * 50))
    packed[30] ^= 255
    path.write_bytes(bytes(packed))
    with pytest.raises(DataError, match=r"not a sound gzip file|cut short"):
        read_table(path, LAYOUT)


def test_a_file_that_must_end_in_a_newline_and_does_not_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(b"1\t22\n3\t4")
    layout = Layout((Column("a", "int"), Column("b", "int")), ends_with_newline=True)
    with pytest.raises(DataError, match="cut short: its last line has no line end"):
        read_table(path, layout)
    with pytest.raises(DataError, match="cut short: its last line has no line end"):
        list(read_blocks(path, layout))


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        read_table(path, LAYOUT)
    with pytest.raises(DataError, match="is empty"):
        list(read_blocks(path, LAYOUT))


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_bytes(tmp_path)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 999), st.integers(0, 9)), min_size=1, max_size=40),
    block_bytes=st.integers(1, 64),
    ends=st.booleans(),
)
def test_blocks_put_together_are_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, int]],
    block_bytes: int,
    ends: bool,
) -> None:
    path = tmp_path_factory.mktemp("blocks") / "t.tsv"
    text = "\n".join(f"{a}\t{b}" for a, b in rows) + ("\n" if ends else "")
    path.write_text(text)
    layout = Layout((Column("a", "int"), Column("b", "int")))
    assert b"".join(line_blocks(path, block_bytes)) == text.encode()
    assert pl.concat(read_blocks(path, layout, block_bytes)).rows() == rows


def test_the_digest_is_of_the_file_as_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest(path, "md5") == "900150983cd24fb0d6963f7d28e17f72"
