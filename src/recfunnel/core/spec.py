"""Specs: small frozen values that say what to build, stored as JSON or TOML.

A plug-in is a spec class in one new file. It derives from `Spec` and from the *role* it plays
(`DatasetSpec`, `ModelSpec`, ... each defined where its room begins), carries its `kind` as the
msgspec tag, and is registered:

    @datasets.register
    class Synthetic(Spec, DatasetSpec, frozen=True, tag="synthetic"):
        num_users: int = 1000
"""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from recfunnel.core.errors import StudyError

T = TypeVar("T")


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of every spec: frozen, hashable, keyword-only, and strict about unknown keys."""


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every stored value that has no `kind`: frozen, hashable and strict."""


def kind_of(spec: object) -> str:
    """The registered kind of a spec instance or class, such as `synthetic`."""
    tag = spec.__struct_config__.tag  # type: ignore[attr-defined]
    return str(tag)


def to_builtins(value: object) -> Any:
    """A spec or value as dicts, lists, strings and numbers, keys in definition order."""
    return msgspec.to_builtins(value)


def with_suggestion(message: str, cls: type) -> str:
    """Add what is known to msgspec's message about an unknown field or choice of `cls`."""
    choice = re.search(r"Invalid enum value '[^']*' - at `\$\.([^`]+)`", message)
    if choice:
        parents, _, last = choice.group(1).rpartition(".")
        choices = _choices(_field_types(_inner_class(cls, parents)).get(last))
        return f"{message}; known: {', '.join(map(str, choices))}" if choices else message
    found = re.search(r"unknown field `([^`]+)`(?: - at `\$\.([^`]+)`)?", message)
    if not found:
        return message
    fields = msgspec.structs.fields(_inner_class(cls, found.group(2) or ""))
    known = [field.encode_name for field in fields]
    close = difflib.get_close_matches(found.group(1), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    return f"{message}; {hint}"


def _choices(annotated: object) -> tuple[Any, ...]:
    """What a `Literal` allows, also one among other types."""
    if get_origin(annotated) is Literal:
        return get_args(annotated)
    return tuple(choice for part in get_args(annotated) for choice in _choices(part))


def _inner_class(cls: type, path: str) -> type:
    """The struct class at a path of field names, as far as it leads through structs."""
    for part in filter(None, path.split(".")):
        name, is_element, _ = part.partition("[")
        inner = _field_types(cls).get(name)
        if is_element:
            inner = next((kind for kind in get_args(inner) if kind is not str), None)
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            cls = inner
    return cls


def _field_types(cls: type) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(cls)}


def convert(
    value: Mapping[str, Any],
    cls: type[T],
    *,
    name: str,
    dec_hook: Callable[[type, Any], Any] | None = None,
) -> T:
    """Build a spec or value of `cls` from plain data, checking every key and type.

    Args:
        value: keys and values as read from TOML or JSON.
        cls: a `Spec` or `Value` class.
        name: what to call the value in an error, such as `dataset`.
        dec_hook: msgspec's; `registry.decode_role` where a field of `cls` is itself a role.

    Returns:
        The instance.

    Raises:
        StudyError: an unknown key (with a suggestion), a wrong type, or a broken rule.
    """
    try:
        return msgspec.convert(value, cls, dec_hook=dec_hook)
    except msgspec.ValidationError as error:
        raise StudyError(f"{name}: {with_suggestion(str(error), cls)}") from error
