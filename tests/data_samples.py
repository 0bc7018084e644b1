"""Small source files in the layouts of the public data sets, made from a seed."""

import gzip
from pathlib import Path

import numpy as np

GENRES = ("Action", "Comedy", "Drama")
NUM_USERS = 30
NUM_MOVIES = 140


def write_text(path: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = ("\n".join(lines) + "\n").encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def sample_ratings(seed: int = 0) -> list[tuple[int, int, int, int]]:
    """(user, movie, stars, time); users 1.., movies 10, 20, ..; 20 a user, no pair twice."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(1, NUM_USERS + 1):
        movies = rng.choice(NUM_MOVIES, 20, replace=False)
        for movie in movies:
            stars, time = int(rng.integers(1, 6)), 1000 + int(rng.integers(5000))
            rows.append((user, 10 * (int(movie) + 1), stars, time))
    return rows


def write_ml_1m(folder: Path, *, gz: bool = False) -> Path:
    end = ".gz" if gz else ""
    rows = sample_ratings()
    write_text(folder / f"ratings.dat{end}", ["::".join(map(str, row)) for row in rows])
    users = [
        f"{u}::{'MF'[u % 2]}::{(1, 25, 56)[u % 3]}::{u % 4}::{48000 + u}" for u in range(1, 31)
    ]
    write_text(folder / f"users.dat{end}", users)
    movies = [
        f"{10 * m}::Café {m} ({1950 + m % 50})::{'|'.join(GENRES[: 1 + m % 3])}"
        for m in range(1, NUM_MOVIES + 5)
    ]
    write_text(folder / f"movies.dat{end}", movies, encoding="latin-1")
    return folder


def write_ncf(folder: Path) -> Path:
    """The NCF files of `write_ml_1m`: each user's last rating is the test positive."""
    rows = sample_ratings()
    number: dict[int, int] = {}
    for _, movie, _, _ in rows:
        number.setdefault(movie, len(number))
    last = {user: (movie, stars, time) for user, movie, stars, time in rows}
    train = [f"{u - 1}\t{number[m]}\t{s}\t{t}" for u, m, s, t in rows if (m, s, t) != last[u]]
    test = [f"{u - 1}\t{number[m]}\t{s}\t{t}" for u, (m, s, t) in last.items()]
    rng = np.random.default_rng(1)
    negatives = []
    for user, (movie, _, _) in last.items():
        rated = {number[m] for u, m, _, _ in rows if u == user}
        unrated = [n for n in range(len(number)) if n not in rated]
        picked = [int(n) for n in rng.choice(unrated, 99, replace=False)]
        if user == 1:
            picked[5] = number[movie]
        key = f"({user - 1},{number[movie]})"
        negatives.append("\t".join([key, *map(str, picked)]))
    write_text(folder / "ncf" / "ml-1m.train.rating", train)
    write_text(folder / "ncf" / "ml-1m.test.rating", test)
    write_text(folder / "ncf" / "ml-1m.test.negative", negatives)
    return folder


def write_ml_100k(folder: Path) -> Path:
    write_text(folder / "u.data.gz", ["\t".join(map(str, row)) for row in sample_ratings()])
    users = [
        f"{u}|{15 + u}|{'MF'[u % 2]}|{('artist', 'other')[u % 2]}|{u:05d}" for u in range(1, 31)
    ]
    write_text(folder / "u.user", users)
    movies = [
        f"{10 * m}|Café {m}|{'' if m == 3 else f'01-Jan-{1950 + m % 50}'}||http://x/{m}|"
        + "|".join("1" if g in (m % 19, 5) else "0" for g in range(19))
        for m in range(1, NUM_MOVIES + 1)
    ]
    write_text(folder / "u.item", movies, encoding="latin-1")
    return folder


def criteo_rows(num_rows: int, seed: int = 0) -> list[list[str]]:
    """Fields of Criteo rows: some missing, I2 sometimes -2, a few frequent and many rare values."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(num_rows):
        numbers = ["" if rng.random() < 0.3 else str(rng.integers(-2, 50)) for _ in range(13)]
        categories = [
            "" if rng.random() < 0.1 else f"{int(rng.zipf(1.5)) % 2**32:08x}" for _ in range(26)
        ]
        rows.append([str(int(rng.random() < 0.3)), *numbers, *categories])
    return rows


def write_criteo(path: Path, num_rows: int = 400, seed: int = 0) -> Path:
    return write_text(path, ["\t".join(row) for row in criteo_rows(num_rows, seed)])


INTERACTIONS_TOML = """
task = "implicit"
file = "plays.csv"
user = "who"
item = "song"
rating = "stars"
min_rating = 3
timestamp = "at"
items_file = "songs.parquet"
licence = "our own"

[[features]]
name = "country"
kind = "categorical"
side = "context"

[[features]]
name = "age"
kind = "dense"
side = "context"
fill = 30

[[features]]
name = "styles"
kind = "multi_valued"

[[features]]
name = "length_s"
kind = "dense"
"""

CLICKS_TOML = """
task = "ctr"
file = "clicks.tsv.gz"
label = "clicked"
query = "search"

[[features]]
name = "device"
kind = "categorical"
side = "context"

[[features]]
name = "shop"
kind = "categorical"
min_count = 2

[[features]]
name = "price"
kind = "dense"
scale = "log"
"""


def write_plays(folder: Path) -> Path:
    """An implicit table of text with a Parquet table of items; the path of its description."""
    import polars as pl

    rng = np.random.default_rng(2)
    lines = ["who,song,stars,at,country,age"]
    for user in range(25):
        for song in rng.choice(40, 12, replace=False):
            age = "" if user == 3 else str(20 + user)
            lines.append(
                f"u{user},s{song},{rng.integers(1, 6)},{rng.integers(9999)},{'xyz'[user % 3]},{age}"
            )
    write_text(folder / "plays.csv", lines)
    pl.DataFrame(
        {
            "song": [f"s{n}" for n in range(45)],
            "styles": [["rock", "pop"][: n % 3] for n in range(45)],
            "length_s": [100.0 + n for n in range(45)],
        }
    ).write_parquet(folder / "songs.parquet")
    (folder / "plays.toml").write_text(INTERACTIONS_TOML)
    return folder / "plays.toml"


def write_clicks(folder: Path, description: str = CLICKS_TOML) -> Path:
    """A gzip TSV of 60 searches with 1 to 6 rows each; the path of its description."""
    rng = np.random.default_rng(3)
    lines = ["search\tclicked\tdevice\tshop\tprice"]
    for search in range(60):
        for _ in range(rng.integers(1, 7)):
            device = ("phone", "desk")[search % 2]
            click, shop = int(rng.random() < 0.4), int(rng.zipf(1.4)) % 50
            lines.append(f"q{search}\t{click}\t{device}\t{shop}\t{rng.random() * 50:.3f}")
    write_text(folder / "clicks.tsv.gz", lines)
    (folder / "clicks.toml").write_text(description)
    return folder / "clicks.toml"
