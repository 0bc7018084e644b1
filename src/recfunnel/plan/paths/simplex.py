"""A linear programme of few rows, solved exactly by the simplex method on a dense tableau.

Routing has one row for each class of query sizes and one for each platform, so a tableau of a dozen
rows and some hundred columns is all there ever is; no optimisation library is needed.

Letters: R rows, N columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput

TOLERANCE = 1e-10
"""Below it a coefficient counts as 0; rows are expected to be scaled to about 1."""

_MOST_IDLE_PIVOTS = 40
"""Pivots in a row that gain nothing before Bland's rule, which cannot cycle, takes over."""


@dataclass(frozen=True, eq=False, slots=True)
class Optimum:
    """The best point of a linear programme.

    Args:
        value: of the objective.
        point: (N,).
    """

    value: float
    point: DoubleArray


def maximise(
    gains: DoubleArray, rows: DoubleArray, limits: DoubleArray, fill: Sequence[int] = ()
) -> Optimum | None:
    """Largest gains · x with rows · x <= limits and x >= 0.

    Args:
        gains: (N,).
        rows: (R, N); those to be filled have no coefficient below 0.
        limits: (R,), 0 or more, so that x = 0 is allowed.
        fill: rows that must reach their limit.

    Returns:
        The optimum; None when the rows to be filled cannot all be.

    Raises:
        InvalidInput: a limit is below 0, or the gain has no bound.
    """
    if (limits < 0).any():
        raise InvalidInput(f"limits of a linear programme must be 0 or more, are {limits}")
    tableau = _Tableau(rows, limits)
    filled = list(fill)
    if filled:
        reached = tableau.maximise(rows[filled].sum(axis=0))
        if reached < limits[filled].sum() - TOLERANCE * max(1.0, float(limits.sum())):
            return None
        tableau.hold(filled)
    value = tableau.maximise(gains)
    return Optimum(value, tableau.point())


class _Tableau:
    """Columns are the N variables, then the R slacks, then the right-hand side."""

    def __init__(self, rows: DoubleArray, limits: DoubleArray) -> None:
        self.num_rows, self.num_columns = rows.shape
        self.cells = np.hstack([rows, np.eye(self.num_rows), limits[:, np.newaxis]])
        self.basis: IntArray = np.arange(self.num_rows, dtype=np.int64) + self.num_columns
        self.allowed = np.ones(self.num_columns + self.num_rows, np.bool_)

    def maximise(self, gains: DoubleArray) -> float:
        """Pivot from the present point to the best one; returns its value."""
        full = np.concatenate([gains, np.zeros(self.num_rows)])
        idle, careful = 0, False
        while True:
            reduced = full - full[self.basis] @ self.cells[:, :-1]
            reduced[~self.allowed] = 0
            rising = np.flatnonzero(reduced > TOLERANCE)
            if not rising.size:
                return float(full[self.basis] @ self.cells[:, -1])
            column = int(rising[0] if careful else reduced.argmax())
            step = self._enter(column)
            idle = 0 if step > TOLERANCE else idle + 1
            careful = careful or idle > _MOST_IDLE_PIVOTS

    def hold(self, filled: Sequence[int]) -> None:
        """Keep rows at their limits from now on: their slacks stay 0."""
        slacks = self.num_columns + np.asarray(filled, np.int64)
        self.allowed[slacks] = False
        for row in np.flatnonzero(np.isin(self.basis, slacks)):
            usable = np.where(self.allowed, np.abs(self.cells[row, :-1]), 0.0)
            if usable.max() > TOLERANCE:  # at 0 already, so any pivot keeps the point
                self._pivot(int(row), int(usable.argmax()))

    def point(self) -> DoubleArray:
        """(N,), the present values of the variables."""
        values = np.zeros(self.num_columns + self.num_rows)
        values[self.basis] = self.cells[:, -1]
        return np.maximum(values[: self.num_columns], 0.0)

    def _enter(self, column: int) -> float:
        """Raise a variable until a row stops it; returns by how much."""
        climb = self.cells[:, column]
        ratios = np.full(self.num_rows, np.inf)
        stops = climb > TOLERANCE
        ratios[stops] = np.maximum(self.cells[stops, -1], 0.0) / climb[stops]
        step = float(ratios.min())
        if not np.isfinite(step):
            raise InvalidInput("the linear programme has no bound: a variable has no limit")
        ties = np.flatnonzero(ratios <= step + TOLERANCE * max(1.0, step))
        self._pivot(int(ties[self.basis[ties].argmin()]), column)
        return step

    def _pivot(self, row: int, column: int) -> None:
        self.cells[row] /= self.cells[row, column]
        factors = self.cells[:, column].copy()
        factors[row] = 0.0
        self.cells -= factors[:, np.newaxis] * self.cells[row]
        self.basis[row] = column
