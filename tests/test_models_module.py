"""A user's own network by import path."""

import pytest

from recfunnel.core.errors import StudyError
from recfunnel.models.base import models
from recfunnel.models.module import Module
from recfunnel.testing.model import EXAMPLE_SCHEMA, ModelContract

HERE = "user_networks"


class TestUsersNetwork(ModelContract):
    spec = Module(path=f"{HERE}:Dense", arguments={"shift": 0.5})


class TestUsersNetworkOnScores(ModelContract):
    spec = Module(path=f"{HERE}:Dense")
    num_score_inputs = 2


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no.such_package:Net", "cannot import 'no.such_package'"),
        (f"{HERE}:Absent", "has no 'Absent'"),
        (f"{HERE}:NotANetwork", "made a NotANetwork, not an nn.Module"),
        (f"{HERE}:Broken", "refuses its arguments: .*fault"),
    ],
)
def test_a_path_that_leads_nowhere_is_a_clear_error(path: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Module(path=path).build(EXAMPLE_SCHEMA)


@pytest.mark.parametrize("path", ["", "package.module", "package.module:", ":Class"])
def test_a_path_without_module_or_class_is_refused(path: str) -> None:
    with pytest.raises(StudyError, match=r"must look like 'package\.module:Class'"):
        Module(path=path)


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(StudyError, match="colour"):
        Module(path=f"{HERE}:Dense", arguments={"colour": 1}).build(EXAMPLE_SCHEMA)


def test_work_is_as_stated_or_two_flops_a_parameter() -> None:
    path = f"{HERE}:Dense"
    assert Module(path=path).cost(EXAMPLE_SCHEMA).flops_per_item == 2 * 3
    stated = Module(path=path, flops_per_item=7.0, read_bytes_per_item=5.0).cost(EXAMPLE_SCHEMA)
    assert (stated.flops_per_item, stated.read_bytes_per_item) == (7, 5)


def test_a_network_that_needs_real_numbers_to_be_built_is_told_so() -> None:
    with pytest.raises(StudyError, match="meta device"):
        Module(path=f"{HERE}:ReadsWhileBuilt").cost(EXAMPLE_SCHEMA)


def test_arguments_tell_two_networks_apart() -> None:
    one, two = (Module(path=f"{HERE}:Dense", arguments={"shift": x}) for x in (0.5, 0.25))
    assert one != two
    assert {one: 1, two: 2}[Module(path=f"{HERE}:Dense", arguments={"shift": 0.5})] == 1


def test_every_kind_is_known_by_name() -> None:
    expected = {
        "dlrm", "ease", "matrix_factorisation", "module", "neumf", "popularity", "reranker"
    }  # fmt: skip
    assert expected <= set(models.kinds())
