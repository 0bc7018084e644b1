"""The leave-one-out protocol of neural collaborative filtering (He et al. 2017) on ML-1M.

Its files lie in `ncf/`: `ml-1m.train.rating_no_ts` or `ml-1m.train.rating`, `ml-1m.test.rating`,
`ml-1m.test.negative` (99 unseen movies a user) and `item_map.tsv` (their item number to MovieID).
Column 99 of every candidate list is the positive, so that ties count against the model; a negative
that is the positive itself (156 users of the published file) is excluded.
"""

from pathlib import Path

import numpy as np
import polars as pl

from recfunnel.core.arrays import IntArray, Ragged
from recfunnel.core.dataset import Dataset, Provenance, QuerySet
from recfunnel.core.errors import DataError
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.seeds import rng_for
from recfunnel.data.delimited import Column, Layout, read_table
from recfunnel.data.files import digests, locate
from recfunnel.data.implicit import interactions
from recfunnel.data.movielens_files import RATING_COLUMNS, RawMovieLens
from recfunnel.data.rating_features import (
    RatingLog,
    SideTable,
    context_features,
    item_features,
    schema_for,
)

NUM_NEGATIVES = 99

_REMEDY = "put the files of the NCF repository (Data/ml-1m.*) and item_map.tsv in ncf/, or use "
_NAMES = ("item_map.tsv", "ml-1m.train.rating_no_ts", "ml-1m.test.rating", "ml-1m.test.negative")
_MAP = Layout((Column("ncf_item", "int"), Column("movie_id", "int")), has_header=True)
_TRAIN = Layout(RATING_COLUMNS[:3])
_TEST = Layout(RATING_COLUMNS)
_NEGATIVES = Layout(
    (Column("key"), *(Column(f"negative{n}", "int") for n in range(1, NUM_NEGATIVES + 1)))
)


def leave_one_out_dataset(
    folder: Path,
    raw: RawMovieLens,
    log: RatingLog,
    sides: tuple[SideTable, SideTable],
    provenance: Provenance,
    seed: int,
) -> Dataset:
    """Build the data set of the published files.

    The validation queries leave one more training rating a user out (drawn by the seed) and rank
    it among 99 movies the user never rated.

    Args:
        folder: that holds `ncf/`.
        raw: the raw files, for the item numbers.
        log: all ratings, used only to keep validation negatives truly unrated.
        sides: user and movie features.
        provenance: completed with the files' digests.
        seed: of the validation split.

    Returns:
        The data set; every training rating has label 1.

    Raises:
        DataError: a file is missing or malformed, or names an unknown item.
    """
    paths = [locate(folder / "ncf", name, _REMEDY + "split = 'random'") for name in _NAMES]
    item_rows = _item_rows(paths[0], raw)
    train = _ratings(read_table(paths[1], _TRAIN), item_rows, paths[1])
    test = _ratings(read_table(paths[2], _TEST), item_rows, paths[2])
    negatives = _negatives(paths[3], test, item_rows)
    rng = rng_for(seed, "movielens", "leave_one_out")
    left = _one_each(train.users, rng)
    validation = train.take(left)
    train = train.take(np.setdiff1d(np.arange(len(train.users)), left))
    users, items = sides
    schema = schema_for(users, items)
    context, catalogue = context_features(users, train), item_features(items, train)
    sampled = _sample_unrated(log, test, validation.users, len(catalogue), rng)
    return Dataset(
        name=f"{raw.version}-leave-one-out",
        task="implicit",
        schema=schema,
        context=context,
        items=catalogue,
        train=interactions(train, min_rating=0.0),
        validation=_queries(schema, context, catalogue, validation, sampled),
        test=_queries(schema, context, catalogue, test, negatives),
        provenance=_with_files(provenance, paths),
    )


def _with_files(provenance: Provenance, paths: list[Path]) -> Provenance:
    return Provenance(
        source=provenance.source,
        licence=provenance.licence,
        split=provenance.split,
        seed=provenance.seed,
        sha256=provenance.sha256 | digests(paths),
        notes=("every rating is a positive, as in the published protocol",),
    )


def _item_rows(path: Path, raw: RawMovieLens) -> IntArray:
    table = read_table(path, _MAP).sort("ncf_item")
    if table["ncf_item"].to_list() != list(range(table.height)):
        raise DataError(f"{path}: ncf_item must run from 0 to {table.height - 1} without gaps")
    known = pl.DataFrame({"movie_id": raw.movies["item"]}).with_row_index("row")
    rows = table.join(known, on="movie_id", how="left", maintain_order="left")
    strangers = rows.filter(pl.col("row").is_null())
    if strangers.height:
        raise DataError(f"{path}: movie {strangers['movie_id'][0]} has no rating in ratings.dat")
    numbers: IntArray = rows["row"].to_numpy().astype(np.int64)
    return numbers


def _ratings(frame: pl.DataFrame, item_rows: IntArray, path: Path) -> RatingLog:
    items = frame["item"].to_numpy()
    _check_items(items, item_rows, path)
    rating = frame["rating"].to_numpy().astype(np.float32)
    return RatingLog(frame["user"].to_numpy(), item_rows[items], rating)


def _check_items(items: IntArray, item_rows: IntArray, path: Path) -> None:
    wrong = np.flatnonzero((items < 0) | (items >= item_rows.size))
    if wrong.size:
        line = int(wrong[0]) * items.shape[0] // items.size + 1
        raise DataError(
            f"{path}, line {line}: item {items.flat[wrong[0]]} is not in item_map.tsv "
            f"(0 to {item_rows.size - 1})"
        )


def _negatives(path: Path, test: RatingLog, item_rows: IntArray) -> IntArray:
    frame = read_table(path, _NEGATIVES)
    users = frame["key"].str.extract(r"^\((\d+),").cast(pl.Int64).to_list()
    if users != test.users.tolist():
        raise DataError(f"{path} and ml-1m.test.rating must list the same users in one order")
    numbers = frame.drop("key").to_numpy()
    _check_items(numbers, item_rows, path)
    rows: IntArray = item_rows[numbers]
    return rows


def _one_each(users: IntArray, rng: np.random.Generator) -> IntArray:
    order = rng.permutation(users.size)
    _, first = np.unique(users[order], return_index=True)
    return order[first]


def _sample_unrated(
    log: RatingLog, test: RatingLog, users: IntArray, num_items: int, rng: np.random.Generator
) -> IntArray:
    rated = np.zeros((int(log.users.max()) + 1, num_items), np.bool_)
    rated[log.users, log.items] = True
    rated[test.users, test.items] = True
    keys = np.where(rated[users], np.inf, rng.random((users.size, num_items), np.float32))
    return np.argpartition(keys, NUM_NEGATIVES, axis=1)[:, :NUM_NEGATIVES].astype(np.int64)


def _queries(
    schema: FeatureSchema,
    context: Features,
    items: Features,
    positive: RatingLog,
    negatives: IntArray,
) -> QuerySet:
    num_queries = len(positive.users)
    rows, columns = np.nonzero(negatives == positive.items[:, None])
    return QuerySet(
        schema,
        context.take(positive.users),
        items,
        np.column_stack([negatives, positive.items]),
        Ragged.from_pairs(rows, columns, num_queries),
        Ragged(
            np.full(num_queries, NUM_NEGATIVES, np.int64),
            np.arange(num_queries + 1, dtype=np.int64),
            np.ones(num_queries, np.float32),
        ),
    )
