"""Generated click logs of Criteo's shape, at any size, with known click probabilities."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray, FloatArray, IntArray
from recfunnel.core.dataset import Dataset, DatasetSpec, Provenance, datasets
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, Features
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.seeds import rng_for
from recfunnel.core.spec import Spec
from recfunnel.data.ctr import Blocks, ClickLog, click_dataset
from recfunnel.data.hashed_effects import click_logits
from recfunnel.data.splitting import (
    DEFAULT_FRACTIONS,
    Fractions,
    check_fractions,
    ordered_parts,
)

CRITEO_CARDINALITIES = (
    *(1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194),
    *(27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572),
)
"""Table rows of the 26 categories of Criteo Kaggle, 33,762,577 in all."""

ROWS_A_BLOCK = 65_536
"""Rows drawn at a time, each block from its own random stream."""


@datasets.register
class SyntheticCtr(Spec, DatasetSpec, frozen=True, tag="synthetic_ctr"):
    """Rows of categories and numbers, clicked with a planted probability.

    The log-odds are a sum of an effect of every category value, of inner products between the
    values of each pair of features, and of the numbers; effects are computed from the value itself
    (a hash), so that a feature of ten million values costs nothing until a row shows it.

    Args:
        num_rows: N.
        cardinalities: ids of each categorical feature, unknown included;
            `CRITEO_CARDINALITIES` gives Criteo's 33.8 million. The default caps each at 10,000.
        num_dense: numeric features.
        click_rate: expected share of clicks.
        zipf_exponent: skew of the values of a category.
        signal: standard deviation of the log-odds.
        num_remainders: 0 gives every value effects of its own, so that nothing is learned of one
            value from another. R above 0 makes them of what v // R and v % R of value v stand for:
            a world in which values share, which a quotient-remainder embedding can say exactly.
        fractions: shares of rows for train, validation and test, in order.
        queries: how rows become queries.
    """

    num_rows: int = 100_000
    cardinalities: tuple[int, ...] = tuple(min(c, 10_000) for c in CRITEO_CARDINALITIES)
    num_dense: int = 13
    click_rate: float = 0.25
    zipf_exponent: float = 1.1
    signal: float = 1.5
    num_remainders: int = 0
    fractions: Fractions = DEFAULT_FRACTIONS
    queries: Blocks = Blocks()

    def __post_init__(self) -> None:
        check_fractions(self.fractions)
        if self.num_rows < 1 or self.num_dense < 0:
            raise StudyError(
                f"num_rows is {self.num_rows}, must be at least 1; num_dense is "
                f"{self.num_dense}, must not be below 0"
            )
        if not self.cardinalities or min(self.cardinalities) < 2:
            raise StudyError(
                "cardinalities must list at least one feature, each with at least 2 ids "
                "(unknown and one value)"
            )
        if not 0 < self.click_rate < 1:
            raise StudyError(f"click_rate is {self.click_rate}, must be between 0 and 1")
        if min(self.signal, self.zipf_exponent, self.num_remainders) < 0:
            raise StudyError("signal, zipf_exponent and num_remainders must not be below 0")

    def prepare(self, *, seed: int, progress: Progress = SILENT) -> Dataset:
        """Draw rows block by block; a value no training row shows gets id 0.

        Raises:
            DataError: too few rows for the split or for one query.
        """
        categorical = np.empty((self.num_rows, len(self.cardinalities)), np.int64)
        dense = np.empty((self.num_rows, self.num_dense), np.float32)
        label = np.empty(self.num_rows, np.float32)
        with progress.task("generate rows", self.num_rows) as task:
            for block in generated_blocks(self, seed):
                span = slice(block.start, block.start + block.label.size)
                categorical[span], dense[span] = block.categorical, block.dense
                label[span] = block.label
                task.advance(block.label.size)
        parts = ordered_parts(self.num_rows, self.fractions)
        _forget_unseen(categorical, parts == 0, self.cardinalities)
        log = ClickLog(_features(self), Features(categorical, dense), label, parts)
        provenance = Provenance(
            source=f"generated: {self.num_rows} rows, {sum(self.cardinalities)} category ids",
            licence="none needed, generated",
            split=f"by row order, {'/'.join(f'{f:g}' for f in self.fractions)}; "
            f"{self.queries.describe()}",
            seed=seed,
            notes=("generated data: figures say nothing about any real audience",),
        )
        return click_dataset("synthetic-ctr", log, self.queries, provenance, seed)


@dataclass(frozen=True, eq=False, slots=True)
class RowBlock:
    """Consecutive generated rows.

    Args:
        start: number of the first.
        categorical: int64 (n, F), ids from 1.
        dense: float32 (n, D), standard normal.
        probability: float64 (n,), of a click: the best score anyone could rank by.
        label: float32 (n,), 0 or 1.
    """

    start: int
    categorical: IntArray
    dense: FloatArray
    probability: DoubleArray
    label: FloatArray


def generated_blocks(spec: SyntheticCtr, seed: int) -> Iterator[RowBlock]:
    """Draw the rows of a spec, at most `ROWS_A_BLOCK` of them in memory at a time.

    Yields:
        Blocks in row order; the same spec and seed give the same rows.
    """
    intercept = _intercept(spec, seed)
    for start in range(0, spec.num_rows, ROWS_A_BLOCK):
        num_rows = min(ROWS_A_BLOCK, spec.num_rows - start)
        rng = rng_for(seed, "synthetic_ctr", "rows", start)
        categorical, dense = _draw_rows(spec, num_rows, rng)
        logits = intercept + _logits(spec, categorical, dense, seed)
        probability = 1 / (1 + np.exp(-logits))
        label = (rng.random(num_rows) < probability).astype(np.float32)
        yield RowBlock(start, categorical, dense, probability, label)


def planted_probabilities(spec: SyntheticCtr, seed: int) -> DoubleArray:
    """(N,), the true click probability of every row, in row order."""
    return np.concatenate([block.probability for block in generated_blocks(spec, seed)])


def _draw_rows(
    spec: SyntheticCtr, num_rows: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    columns = [
        zipf_ids(cardinality - 1, spec.zipf_exponent, rng.random(num_rows))
        for cardinality in spec.cardinalities
    ]
    dense = rng.standard_normal((num_rows, spec.num_dense), np.float32)
    return np.column_stack(columns), dense


def zipf_ids(num_values: int, exponent: float, uniform: DoubleArray) -> IntArray:
    """Ids 1 to K of a nearly Zipfian variable, without a table of K probabilities.

    The whole part of a continuous power law on [1, K + 1) of density x^-exponent.

    Args:
        num_values: K.
        exponent: 0 is uniform.
        uniform: (N,), draws from [0, 1).

    Returns:
        (N,).
    """
    top, power = num_values + 1.0, 1.0 - exponent
    is_one = abs(power) < 1e-9
    x = top**uniform if is_one else (1 + uniform * (top**power - 1)) ** (1 / power)
    return np.clip(x.astype(np.int64), 1, num_values)


def _logits(spec: SyntheticCtr, categorical: IntArray, dense: FloatArray, seed: int) -> DoubleArray:
    return spec.signal * click_logits(categorical, dense, seed, spec.num_remainders)


def _intercept(spec: SyntheticCtr, seed: int) -> float:
    rng = rng_for(seed, "synthetic_ctr", "intercept")
    categorical, dense = _draw_rows(spec, ROWS_A_BLOCK, rng)
    logits = _logits(spec, categorical, dense, seed)
    low, high = -40.0, 40.0
    for _ in range(50):
        middle = (low + high) / 2
        rate = float(np.mean(1 / (1 + np.exp(-logits - middle))))
        low, high = (middle, high) if rate < spec.click_rate else (low, middle)
    return (low + high) / 2


def _forget_unseen(
    categorical: IntArray, is_train: np.ndarray, cardinalities: tuple[int, ...]
) -> None:
    for column, cardinality in enumerate(cardinalities):
        seen = np.zeros(cardinality, np.bool_)
        seen[categorical[is_train, column]] = True
        ids = categorical[:, column]
        ids[~seen[ids]] = 0


def _features(spec: SyntheticCtr) -> tuple[Feature, ...]:
    return (
        *(
            Feature(
                name=f"C{number}", side="candidate", kind="categorical", cardinality=cardinality
            )
            for number, cardinality in enumerate(spec.cardinalities, start=1)
        ),
        *(
            Feature(name=f"I{number}", side="candidate", kind="dense")
            for number in range(1, spec.num_dense + 1)
        ),
    )
