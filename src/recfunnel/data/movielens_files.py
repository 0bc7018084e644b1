"""The raw MovieLens folders: ML-1M (`ratings.dat`, ...) and ML-100K (`u.data`, ...).

Both become one form: three frames with the columns user, item, rating, time_s; user, gender, age,
occupation, zip; item, year, genres.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from recfunnel.core.errors import DataError
from recfunnel.data.delimited import Column, Layout, read_table
from recfunnel.data.files import digests, exists, locate

Version = Literal["ml-1m", "ml-100k"]

RATING_COLUMNS = (
    Column("user", "int"),
    Column("item", "int"),
    Column("rating", "float"),
    Column("time_s", "int"),
)
AGE_GROUPS = (18, 25, 35, 45, 50, 56)
"""ML-1M gives ages as the lower end of seven groups (1 means under 18); ML-100K as years."""

_LAYOUTS_1M = {
    "ratings.dat": Layout(RATING_COLUMNS, "::", ends_with_newline=True),
    "users.dat": Layout(
        (
            Column("user", "int"),
            Column("gender"),
            Column("age", "int"),
            Column("occupation"),
            Column("zip"),
        ),
        "::",
    ),
    "movies.dat": Layout(
        (Column("item", "int"), Column("title"), Column("genres")), "::", encoding="latin-1"
    ),
}
_GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_LAYOUTS_100K = {
    "u.data": Layout(RATING_COLUMNS, "\t", ends_with_newline=True),
    "u.user": Layout(
        (
            Column("user", "int"),
            Column("age", "int"),
            Column("gender"),
            Column("occupation"),
            Column("zip"),
        ),
        "|",
    ),
    "u.item": Layout(
        (
            Column("item", "int"),
            Column("title"),
            Column("released", optional=True),
            Column("video", optional=True),
            Column("link", optional=True),
            *(Column(genre, "int") for genre in _GENRES_100K),
        ),
        "|",
        encoding="latin-1",
    ),
}


@dataclass(frozen=True, eq=False, slots=True)
class RawMovieLens:
    """One MovieLens folder as read.

    Args:
        version: which set it is.
        ratings: user, item, rating, time_s; in file order.
        users: user, gender, age (group 0 to 6), occupation, zip; by rising user.
        movies: item, year (may be null), genres (list of names); by rising item; rated ones only.
        sha256: of each file read.
    """

    version: Version
    ratings: pl.DataFrame
    users: pl.DataFrame
    movies: pl.DataFrame
    sha256: dict[str, str]


def read_movielens(folder: Path) -> RawMovieLens:
    """Read a raw folder, whichever of the two sets it holds.

    Raises:
        DataError: a file is missing, malformed, or names a user or movie the others do not know.
    """
    version = _version_of(folder)
    layouts = _LAYOUTS_1M if version == "ml-1m" else _LAYOUTS_100K
    paths = [locate(folder, name, f"fetch it with: recfunnel data {version}") for name in layouts]
    ratings, users, movies = (
        read_table(path, layout) for path, layout in zip(paths, layouts.values(), strict=True)
    )
    movies = _movies_1m(movies) if version == "ml-1m" else _movies_100k(movies)
    _check_rating_range(ratings, paths[0])
    _check_known(ratings, users, "user", paths)
    _check_known(ratings, movies, "item", paths)
    _check_distinct(users, "user", paths[1])
    _check_distinct(movies, "item", paths[2])
    return RawMovieLens(
        version=version,
        ratings=ratings,
        users=users.with_columns(_age_group()).sort("user"),
        movies=movies.join(ratings.select("item"), on="item", how="semi").sort("item"),
        sha256=digests(paths),
    )


def _version_of(folder: Path) -> Version:
    if exists(folder, "ratings.dat"):
        return "ml-1m"
    if exists(folder, "u.data"):
        return "ml-100k"
    raise DataError(
        f"{folder} holds neither ratings.dat (MovieLens-1M) nor u.data (MovieLens-100K), plain or "
        "gzip; put the unpacked files there, or fetch them with: recfunnel data ml-1m"
    )


def _age_group() -> pl.Expr:
    group = pl.lit(0)
    for lowest in AGE_GROUPS:
        group = group + (pl.col("age") >= lowest).cast(pl.Int64)
    return group.alias("age")


def _movies_1m(movies: pl.DataFrame) -> pl.DataFrame:
    year = pl.col("title").str.extract(r"\((\d{4})\)\s*$").cast(pl.Int64)
    return movies.select("item", year.alias("year"), pl.col("genres").str.split("|"))


def _movies_100k(movies: pl.DataFrame) -> pl.DataFrame:
    released = pl.col("released").str.extract(r"(\d{4})\s*$").cast(pl.Int64)
    flags = [pl.when(pl.col(g) == 1).then(pl.lit(g)) for g in _GENRES_100K if g != "unknown"]
    genres = pl.concat_list(flags).list.drop_nulls()
    return movies.select("item", released.alias("year"), genres.alias("genres"))


def _check_rating_range(ratings: pl.DataFrame, path: Path) -> None:
    wrong = ratings.with_row_index("line", offset=1).filter(~pl.col("rating").is_between(1, 5))
    if wrong.height:
        line, rating = wrong["line"][0], wrong["rating"][0]
        raise DataError(
            f"{path}, line {line}: rating is {rating:g}, must be 1 to 5 ({wrong.height} such "
            "lines); correct or remove the line"
        )


def _check_known(ratings: pl.DataFrame, table: pl.DataFrame, key: str, paths: list[Path]) -> None:
    strangers = ratings.with_row_index("line", offset=1).join(table, on=key, how="anti")
    if strangers.height:
        where = paths[1] if key == "user" else paths[2]
        line, stranger = strangers.sort("line").select("line", key).row(0)
        raise DataError(
            f"{paths[0]}, line {line}: {key} {stranger} is not in {where.name} "
            f"({strangers.height} such lines); fetch both files again"
        )


def _check_distinct(table: pl.DataFrame, key: str, path: Path) -> None:
    twice = table.filter(pl.col(key).is_duplicated())
    if twice.height:
        raise DataError(
            f"{path} lists {key} {int(twice[key].to_numpy()[0])} more than once; keep one line"
        )
