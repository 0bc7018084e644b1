"""The leave-one-out protocol of neural collaborative filtering (He et al. 2017) on ML-1M.

Its files lie in `ncf/`: `ml-1m.train.rating` (or `ml-1m.train.rating_no_ts`, without its time
column), `ml-1m.test.rating`, and `ml-1m.test.negative` (99 unseen movies a user). User numbers are
user rows. Item numbers follow `item_map.tsv` (columns ncf_item, movie_id) where there is one, else
the order in which movies first appear in `ratings.dat`, which is how the published ones came about.

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
from recfunnel.data.files import digests, exists, locate
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

_REMEDY = "put the files of the NCF repository (Data/ml-1m.*) in ncf/, or use split = 'random'"
_NO_TIME = "ml-1m.train.rating_no_ts"
_NAMES = ("ml-1m.train.rating", "ml-1m.test.rating", "ml-1m.test.negative")
_MAP = Layout((Column("ncf_item", "int"), Column("movie_id", "int")), has_header=True)
_WITHOUT_TIME = Layout(RATING_COLUMNS[:3])
_WITH_TIME = Layout(RATING_COLUMNS)
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
    ncf = folder / "ncf"
    timeless = exists(ncf, _NO_TIME)
    train_layout, train_name = (_WITHOUT_TIME, _NO_TIME) if timeless else (_WITH_TIME, _NAMES[0])
    paths = [locate(ncf, name, _REMEDY) for name in (train_name, *_NAMES[1:])]
    item_rows, num_users = _item_rows(ncf, raw), raw.users.height
    train = _ratings(read_table(paths[0], train_layout), item_rows, num_users, paths[0])
    test = _ratings(read_table(paths[1], _WITH_TIME), item_rows, num_users, paths[1])
    negatives = _negatives(paths[2], test, item_rows)
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
        context_keys=users.keys,
        item_keys=items.keys,
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


def _item_rows(folder: Path, raw: RawMovieLens) -> IntArray:
    table = raw.ratings.select(pl.col("item").unique(maintain_order=True).alias("movie_id"))
    if exists(folder, "item_map.tsv"):
        table = _item_map(locate(folder, "item_map.tsv"))
    known = pl.DataFrame({"movie_id": raw.movies["item"]}).with_row_index("row")
    rows = table.join(known, on="movie_id", how="left", maintain_order="left")
    strangers = rows.filter(pl.col("row").is_null())
    if strangers.height:
        raise DataError(
            f"{folder / 'item_map.tsv'}: movie {strangers['movie_id'][0]} has no rating in "
            "ratings.dat"
        )
    numbers: IntArray = rows["row"].to_numpy().astype(np.int64)
    return numbers


def _item_map(path: Path) -> pl.DataFrame:
    table = read_table(path, _MAP).sort("ncf_item")
    if table["ncf_item"].to_list() != list(range(table.height)):
        raise DataError(f"{path}: ncf_item must run from 0 to {table.height - 1} without gaps")
    return table


def _ratings(frame: pl.DataFrame, item_rows: IntArray, num_users: int, path: Path) -> RatingLog:
    users, items = frame["user"].to_numpy(), frame["item"].to_numpy()
    _check_numbers(users, num_users, "user", path)
    _check_numbers(items, item_rows.size, "item", path)
    rating = frame["rating"].to_numpy().astype(np.float32)
    return RatingLog(users, item_rows[items], rating)


def _check_numbers(numbers: IntArray, limit: int, what: str, path: Path) -> None:
    wrong = np.flatnonzero((numbers < 0) | (numbers >= limit))
    if wrong.size:
        line = int(wrong[0]) * numbers.shape[0] // numbers.size + 1
        raise DataError(
            f"{path}, line {line}: {what} {numbers.flat[wrong[0]]} is unknown; {what}s run from 0 "
            f"to {limit - 1}"
        )


def _negatives(path: Path, test: RatingLog, item_rows: IntArray) -> IntArray:
    frame = read_table(path, _NEGATIVES)
    users = frame["key"].str.extract(r"^\((\d+),").cast(pl.Int64).to_list()
    if users != test.users.tolist():
        raise DataError(f"{path} and ml-1m.test.rating must list the same users in one order")
    numbers = frame.drop("key").to_numpy()
    _check_numbers(numbers, item_rows.size, "item", path)
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
