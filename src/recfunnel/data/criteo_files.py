"""Criteo's display advertising log: label, 13 numbers I1..I13, 26 hashed categories C1..C26.

Either the 40-column tab-separated `train.txt` of the Kaggle challenge, or the same columns comma
separated under a header line. Fields may be empty (missing); the label may not.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from recfunnel.core.errors import DataError
from recfunnel.data.delimited import Column, Layout, read_blocks
from recfunnel.data.files import BLOCK_BYTES, line_blocks, opened

DENSE_NAMES = tuple(f"I{number}" for number in range(1, 14))
CATEGORICAL_NAMES = tuple(f"C{number}" for number in range(1, 27))

_HEX = tuple(Column(name, "hex", optional=True) for name in CATEGORICAL_NAMES)
_TSV = Layout(
    (Column("label", "int"), *(Column(name, "int", optional=True) for name in DENSE_NAMES), *_HEX)
)
_CSV = Layout(
    (
        Column("label", "int"),
        *(Column(name, "float", optional=True) for name in DENSE_NAMES),
        *_HEX,
    ),
    separator=",",
    has_header=True,
)


def layout_of(path: Path) -> Layout:
    """Which of the two layouts a file has, told by its first line.

    Raises:
        DataError: the file is missing or empty, or its header has other columns.
    """
    with opened(path) as stream:
        first = stream.readline().decode(errors="replace").strip()
    if not first:
        raise DataError(f"{path} is empty; fetch or export it again")
    if not first.startswith("label,"):
        return _TSV
    if first.split(",") != [column.name for column in _CSV.columns]:
        raise DataError(f"{path}, line 1: the header must read label,I1,...,I13,C1,...,C26")
    return _CSV


def count_rows(path: Path, layout: Layout, max_rows: int) -> int:
    """Number of data rows, at most `max_rows` (0 means no limit)."""
    num_lines, block = -int(layout.has_header), b"\n"
    for block in line_blocks(path):
        num_lines += block.count(b"\n")
        if max_rows and num_lines >= max_rows:
            return max_rows
    return num_lines + (not block.endswith(b"\n"))


def criteo_blocks(
    path: Path, layout: Layout, num_rows: int, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Read the first rows block by block, so that memory does not grow with the file.

    Yields:
        Number of the block's first row (from 0) and its columns label, I1.., C1.. (integers).

    Raises:
        DataError: a malformed line, or a label other than 0 and 1; named by line.
    """
    start = 0
    for frame in read_blocks(path, layout, block_bytes):
        block = frame.head(num_rows - start)
        _check_label(block, path, start + 1 + layout.has_header)
        yield start, block
        start += block.height
        if start >= num_rows:
            return


def _check_label(block: pl.DataFrame, path: Path, first_line: int) -> None:
    wrong = block.with_row_index("line", offset=first_line).filter(~pl.col("label").is_in([0, 1]))
    if wrong.height:
        line, label = wrong.select("line", "label").row(0)
        raise DataError(
            f"{path}, line {line}: label is {label}, must be 0 or 1 ({wrong.height} such lines in "
            "this block); correct or remove the line"
        )
