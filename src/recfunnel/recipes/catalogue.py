"""Find a recipe by name: every other module of this room is one, `entries` apart."""

import importlib
import pkgutil
from pathlib import Path

import recfunnel.recipes
from recfunnel.core.errors import StudyError
from recfunnel.study.parse import closest
from recfunnel.study.study import Study

_NOT_RECIPES = ("catalogue", "entries")


def recipe_names() -> tuple[str, ...]:
    """All recipes, sorted; `movielens-ncf` is the module `movielens_ncf`."""
    modules = pkgutil.iter_modules(recfunnel.recipes.__path__)
    return tuple(sorted(_name(m.name) for m in modules if m.name not in _NOT_RECIPES))


def recipe_summary(name: str) -> str:
    """First line of a recipe's docstring."""
    module = _module(name)
    return (module.__doc__ or "").strip().splitlines()[0]


def recipe(name: str, data: Path | None = None) -> Study:
    """The study of a recipe.

    Args:
        name: as `recipe_names` lists it.
        data: folder or file of the data set, for recipes that read one.

    Returns:
        The study.

    Raises:
        StudyError: no such recipe, or it needs data and none is given.
    """
    study: Study = _module(name).study(data)
    return study


def _module(name: str):  # type: ignore[no-untyped-def] # a module has no better type
    if name not in recipe_names():
        raise StudyError(
            f"no recipe {name!r}; known: {', '.join(recipe_names())}{closest(name, recipe_names())}"
        )
    return importlib.import_module(f"recfunnel.recipes.{name.replace('-', '_')}")


def _name(module: str) -> str:
    return module.replace("_", "-")
