"""Criteo Kaggle display advertising: will this impression be clicked?"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recfunnel.core.arrays import FloatArray
from recfunnel.core.dataset import Dataset, DatasetSpec, Provenance, datasets
from recfunnel.core.errors import DataError, StudyError
from recfunnel.core.features import Feature, Features
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.spec import Spec
from recfunnel.data.criteo_files import (
    CATEGORICAL_NAMES,
    DENSE_NAMES,
    count_rows,
    criteo_blocks,
    layout_of,
)
from recfunnel.data.ctr import Blocks, ClickLog, click_dataset
from recfunnel.data.delimited import Layout
from recfunnel.data.files import BLOCK_BYTES, digests
from recfunnel.data.splitting import (
    DEFAULT_FRACTIONS,
    Fractions,
    check_fractions,
    ordered_parts,
)
from recfunnel.data.vocabulary import Vocabulary, count_values, fit_vocabulary, merge_counts

LICENCE = "Criteo Labs data terms of use: non-commercial, no distribution of the data"


@datasets.register
class Criteo(Spec, DatasetSpec, frozen=True, tag="criteo"):
    """Criteo's log, plain or gzip, split by row order (the log is chronological).

    Numbers become log(1 + max(x, 0)), as in DLRM: a missing one counts as 0, and so do the few
    below 0 (I2 has some). Categories get ids by falling frequency in the training rows;
    rarer than `min_count` or never seen there is id 0; *missing* is a value like any other, with an
    id of its own where training rows miss it often enough.

    The text is read three times in blocks (count, vocabulary, encode) and never held whole; what
    stays in memory is the encoded rows, 260 bytes each, or nothing with `spill_folder`.

    Args:
        path: the 40-column tab-separated file, or the same columns as CSV with a header.
        max_rows: read only the first so many rows; 0 reads all.
        min_count: a category must occur so often in training to have its own id.
        fractions: shares of rows for train, validation and test, in file order.
        queries: how rows become queries.
        spill_folder: where encoded rows are kept as memory-mapped files; empty keeps them in
            memory.
    """

    path: str
    max_rows: int = 0
    min_count: int = 1
    fractions: Fractions = DEFAULT_FRACTIONS
    queries: Blocks = Blocks()
    spill_folder: str = ""

    def __post_init__(self) -> None:
        check_fractions(self.fractions)
        if self.min_count < 1 or self.max_rows < 0:
            raise StudyError(
                f"min_count is {self.min_count}, must be at least 1; max_rows is "
                f"{self.max_rows}, must not be below 0"
            )

    def prepare(self, *, seed: int, progress: Progress = SILENT) -> Dataset:
        """Read, encode and split the log.

        Raises:
            DataError: the file is missing, cut short or malformed, or too short for the split.
        """
        path = Path(self.path).expanduser()
        layout = layout_of(path)
        num_rows = count_rows(path, layout, self.max_rows)
        parts = ordered_parts(num_rows, self.fractions)
        num_train = int(np.count_nonzero(parts == 0))
        if not 0 < num_train < num_rows:
            raise DataError(
                f"{path}: {num_rows} rows leave a split empty; give more rows or other fractions"
            )
        known = fit_vocabularies(path, layout, num_train, self.min_count, progress)
        features, label = self._encode(path, layout, num_rows, known, progress)
        log = ClickLog(_features(known), features, label, parts)
        provenance = Provenance(
            source=f"Criteo display advertising, first {num_rows} rows of {path.name}",
            licence=LICENCE,
            split=f"by row order, {'/'.join(f'{f:g}' for f in self.fractions)}; "
            f"{self.queries.describe()}",
            seed=seed,
            sha256=digests([path]),
            notes=("a query is a block of rows of different users",),
        )
        return click_dataset("criteo", log, self.queries, provenance, seed)

    def _encode(
        self,
        path: Path,
        layout: Layout,
        num_rows: int,
        known: tuple[Vocabulary, ...],
        progress: Progress,
    ) -> tuple[Features, FloatArray]:
        folder = Path(self.spill_folder).expanduser() if self.spill_folder else None
        categorical = _array(folder, "criteo_categorical", (num_rows, len(known)), np.int64)
        dense = _array(folder, "criteo_dense", (num_rows, len(DENSE_NAMES)), np.float32)
        label = np.empty(num_rows, np.float32)
        with progress.task("encode rows", num_rows) as task:
            for start, block in criteo_blocks(path, layout, num_rows):
                span = slice(start, start + block.height)
                label[span] = block["label"].to_numpy()
                dense[span] = dense_transform(block)
                for column, (name, words) in enumerate(zip(CATEGORICAL_NAMES, known, strict=True)):
                    categorical[span, column] = words.encode(block[name])
                task.advance(block.height)
        return Features(categorical, dense), label


def dense_transform(block: pl.DataFrame) -> FloatArray:
    """(N, 13), log(1 + max(x, 0)) of I1..I13; 0 where missing."""
    numbers = block.select(
        pl.col(name).cast(pl.Float64).fill_null(0.0).clip(lower_bound=0.0) for name in DENSE_NAMES
    )
    logged: FloatArray = np.log1p(numbers.to_numpy()).astype(np.float32)
    return logged


def fit_vocabularies(
    path: Path,
    layout: Layout,
    num_rows: int,
    min_count: int,
    progress: Progress = SILENT,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[Vocabulary, ...]:
    """Count categories in the first rows and give them ids.

    Args:
        path: the log.
        layout: of the log.
        num_rows: training rows.
        min_count: rarer categories share id 0.
        progress: told about rows read.
        block_bytes: text held at a time.

    Returns:
        One vocabulary for each of C1..C26.
    """
    counts: dict[str, pl.DataFrame] = {}
    with progress.task("count categories", num_rows) as task:
        for _, block in criteo_blocks(path, layout, num_rows, block_bytes):
            for name in CATEGORICAL_NAMES:
                found = count_values(block[name])
                counts[name] = merge_counts([counts[name], found]) if name in counts else found
            task.advance(block.height)
    return tuple(fit_vocabulary(counts[name], min_count) for name in CATEGORICAL_NAMES)


def _features(known: tuple[Vocabulary, ...]) -> tuple[Feature, ...]:
    return (
        *(
            Feature(name=name, side="candidate", kind="categorical", cardinality=words.cardinality)
            for name, words in zip(CATEGORICAL_NAMES, known, strict=True)
        ),
        *(Feature(name=name, side="candidate", kind="dense") for name in DENSE_NAMES),
    )


def _array(
    folder: Path | None, name: str, shape: tuple[int, int], dtype: type[np.generic]
) -> NDArray[Any]:
    if folder is None:
        return np.empty(shape, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
