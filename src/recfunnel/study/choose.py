"""Turn what the user named into a study: recipe, file, data folder or an existing run folder."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recfunnel.core.errors import StudyError
from recfunnel.study.parse import (
    apply_changes,
    merge,
    read_toml,
    recipe_for_data,
    study_from_dict,
    study_from_python,
    study_to_dict,
)
from recfunnel.study.study import Study

DEFAULT_RECIPE = "quick"

RecipeSource = Callable[[str, Path | None], Study]


def choose_study(
    named: str | None,
    *,
    recipe: RecipeSource,
    data: Path | None,
    changes: Mapping[str, Any],
    settings: Sequence[str],
    stored: Path | None,
) -> Study:
    """The study a command is about.

    Args:
        named: a recipe's name, a .toml or .py file, or a data folder; None means the study stored
            in the run folder when there is one, else the data folder's or the default recipe.
        recipe: finds a recipe by name.
        data: data folder or file given beside.
        changes: plain data merged on top.
        settings: `a.b=value` changes applied last.
        stored: `study.toml` of the run folder, when it exists.

    Returns:
        The study.

    Raises:
        StudyError: nothing of that name, or a change that breaks a rule.
    """
    base = _base(named, recipe, data, stored)
    return study_from_dict(apply_changes(merge(study_to_dict(base), changes), settings))


def _base(named: str | None, recipe: RecipeSource, data: Path | None, stored: Path | None) -> Study:
    if named is None:
        if stored is not None and data is None:
            return study_from_dict(read_toml(stored))
        return recipe(DEFAULT_RECIPE if data is None else recipe_for_data(data), data)
    path = Path(named)
    if path.suffix == ".toml":
        return _from_toml(path, recipe, data)
    if path.suffix == ".py":
        return study_from_python(path)
    if path.is_dir():
        if data is not None:
            raise StudyError(f"two data folders: {path} and --data {data}; give one")
        return recipe(recipe_for_data(path), path)
    return recipe(named, data)


def _from_toml(path: Path, recipe: RecipeSource, data: Path | None) -> Study:
    plain = read_toml(path)
    name = plain.pop("recipe", None)
    if name is None:
        return study_from_dict(plain)
    return study_from_dict(merge(study_to_dict(recipe(str(name), data)), plain))
