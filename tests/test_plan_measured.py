"""Measured capacity is found to a quarter of a step, wherever the search begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.plan.measured import STEP, highest_load


@given(limit=st.floats(50, 200))
def test_the_limit_is_found_from_below_and_from_above(limit: float) -> None:
    found = highest_load(lambda qps: qps <= limit, 100.0)
    assert found <= limit < found * STEP**0.25 * (1 + 1e-9)


@pytest.mark.parametrize("answer", [True, False])
def test_a_search_without_a_limit_ends(answer: bool) -> None:
    asked: list[float] = []

    def holds(qps: float) -> bool:
        asked.append(qps)
        return answer

    found = highest_load(holds, 100.0)
    assert len(asked) == 11
    assert found == (max(asked) if answer else 0.0)
