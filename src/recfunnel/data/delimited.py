"""Delimited text as typed columns, with errors that name file, line and rule.

The fast path hands whole blocks to polars; only when something is wrong is the block read again
line by line, to say where.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Literal

import polars as pl

from recfunnel.core.errors import DataError
from recfunnel.data.files import BLOCK_BYTES, line_blocks, read_bytes

ColumnKind = Literal["int", "float", "text", "hex"]

_DTYPES: dict[ColumnKind, type[pl.DataType]] = {
    "int": pl.Int64,
    "float": pl.Float64,
    "text": pl.String,
    "hex": pl.String,
}
_WANTED = {"int": "a whole number", "float": "a number", "hex": "a hexadecimal number"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        name: what it is called in the frame and in errors.
        kind: `hex` gives an unsigned integer.
        optional: an empty field is a missing value (null) instead of an error.
    """

    name: str
    kind: ColumnKind = "text"
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is written.

    Args:
        columns: in file order.
        separator: between fields, one or more characters.
        encoding: of the text.
        has_header: the first line holds names, not data.
        ends_with_newline: a file whose last line has no line end counts as cut short.
    """

    columns: tuple[Column, ...]
    separator: str = "\t"
    encoding: str = "utf-8"
    has_header: bool = False
    ends_with_newline: bool = False


def read_table(path: Path, layout: Layout) -> pl.DataFrame:
    """Read a whole file.

    Raises:
        DataError: see `parse`; also a file cut short.
    """
    content = read_bytes(path)
    _check_end(content, layout, path)
    first_line = 1
    if layout.has_header:
        content = content.partition(b"\n")[2]
        first_line = 2
    return parse(content, layout, path, first_line)


def read_blocks(
    path: Path, layout: Layout, block_bytes: int = BLOCK_BYTES
) -> Iterator[pl.DataFrame]:
    """Read a file block by block, so that memory does not grow with the file.

    Yields:
        Frames of consecutive rows, none empty.

    Raises:
        DataError: see `parse`; also a file cut short.
    """
    line, block = 1, b""
    for block in line_blocks(path, block_bytes):
        content = block
        if line == 1 and layout.has_header:
            content = block.partition(b"\n")[2]
            line = 2
        if content:
            frame = parse(content, layout, path, line)
            line += frame.height
            yield frame
    _check_end(block, layout, path)


def parse(content: bytes, layout: Layout, path: Path, first_line: int = 1) -> pl.DataFrame:
    """Turn text into typed columns.

    Args:
        content: whole lines, no header.
        layout: how they are written.
        path: named in errors.
        first_line: number of the first line in the file.

    Returns:
        One row a line, one column a layout column.

    Raises:
        DataError: wrong number of fields, an empty field, a field that is no (finite) number.
    """
    text, separator = _normalised(content, layout, path)
    names = [column.name for column in layout.columns]
    try:
        frame = pl.read_csv(
            text,
            separator=separator,
            has_header=False,
            new_columns=names,
            schema={column.name: _DTYPES[column.kind] for column in layout.columns},
            quote_char=None,
        )
        frame = frame.with_columns(
            pl.col(c.name).str.to_integer(base=16, dtype=pl.Int64)
            for c in layout.columns
            if c.kind == "hex"
        )
    except pl.exceptions.PolarsError as error:
        raise _diagnosis(text, separator, layout, path, first_line, str(error)) from error
    if not _is_sound(frame, text, separator, layout):
        raise _diagnosis(text, separator, layout, path, first_line, "malformed")
    return frame


def _normalised(content: bytes, layout: Layout, path: Path) -> tuple[bytes, str]:
    try:
        text = content
        if layout.encoding != "utf-8":
            text = content.decode(layout.encoding).encode()
        elif not content.isascii():
            content.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not {layout.encoding} text: {error}") from error
    if b"\r\n" in text:
        text = text.replace(b"\r\n", b"\n")
    if len(layout.separator) == 1:
        return text, layout.separator
    return text.replace(layout.separator.encode(), b"\x1f"), "\x1f"


def _is_sound(frame: pl.DataFrame, text: bytes, separator: str, layout: Layout) -> bool:
    num_lines = text.count(b"\n") + (not text.endswith(b"\n"))
    num_separators = text.count(separator.encode())
    if frame.height != num_lines or num_separators != num_lines * (len(layout.columns) - 1):
        return False
    for column in layout.columns:
        series = frame[column.name]
        if not column.optional and series.null_count():
            return False
        if column.kind == "float" and not series.is_finite().all():
            return False
    return True


def _diagnosis(
    text: bytes, separator: str, layout: Layout, path: Path, first_line: int, otherwise: str
) -> DataError:
    lines = text.decode().split("\n")
    for number, line in enumerate(lines[:-1] if not lines[-1] else lines, start=first_line):
        fault = _fault(line, separator, layout.columns)
        if fault:
            return DataError(f"{path}, line {number}: {fault}; correct or remove the line")
    return DataError(f"{path}, from line {first_line}: {otherwise}")


def _fault(line: str, separator: str, columns: tuple[Column, ...]) -> str:
    fields = line.split(separator)
    if len(fields) != len(columns):
        return f"{len(fields)} fields, must be {len(columns)} ({columns[0].name}, ...)"
    for field, column in zip(fields, columns, strict=True):
        if not field:
            if not column.optional:
                return f"{column.name} is empty, must be {_WANTED.get(column.kind, 'given')}"
        elif not _reads_as(field, column.kind):
            return f"{column.name} is {field!r}, must be {_WANTED[column.kind]}"
    return ""


def _reads_as(field: str, kind: ColumnKind) -> bool:
    if kind != "text" and "_" in field:
        return False  # Python takes 1_000 for a number, files do not
    try:
        if kind == "int":
            return -(2**63) <= int(field) < 2**63
        if kind == "float":
            return isfinite(float(field))
        if kind == "hex":
            return 0 <= int(field, 16) < 2**63
    except ValueError:
        return False
    return True


def _check_end(content: bytes, layout: Layout, path: Path) -> None:
    if layout.ends_with_newline and not content.endswith(b"\n"):
        raise DataError(f"{path} is cut short: its last line has no line end; fetch it again")
