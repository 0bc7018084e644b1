"""Read a study: a built-in recipe, a TOML file, a Python file, a data folder, and changes to it.

A TOML file either spells out a whole study or begins with `recipe = "NAME"` and changes what it
names; tables are merged key by key. `--set target.rate_qps=50` is the same change on the command
line. An unknown key is an error with a suggestion, at any depth.
"""

import difflib
import runpy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from recfunnel.core.errors import DataError, StudyError
from recfunnel.core.registry import decode_role
from recfunnel.core.spec import to_builtins, with_suggestion
from recfunnel.core.storage import replacing_file
from recfunnel.study.study import Study


def study_from_dict(plain: Mapping[str, Any]) -> Study:
    """Build a study from plain data, checking every key.

    Raises:
        StudyError: an unknown key (with a suggestion), a wrong type, or a broken rule.
    """
    try:
        return msgspec.convert(plain, Study, dec_hook=decode_role)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, StudyError):
            raise error.__cause__ from None
        raise StudyError(f"study: {with_suggestion(str(error), Study)}") from error


def study_to_dict(study: Study) -> dict[str, Any]:
    """A study as plain data with every default written out; nulls left out, as TOML has none."""
    plain: dict[str, Any] = _without_nulls(to_builtins(study))
    return plain


def read_toml(path: Path) -> dict[str, Any]:
    """Plain data of a TOML file.

    Raises:
        StudyError: missing, or not TOML; the message has the line.
    """
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise StudyError(f"{path} does not exist") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is not valid TOML: {error}") from error


def write_study(path: Path, study: Study) -> None:
    """Store a study as TOML that `read_toml` and `study_from_dict` read back to an equal one."""
    with replacing_file(path) as temporary:
        temporary.write_text(tomli_w.dumps(study_to_dict(study)))


def study_from_python(path: Path) -> Study:
    """Run a Python file and take its `study`: a Study, or a function that returns one.

    Raises:
        StudyError: the file has no such name, or it is something else.
    """
    if not path.exists():
        raise StudyError(f"{path} does not exist")
    found = runpy.run_path(str(path)).get("study")
    study = found() if callable(found) else found
    if not isinstance(study, Study):
        raise StudyError(
            f"{path} must define 'study', a Study or a function that returns one; "
            f"found {type(study).__name__}"
        )
    return study


def apply_changes(plain: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Apply `a.b=value` changes to plain data; the value is read as TOML, else as text.

    Raises:
        StudyError: not of that form, or the path goes through something that is no table.
    """
    changed = merge(plain, {})
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path:
            raise StudyError(f"--set needs KEY=VALUE, such as target.rate_qps=50; got {change!r}")
        *parents, last = path.strip().split(".")
        table = changed
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise StudyError(f"--set {path}: {parent!r} is no table")
        table[last] = _toml_value(text.strip())
    return changed


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Base with the change's keys on top; tables are merged key by key.

    A table whose `kind` changes is replaced whole, since other kinds have other keys.
    """
    merged: dict[str, Any] = {
        key: merge(value, {}) if isinstance(value, Mapping) else value
        for key, value in base.items()
    }
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and _same_kind(old, value):
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged


def _same_kind(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return bool(new.get("kind", old.get("kind")) == old.get("kind"))


def movielens_folder(path: Path) -> bool:
    """Whether a folder looks like a raw MovieLens data set."""
    names = ("ratings.dat", "ratings.dat.gz", "u.data", "u.data.gz")
    return any((path / name).exists() for name in names)


def recipe_for_data(path: Path) -> str:
    """The recipe that suits a data folder or file.

    Raises:
        DataError: nothing known is there.
    """
    if movielens_folder(path):
        return "movielens"
    if path.suffix == ".toml":
        return "tabular"
    if not path.exists():
        raise DataError(f"{path} does not exist; `recfunnel data` lists public data sets")
    raise DataError(
        f"{path} is no data set that is known by its files (MovieLens: a folder with ratings.dat "
        "or u.data); name its recipe (criteo), or describe your tables in a TOML file and give "
        "that as --data"
    )


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(v) for v in value]
    return value


def closest(name: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
