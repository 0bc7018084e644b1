"""Anyone's own CSV or Parquet table, described by a TOML file; needs no Python."""

from pathlib import Path
from typing import Literal

import numpy as np

from recfunnel.core.arrays import IntArray
from recfunnel.core.dataset import Dataset, DatasetSpec, Provenance, datasets
from recfunnel.core.errors import DataError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.seeds import rng_for
from recfunnel.core.spec import Spec
from recfunnel.data.ctr import Blocks
from recfunnel.data.files import digests
from recfunnel.data.source_table import SourceTable, read_source
from recfunnel.data.splitting import (
    DEFAULT_FRACTIONS,
    Fractions,
    check_fractions,
    ordered_parts,
    random_parts,
    time_parts,
)
from recfunnel.data.tabular_description import TableDescription, read_description
from recfunnel.data.tabular_implicit import implicit_dataset
from recfunnel.data.tabular_listwise import blocks_dataset, listwise_dataset

_WORDS = {
    "random": "each {unit} drawn to train/validation/test with probabilities {shares}",
    "time": "{unit}s by time, shares {shares}",
    "order": "{unit}s in file order, shares {shares}",
}


@datasets.register
class Tabular(Spec, DatasetSpec, frozen=True, tag="tabular"):
    """A described table; see `recfunnel.data.tabular_description` for the description's keys.

    Values never seen in training rows have id 0, at training and serving alike.

    Args:
        path: the TOML description; files it names lie beside it.
        split: of rows, or of whole queries where a query column is named (a query's time is its
            earliest row's): `random`, by `time`, or in file `order`.
        fractions: shares of train, validation and test.
        queries: how rows become queries in a click log without a query column.
    """

    path: str
    split: Literal["random", "time", "order"] = "random"
    fractions: Fractions = DEFAULT_FRACTIONS
    queries: Blocks = Blocks()

    def __post_init__(self) -> None:
        check_fractions(self.fractions)

    def prepare(self, *, seed: int, progress: Progress = SILENT) -> Dataset:
        """Read the description and its files, and split.

        Raises:
            DataError: a file is missing or malformed, a column is missing or holds what it must
                not, or a split is empty.
        """
        path = Path(self.path).expanduser()
        description = read_description(path)
        with progress.task(f"read {description.file}"):
            table = read_source(path.parent / description.file, description.separator)
        name, grouped = path.stem, bool(description.query)
        provenance = self._provenance(path, description, table, seed)
        if grouped:
            query_rows, num_queries = _query_rows(table, description.query)
            parts = self._parts(description, table, query_rows, num_queries, seed)
            return listwise_dataset(name, description, table, query_rows, parts, provenance)
        rows = np.arange(table.frame.height, dtype=np.int64)
        parts = self._parts(description, table, rows, rows.size, seed)
        if description.task == "ctr":
            return blocks_dataset(name, description, table, parts, self.queries, provenance)
        return implicit_dataset(name, path.parent, description, table, parts, provenance)

    def _parts(
        self,
        description: TableDescription,
        table: SourceTable,
        units: IntArray,
        num_units: int,
        seed: int,
    ) -> IntArray:
        if self.split == "random":
            return random_parts(num_units, self.fractions, rng_for(seed, "tabular", "split"))
        if self.split == "order":
            first = np.full(num_units, units.size)
            np.minimum.at(first, units, np.arange(units.size))
            return ordered_parts(num_units, self.fractions)[np.argsort(np.argsort(first))]
        if not description.timestamp:
            raise DataError(
                f"{table.path}: the split by time needs the description to name the timestamp "
                "column; or choose split = 'random'"
            )
        earliest = np.full(num_units, np.inf)
        np.minimum.at(earliest, units, table.numbers(description.timestamp))
        return time_parts(earliest, self.fractions)

    def _provenance(
        self, path: Path, description: TableDescription, table: SourceTable, seed: int
    ) -> Provenance:
        unit = "query" if description.query else "row"
        shares = "/".join(f"{share:g}" for share in self.fractions)
        words = _WORDS[self.split].format(unit=unit, shares=shares).replace("querys", "queries")
        if description.task == "ctr" and not description.query:
            words += f"; {self.queries.describe()}"
        own = [f for f in (description.users_file, description.items_file) if f]
        files = [path, table.path, *(path.parent / name for name in own)]
        return Provenance(
            source=f"{table.path.name}, {table.frame.height} rows",
            licence=description.licence,
            split=words,
            seed=seed,
            sha256=digests([file for file in files if file.is_file()]),
        )


def _query_rows(table: SourceTable, query: str) -> tuple[IntArray, int]:
    keys = table.ids(query)
    ranks = keys.rank("dense").to_numpy().astype(np.int64) - 1
    return ranks, int(ranks.max()) + 1
