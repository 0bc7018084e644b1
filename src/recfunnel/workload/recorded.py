"""Numbers somebody recorded, one a line."""

import warnings
from pathlib import Path

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import DataError


def read_numbers(path: str) -> DoubleArray:
    """Read one number a line; empty lines and text after `#` are ignored.

    Args:
        path: a text file.

    Returns:
        (N,), N at least 1, finite.

    Raises:
        DataError: the file is missing or empty, or a line is not one finite number.
    """
    if not Path(path).is_file():
        raise DataError(f"{path} does not exist; give a text file with one number a line")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file, reported below
            numbers = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except ValueError as error:
        raise DataError(f"{path} must hold one number a line: {error}") from error
    if not numbers.size:
        raise DataError(f"{path} is empty; give one number a line")
    if numbers.shape[1] != 1:
        raise DataError(f"{path} has {numbers.shape[1]} numbers a line, must have 1")
    if not np.isfinite(numbers).all():
        line = int(np.flatnonzero(~np.isfinite(numbers))[0]) + 1
        raise DataError(f"{path}: number {line} is {numbers[line - 1, 0]}, must be finite")
    return numbers[:, 0]
