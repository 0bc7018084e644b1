"""The TOML file that says what the columns of someone's own table mean."""

import tomllib
from pathlib import Path
from typing import Literal

from recfunnel.core.dataset import TaskKind
from recfunnel.core.errors import DataError, InvalidInput, StudyError
from recfunnel.core.features import FeatureKind, Side
from recfunnel.core.spec import Value, convert


class TableFeature(Value, frozen=True):
    """One feature column.

    Args:
        name: of the column, and of the feature.
        kind: what its values are.
        side: `context` when it belongs to the user or query, `candidate` when to the item or row.
        separator: between the values of a multi-valued text field.
        min_count: rarer categorical values share id 0 with those never seen in training.
        fill: number that stands for a missing dense value; without it a missing one is an error.
        scale: of a dense feature: `standard` (mean 0, deviation 1 over training rows), `log`
            (log(1 + max(x, 0))), or `none`.
    """

    name: str
    kind: FeatureKind
    side: Side = "candidate"
    separator: str = "|"
    min_count: int = 1
    fill: float | None = None
    scale: Literal["standard", "log", "none"] = "standard"

    def __post_init__(self) -> None:
        if self.min_count < 1:
            raise StudyError(f"feature {self.name!r}: min_count must be at least 1")
        if not self.separator:
            raise StudyError(f"feature {self.name!r}: separator must not be empty")


class TableDescription(Value, frozen=True):
    """What a table holds.

    Args:
        task: `implicit` ranks all items for each user and needs `user` and `item`; `ctr` ranks the
            rows of each query and needs `label`.
        file: CSV, TSV or Parquet, beside this description; text may be gzip.
        user: column of the user id (implicit).
        item: column of the item id (implicit).
        query: column that says which rows were shown together (ctr); without it queries are
            blocks of rows.
        label: column of 0 and 1.
        rating: column of strengths (implicit); goes with `min_rating`.
        min_rating: a rating at or above it is relevant.
        timestamp: column of times, any whole numbers; needed by the split by time.
        users_file: table with one row a user, for context features (implicit).
        items_file: table with one row an item, for candidate features (implicit).
        separator: of text files; empty means a tab for `.tsv` and a comma otherwise.
        licence: of the data, shown wherever its figures are.
        features: the feature columns; ids need not be among them.
    """

    task: TaskKind
    file: str
    user: str = ""
    item: str = ""
    query: str = ""
    label: str = ""
    rating: str = ""
    min_rating: float | None = None
    timestamp: str = ""
    users_file: str = ""
    items_file: str = ""
    separator: str = ""
    licence: str = "not stated"
    features: tuple[TableFeature, ...] = ()

    def __post_init__(self) -> None:
        self._check_task()
        if (self.rating == "") != (self.min_rating is None):
            raise StudyError("rating and min_rating go together; give both or neither")
        names = [feature.name for feature in self.features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise StudyError(f"feature {twice[0]!r} is described twice")

    def _check_task(self) -> None:
        implicit = self.task == "implicit"
        needed = ("user", "item") if implicit else ("label",)
        foreign = ("query",) if implicit else ("user", "item", "rating", "users_file", "items_file")
        for name in needed:
            if not getattr(self, name):
                raise StudyError(f"task {self.task!r} needs the name of the {name} column")
        for name in foreign:
            if getattr(self, name):
                raise StudyError(
                    f"task {self.task!r} has no use for {name}; leave it out"
                    + ("" if implicit else ", and describe ids as categorical features")
                )
        if implicit and self.label and self.rating:
            raise StudyError("give either a label or a rating column, not both")
        if not implicit and not self.query:
            for feature in self.features:
                if feature.side == "context":
                    raise StudyError(
                        f"feature {feature.name!r} is of the context, but without a query column "
                        "there is none; name the query column or make it a candidate feature"
                    )

    def of_side(self, side: Side) -> tuple[TableFeature, ...]:
        """Features of one side."""
        return tuple(feature for feature in self.features if feature.side == side)


def read_description(path: Path) -> TableDescription:
    """Read a description, every key and type checked.

    Raises:
        DataError: missing, not TOML, an unknown key, a wrong type or a broken rule.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; give the TOML file that describes the tables"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not TOML: {error}; give the file that describes the tables, not a table"
        ) from error
    try:
        return convert(plain, TableDescription, name=str(path))
    except InvalidInput as error:
        raise DataError(str(error)) from error
