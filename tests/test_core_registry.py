"""Specs and registries: strict, hashable, and one file a kind."""

import pytest

from recfunnel.core.dataset import DatasetSpec
from recfunnel.core.errors import StudyError
from recfunnel.core.registry import Registry, decode_role
from recfunnel.core.spec import Spec, kind_of, to_builtins


class Colour:
    __slots__ = ()


colours: Registry[Colour] = Registry(Colour, "recfunnel.schedule")


@colours.register
class Red(Spec, Colour, frozen=True, tag="red"):
    depth: int = 1


def test_a_spec_survives_being_written_and_read() -> None:
    plain = to_builtins(Red(depth=3))
    assert plain == {"kind": "red", "depth": 3}
    assert decode_role(Colour, plain) == Red(depth=3)


def test_a_misspelt_key_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(StudyError, match="did you mean 'depth'"):
        colours.parse({"kind": "red", "dpeth": 3})


def test_an_unknown_kind_lists_what_there_is() -> None:
    with pytest.raises(StudyError, match="no kind 'rod'; known: red; did you mean 'red'"):
        colours.parse({"kind": "rod"})


def test_a_kind_cannot_be_taken_twice() -> None:
    with pytest.raises(TypeError, match="already has a kind 'red'"):

        @colours.register
        class Other(Spec, Colour, frozen=True, tag="red"):
            pass


def test_a_spec_must_play_the_registrys_role() -> None:
    with pytest.raises(TypeError, match="must derive from Colour"):

        @colours.register
        class Wrong(Spec, DatasetSpec, frozen=True, tag="wrong"):
            pass


def test_equal_specs_are_one_key() -> None:
    assert {Red(): 1}[Red(depth=1)] == 1
    assert kind_of(Red()) == "red"
