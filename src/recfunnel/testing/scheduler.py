"""What every policy keeps to; subclass `SchedulerContract` and set `spec`."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recfunnel.core.spec import to_builtins
from recfunnel.schedule.base import PathState, schedulers

_PATHS = st.lists(
    st.builds(
        PathState,
        ndcg=st.floats(0, 1),
        predicted_latency_s=st.floats(1e-6, 10),
        backlog_s=st.floats(0, 10),
    ),
    min_size=1,
    max_size=6,
)


class SchedulerContract:
    """Tests of a `SchedulerSpec`.

    `spec` is the spec under test; `num_paths` is how many paths it must be given at least.
    """

    spec: Any
    num_paths: int = 1

    def test_the_spec_survives_being_written_and_read(self) -> None:
        """As plain data with its kind."""
        assert schedulers.parse(to_builtins(self.spec)) == self.spec

    @given(paths=_PATHS, budget_s=st.floats(-10, 10))
    def test_it_chooses_a_path_that_exists(self, paths: list[PathState], budget_s: float) -> None:
        """Whatever the queues and the time left, even when the deadline has passed."""
        given_paths = paths * self.num_paths
        assert 0 <= self.spec.build().choose(given_paths, budget_s=budget_s) < len(given_paths)

    @given(paths=_PATHS, budget_s=st.floats(-10, 10))
    def test_equal_states_are_answered_alike(self, paths: list[PathState], budget_s: float) -> None:
        """Two fresh policies agree: nothing but what they are given decides."""
        given_paths = paths * self.num_paths
        first = self.spec.build().choose(given_paths, budget_s=budget_s)
        assert self.spec.build().choose(tuple(given_paths), budget_s=budget_s) == first
