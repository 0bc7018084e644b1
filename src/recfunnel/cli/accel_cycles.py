"""`recfunnel accel cycles`: how long matrix products take on a systolic array."""

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter

from recfunnel.cli.printing import emit_csv, emit_json, print_table, say
from recfunnel.core.errors import DataError, StudyError

if TYPE_CHECKING:
    import polars as pl

Flag = Parameter(negative="")
Numbers = np.ndarray[Any, Any]

SIZES = ("M", "N", "K", "rows", "cols")
COLUMNS = (*SIZES, "dataflow")


def cycles(
    table: Path,
    /,
    *,
    overlap: Annotated[bool, Flag] = False,
    json: Annotated[bool, Flag] = False,
    csv: Annotated[bool, Flag] = False,
) -> int:
    """Tell cycles, utilisation and SRAM words of matrix products on systolic arrays (simulated).

    A row is a product of M x K inputs and K x N weights on an array of rows x cols elements, in
    dataflow ws, os or is (weights, outputs or inputs stay). Its other columns are kept.

    Args:
        table: .csv with the columns M, N, K, rows, cols, dataflow; lines that begin with # are
            left out.
        overlap: folds overlap, weights of the next one loaded behind the computing; else cycles
            are SCALE-Sim's.
        json: print JSON.
        csv: print CSV.
    """
    if json and csv:
        raise StudyError("--json and --csv are both given; choose one")
    rows = _priced(_read(table), overlap=overlap)
    if csv:
        emit_csv([{**row, "simulated": "true"} for row in rows])
    elif json:
        emit_json({"simulated": True, "overlap": overlap, "products": rows})
    else:
        print_table([{_heading(name): row[name] for name in row} for row in rows])
        way = "folds overlap" if overlap else "each fold waits for the one before"
        say(f"simulated; {way}; operands lie ready in SRAM")
    return 0


def _heading(name: str) -> str:
    """Short enough for all columns to stand side by side."""
    return "utilised" if name == "utilisation" else name.replace("_", "\n")


def _read(path: Path) -> "pl.DataFrame":
    """The table, every cell a string.

    Raises:
        DataError: no such columns, no rows, or no CSV.
    """
    import polars as pl

    try:
        table = pl.read_csv(path, comment_prefix="#", infer_schema=False)
    except pl.exceptions.NoDataError:
        raise DataError(f"{path} is empty; it needs the columns {', '.join(COLUMNS)}") from None
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} is no CSV: {error}") from error
    table = table.rename(str.strip)
    for name in COLUMNS:
        if name not in table.columns:
            close = difflib.get_close_matches(name, table.columns, n=1, cutoff=0.5)
            hint = f"rename {close[0]!r}" if close else f"it has {', '.join(table.columns)}"
            raise DataError(f"{path} has no column {name!r}; {hint}")
    if not table.height:
        raise DataError(f"{path} has no rows")
    return table


def _priced(table: "pl.DataFrame", *, overlap: bool) -> list[dict[str, Any]]:
    """The rows with what was found out about each."""
    import polars as pl

    numbers = [_numbers(table, name) for name in SIZES]
    dataflows = table["dataflow"].fill_null("").str.strip_chars().str.to_lowercase()
    found: dict[str, Any] = {}
    for dataflow in dataflows.unique(maintain_order=True):
        picked = np.flatnonzero((dataflows == dataflow).to_numpy())
        for name, values in _figures([column[picked] for column in numbers], dataflow, overlap):
            whole = found.setdefault(name, np.zeros(table.height, values.dtype))
            whole[picked] = values
    sizes = [pl.Series(name, column) for name, column in zip(SIZES, numbers, strict=True)]
    return table.with_columns(*sizes, dataflows, **found).to_dicts()


def _figures(sizes: list[Numbers], dataflow: Any, overlap: bool) -> list[tuple[str, Numbers]]:
    from recfunnel.hardware.systolic.cycles import gemm_cycles, utilisation
    from recfunnel.hardware.systolic.traffic import sram_words

    m, n, k, rows, cols = sizes
    taken = gemm_cycles(m, n, k, rows, cols, dataflow, overlap=overlap)
    words = sram_words(m, n, k, rows, cols, dataflow)
    return [
        ("cycles", taken),
        ("utilisation", utilisation(m, n, k, rows, cols, taken)),
        ("input_words", words.inputs),
        ("weight_words", words.weights),
        ("output_words", words.outputs),
        ("partial_sum_words", words.partial_sums),
    ]


def _numbers(table: "pl.DataFrame", name: str) -> Numbers:
    """A column of whole numbers.

    Raises:
        DataError: a cell is none.
    """
    import polars as pl

    numbers = table[name].str.strip_chars().cast(pl.Int64, strict=False)
    wrong = numbers.is_null().arg_true()
    if wrong.len():
        cell = table[name][wrong[0]]
        raise DataError(f"row {wrong[0] + 1} has {name} {cell!r}; it must be a whole number")
    return numbers.to_numpy()
