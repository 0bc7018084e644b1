"""A CSV or Parquet table as it lies on the disk, and checked columns of it."""

import difflib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import DataError
from recfunnel.data.files import read_bytes


@dataclass(frozen=True, eq=False, slots=True)
class SourceTable:
    """Columns of a file, text still unparsed.

    Args:
        path: named in errors.
        frame: one row a data row.
        is_text: from a text file, whose line 1 is the header.
        origin: int64 (N,), the file's row behind each row, -1 where it has none; None means the
            rows are the file's own.
    """

    path: Path
    frame: pl.DataFrame
    is_text: bool
    origin: IntArray | None = None

    def where(self, row: int) -> str:
        """Name a row (from 0) the way its file is counted."""
        if self.origin is not None:
            row = int(self.origin[row])
        if row < 0:
            return f"{self.path}, which does not list every id of the interactions"
        if self.is_text:
            return f"{self.path}, line {row + 2}"
        return f"{self.path}, row {row + 1}"

    def column(self, name: str) -> pl.Series:
        """A column, empty text as null.

        Raises:
            DataError: there is none of that name.
        """
        if name not in self.frame.columns:
            close = difflib.get_close_matches(name, self.frame.columns, n=1)
            hint = f"did you mean {close[0]!r}?" if close else ""
            known = ", ".join(self.frame.columns)
            raise DataError(f"{self.path} has no column {name!r}; {hint or f'it has: {known}'}")
        series = self.frame[name]
        if series.dtype == pl.String:
            return series.replace("", None)
        return series

    def ids(self, name: str) -> pl.Series:
        """A column in which nothing may be missing.

        Raises:
            DataError: a missing value.
        """
        series = self.column(name)
        if series.null_count():
            row = int(np.flatnonzero(series.is_null().to_numpy())[0])
            raise DataError(f"{self.where(row)}: {name} is empty; every row needs one")
        return series

    def numbers(self, name: str, fill: float | None = None) -> DoubleArray:
        """(N,), a numeric column.

        Args:
            name: of the column.
            fill: what stands for a missing number; None makes it an error.

        Raises:
            DataError: a field is no finite number, or missing without `fill`.
        """
        series = self.column(name)
        try:
            parsed = series.cast(pl.Float64, strict=False)
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{self.path}: column {name!r} holds {series.dtype}, no numbers") from (
                error
            )
        values = parsed.to_numpy()
        bad = ~np.isfinite(values) & ~series.is_null().to_numpy()
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{self.where(row)}: {name} is {series[row]!r}, must be a finite number "
                f"({int(bad.sum())} such rows)"
            )
        if fill is None and series.null_count():
            row = int(np.flatnonzero(series.is_null().to_numpy())[0])
            raise DataError(
                f"{self.where(row)}: {name} is missing ({series.null_count()} such rows); "
                "give its description a fill value"
            )
        return np.where(np.isnan(values), 0.0 if fill is None else fill, values)

    def labels(self, name: str) -> DoubleArray:
        """(N,), a column of 0 and 1.

        Raises:
            DataError: anything else.
        """
        values = self.numbers(name)
        wrong = np.flatnonzero((values != 0) & (values != 1))
        if wrong.size:
            raise DataError(
                f"{self.where(int(wrong[0]))}: {name} is {values[wrong[0]]:g}, must be 0 or 1 "
                f"({wrong.size} such rows)"
            )
        return values


def read_source(path: Path, separator: str = "") -> SourceTable:
    """Read a CSV, TSV (plain or gzip) or Parquet file; text columns stay text.

    Raises:
        DataError: missing, cut short, not what its name says, a line with another number of
            fields than the header, or no row at all.
    """
    table = _read_parquet(path) if path.suffix == ".parquet" else _read_text(path, separator)
    if not table.frame.height:
        raise DataError(f"{path} has no rows below its header; export it again")
    return table


def _read_parquet(path: Path) -> SourceTable:
    if not path.is_file():
        raise DataError(f"{path} does not exist; check the path")
    try:
        return SourceTable(path, pl.read_parquet(path), is_text=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} is not a sound Parquet file: {error}") from error


def _read_text(path: Path, separator: str) -> SourceTable:
    content = read_bytes(path)
    sign = separator or ("\t" if ".tsv" in path.suffixes else ",")
    if b'"' not in content:
        _check_field_counts(content, sign, path)
    try:
        frame = pl.read_csv(io.BytesIO(content), separator=sign, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} is no table separated by {sign!r}: {error}") from error
    return SourceTable(path, frame, is_text=True)


def _check_field_counts(content: bytes, separator: str, path: Path) -> None:
    sign = separator.encode()
    header, _, rest = content.partition(b"\n")
    wanted = header.count(sign)
    if rest.count(sign) == wanted * (rest.count(b"\n") + (not rest.endswith(b"\n"))):
        return
    for number, line in enumerate(rest.splitlines(), start=2):
        if line.count(sign) != wanted:
            raise DataError(
                f"{path}, line {number}: {line.count(sign) + 1} fields, the header has "
                f"{wanted + 1}; correct or remove the line"
            )
