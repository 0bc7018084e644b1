"""Registries: how a kind written in a study finds the class that implements it.

A room's registry imports every module of the room's package on first use, so adding a plug-in is
adding a file. Another distribution joins through an entry point in the group `recfunnel.ROOM`.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import convert, kind_of

R = TypeVar("R")
C = TypeVar("C", bound=type[Any])

_BY_ROLE: dict[type, "Registry[Any]"] = {}


class Registry(Generic[R]):
    """The kinds of one extension point.

    Args:
        role: the role class that every registered spec derives from.
        package: dotted package whose modules hold the built-in kinds, also the entry-point group.
    """

    def __init__(self, role: type[R], package: str) -> None:
        self._role = role
        self._package = package
        self._classes: dict[str, type[R]] = {}
        self._loaded = False
        _BY_ROLE[role] = self

    def register(self, cls: C) -> C:
        """Class decorator: make a spec class known under its tag.

        Raises:
            TypeError: the class does not derive from the role, or the kind is taken.
        """
        kind = kind_of(cls)
        if self._role not in cls.__mro__:
            raise TypeError(f"{cls.__name__} must derive from {self._role.__name__}")
        taken = self._classes.get(kind)
        if taken is not None and taken.__qualname__ != cls.__qualname__:
            raise TypeError(f"{self._package} already has a kind {kind!r}: {taken.__qualname__}")
        self._classes.update({kind: cls})
        return cls

    def kinds(self) -> tuple[str, ...]:
        """All known kinds, sorted."""
        self._load()
        return tuple(sorted(self._classes))

    def spec_class(self, kind: str) -> type[R]:
        """The class registered under `kind`.

        Raises:
            StudyError: no such kind; the message lists what there is.
        """
        self._load()
        if kind not in self._classes:
            known = ", ".join(sorted(self._classes))
            close = difflib.get_close_matches(kind, self._classes, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise StudyError(f"{self._package} has no kind {kind!r}; known: {known}{hint}")
        return self._classes[kind]

    def parse(self, value: object) -> R:
        """Build a spec from plain data with a `kind` key.

        Raises:
            StudyError: not a table, no `kind`, an unknown kind or key, or a broken rule.
        """
        if isinstance(value, self._role):
            return value
        if not isinstance(value, Mapping) or "kind" not in value:
            raise StudyError(
                f"{self._package} needs a table with a 'kind'; known: {', '.join(self.kinds())}"
            )
        kind = str(value["kind"])
        name = f"{self._package} {kind!r}"
        return convert(value, self.spec_class(kind), name=name, dec_hook=decode_role)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__, prefix=f"{self._package}."):
            importlib.import_module(module.name)
        for point in entry_points(group=self._package):
            point.load()


def registry_of(role: type[R]) -> Registry[R]:
    """The registry that keeps the specs of a role."""
    return _BY_ROLE[role]


def decode_role(role: type, value: object) -> object:
    """msgspec `dec_hook`: turn plain data into a spec wherever a role is annotated."""
    return registry_of(role).parse(value)
