"""MovieLens-1M and -100K: which movies will a user rate highly?"""

from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from recfunnel.core.arrays import IntArray
from recfunnel.core.dataset import Dataset, DatasetSpec, Provenance, datasets
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, Features
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.seeds import rng_for
from recfunnel.core.spec import Spec
from recfunnel.data.implicit import Gain, Judgement, full_ranking_dataset
from recfunnel.data.movielens_files import RawMovieLens, read_movielens
from recfunnel.data.movielens_ncf import leave_one_out_dataset
from recfunnel.data.rating_features import RatingLog, SideTable, standardised
from recfunnel.data.splitting import (
    DEFAULT_FRACTIONS,
    Fractions,
    check_fractions,
    random_parts,
    time_parts,
)
from recfunnel.data.vocabulary import Vocabulary, vocabulary_of

LICENCE = (
    "GroupLens: research use, no redistribution; cite Harper & Konstan, ACM TiiS 5(4):19, 2015"
)

_SPLITS = {
    "random": "each rating drawn to train/validation/test with probabilities {shares}, seeded",
    "time": "ratings by global time, the first {train:g} train, the last {test:g} test",
    "leave_one_out": "NCF leave-one-out files (He et al. 2017): 1 positive among 99 negatives; "
    "validation leaves out one more rating a user, seeded",
}


@datasets.register
class MovieLens(Spec, DatasetSpec, frozen=True, tag="movielens"):
    """A raw MovieLens folder.

    All dense features are standardised. Every rated movie is an item; item id is row + 1; a user
    without a training rating has user id 0.

    Args:
        path: folder with the raw files of ML-1M or ML-100K, plain or gzip.
        split: `random` draws every rating to a part; `time` cuts at two moments;
            `leave_one_out` follows the NCF files in `ncf/` (ML-1M only).
        fractions: shares of train, validation and test for `random` and `time`.
        min_rating: a held-out rating at or above it is relevant. Under `leave_one_out` every
            rating is a positive, as in that protocol.
        gain: of a relevant movie: 1 (`binary`) or its stars (`rating`).
        zip_digits: leading digits of the zip code used as a user feature; 0 leaves it out.
    """

    path: str
    split: Literal["random", "time", "leave_one_out"] = "random"
    fractions: Fractions = DEFAULT_FRACTIONS
    min_rating: float = 4.0
    gain: Gain = "binary"
    zip_digits: int = 0

    def __post_init__(self) -> None:
        check_fractions(self.fractions)
        if not 1 <= self.min_rating <= 5:
            raise StudyError(f"min_rating is {self.min_rating:g}, ratings run from 1 to 5")
        if not 0 <= self.zip_digits <= 5:
            raise StudyError(f"zip_digits is {self.zip_digits}, must be 0 to 5")

    def prepare(self, *, seed: int, progress: Progress = SILENT) -> Dataset:
        """Read the folder and split it.

        Raises:
            DataError: a file is missing, malformed or inconsistent with the others.
        """
        folder = Path(self.path).expanduser()
        with progress.task(f"read {folder.name}"):
            raw = read_movielens(folder)
        log = _rating_log(raw)
        sides = (_user_side(raw.users, self.zip_digits), _movie_side(raw.movies))
        train, _, test = self.fractions
        shares = "/".join(f"{share:g}" for share in self.fractions)
        provenance = Provenance(
            source=f"MovieLens {raw.version}, {len(log.users)} ratings",
            licence=LICENCE,
            split=_SPLITS[self.split].format(shares=shares, train=train, test=test),
            seed=seed,
            sha256=raw.sha256,
        )
        if self.split == "leave_one_out":
            return leave_one_out_dataset(folder, raw, log, sides, provenance, seed)
        rng = rng_for(seed, "movielens", "split")
        parts = (
            random_parts(len(log.users), self.fractions, rng)
            if self.split == "random"
            else time_parts(raw.ratings["time_s"].to_numpy(), self.fractions)
        )
        judgement = Judgement(self.min_rating, self.gain)
        return full_ranking_dataset(raw.version, log, parts, sides, judgement, provenance)


def _rating_log(raw: RawMovieLens) -> RatingLog:
    return RatingLog(
        np.searchsorted(raw.users["user"].to_numpy(), raw.ratings["user"].to_numpy()),
        np.searchsorted(raw.movies["item"].to_numpy(), raw.ratings["item"].to_numpy()),
        raw.ratings["rating"].to_numpy().astype(np.float32),
    )


def _user_side(users: pl.DataFrame, zip_digits: int) -> SideTable:
    names = ["gender", "age", "occupation"]
    if zip_digits:
        users = users.with_columns(pl.col("zip").str.head(zip_digits).alias("zip_prefix"))
        names.append("zip_prefix")
    known = {name: vocabulary_of(users[name]) for name in names}
    columns: list[IntArray] = [known[name].encode(users[name]) for name in names]
    features = tuple(_categorical(name, known[name]) for name in names)
    dense = np.zeros((users.height, 0), np.float32)
    values = Features(np.column_stack(columns), dense)
    return SideTable(features, values, users["user"].to_numpy())


def _categorical(name: str, known: Vocabulary) -> Feature:
    return Feature(name=name, side="context", kind="categorical", cardinality=known.cardinality)


def _movie_side(movies: pl.DataFrame) -> SideTable:
    genres = vocabulary_of(movies["genres"].explode().drop_nulls())
    years = movies["year"].cast(pl.Float64)
    filled = years.fill_null(years.mean() if years.count() else 0.0).to_numpy()
    features = (
        Feature(name="year", side="candidate", kind="dense"),
        Feature(
            name="genres",
            side="candidate",
            kind="multi_valued",
            cardinality=genres.cardinality,
        ),
    )
    values = Features(
        np.zeros((movies.height, 0), np.int64),
        standardised(filled)[:, None],
        (genres.encode_lists(movies["genres"]),),
    )
    return SideTable(features, values, movies["item"].to_numpy())
