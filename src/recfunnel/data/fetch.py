"""Public data sets by name: fetched, checked and unpacked, or exactly what to put where."""

import difflib
import zipfile
from pathlib import Path, PurePosixPath

from recfunnel.core.errors import DataError, StudyError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.spec import Value
from recfunnel.core.storage import replacing_file
from recfunnel.data.download import download
from recfunnel.data.files import exists


class DataRecipe(Value, frozen=True):
    """How to get one public data set.

    Args:
        name: on the command line.
        title: for people.
        page: where its owner describes it.
        licence: its terms in a line.
        files: that must lie in the folder in the end, plain or gzip.
        url: of a zip archive; empty where its owner wants a person to agree to the terms first.
        md5: of the archive, as its owner publishes it.
        size_bytes: of the archive, about.
    """

    name: str
    title: str
    page: str
    licence: str
    files: tuple[str, ...]
    url: str = ""
    md5: str = ""
    size_bytes: int = 0

    def by_hand(self, folder: Path) -> str:
        """What to do without a network."""
        source = self.url or self.page
        return (
            f"by hand: download {source} where there is a network, unpack it, and put "
            f"{', '.join(self.files)} (plain or .gz) into {folder}"
        )


_GROUPLENS = (
    "research use, no redistribution, no commercial use without permission; cite Harper & Konstan, "
    "The MovieLens Datasets, ACM TiiS 5(4):19, 2015"
)

RECIPES: dict[str, DataRecipe] = {
    recipe.name: recipe
    for recipe in (
        DataRecipe(
            name="ml-1m",
            title="MovieLens-1M: 1,000,209 ratings, 6,040 users, 3,706 rated movies",
            page="https://grouplens.org/datasets/movielens/1m/",
            licence=_GROUPLENS,
            files=("ratings.dat", "users.dat", "movies.dat"),
            url="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
            md5="c4d9eecfca2ab87c1945afe126590906",
            size_bytes=5_917_549,
        ),
        DataRecipe(
            name="ml-100k",
            title="MovieLens-100K: 100,000 ratings, 943 users, 1,682 movies",
            page="https://grouplens.org/datasets/movielens/100k/",
            licence=_GROUPLENS,
            files=("u.data", "u.user", "u.item"),
            url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
            md5="0e33842e24a9c977be4e0107933c0723",
            size_bytes=4_924_029,
        ),
        DataRecipe(
            name="criteo",
            title="Criteo Kaggle display advertising challenge: 45.8 M impressions",
            page="https://www.kaggle.com/c/criteo-display-ad-challenge",
            licence="Criteo Labs data terms of use: non-commercial, no distribution of the data",
            files=("train.txt",),
        ),
    )
}
"""Public data sets by name."""


def recipe_named(name: str) -> DataRecipe:
    """The recipe of a public data set.

    Raises:
        StudyError: there is none of that name; the message lists what there is.
    """
    if name in RECIPES:
        return RECIPES[name]
    close = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise StudyError(f"no public data set {name!r}; known: {', '.join(sorted(RECIPES))}{hint}")


def fetch(name: str, destination: Path, progress: Progress = SILENT) -> Path:
    """Bring a public data set into a folder; does nothing when its files are there.

    Args:
        name: a key of `RECIPES`.
        destination: folder for its files; made when it does not exist.
        progress: told the licence first, then bytes.

    Returns:
        The folder.

    Raises:
        StudyError: no such data set.
        DataError: it cannot be fetched; the message says which files to put where.
        StorageError: no space, no permission.
    """
    return fetch_recipe(recipe_named(name), destination, progress)


def fetch_recipe(recipe: DataRecipe, destination: Path, progress: Progress = SILENT) -> Path:
    """`fetch` for a recipe of one's own."""
    progress.log(f"{recipe.title} ({recipe.page})")
    progress.log(f"licence: {recipe.licence}")
    if all(exists(destination, file) for file in recipe.files):
        progress.log(f"already in {destination}")
        return destination
    by_hand = recipe.by_hand(destination)
    if not recipe.url:
        raise DataError(f"{recipe.name} is given only to those who accept its terms; {by_hand}")
    archive = destination / PurePosixPath(recipe.url).name
    if not archive.exists():
        progress.log(f"fetching {recipe.size_bytes / 1e6:.1f} MB from {recipe.url}")
        download(recipe.url, archive, recipe.md5, by_hand, progress)
    _unpack(archive, recipe.files, destination)
    archive.unlink()
    return destination


def _unpack(archive: Path, files: tuple[str, ...], destination: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as content:
            members = {PurePosixPath(name).name: name for name in content.namelist()}
            for file in files:
                if file not in members:
                    raise DataError(f"{archive} does not hold {file}; delete it and fetch again")
                with replacing_file(destination / file) as temporary:
                    temporary.write_bytes(content.read(members[file]))
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive} is no zip archive: {error}; delete it and fetch again") from (
            error
        )
