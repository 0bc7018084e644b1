"""What every policy keeps to; subclass `SchedulerContract` and set `spec`."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from recfunnel.core.spec import to_builtins
from recfunnel.schedule.base import PathState, schedulers

NUM_CASES = 200


class SchedulerContract:
    """Tests of a `SchedulerSpec`.

    `spec` is the spec under test; `num_paths` is how many paths it must be given at least.
    """

    spec: Any
    num_paths: int = 1

    def test_the_spec_survives_being_written_and_read(self) -> None:
        """As plain data with its kind."""
        assert schedulers.parse(to_builtins(self.spec)) == self.spec

    def test_it_chooses_a_path_that_exists(self) -> None:
        """Whatever the queues and the time left, even when the deadline has passed."""
        for paths, budget_s in self._cases():
            assert 0 <= self.spec.build().choose(paths, budget_s=budget_s) < len(paths)

    def test_equal_states_are_answered_alike(self) -> None:
        """Two fresh policies agree: nothing but what they are given decides."""
        for paths, budget_s in self._cases():
            first = self.spec.build().choose(paths, budget_s=budget_s)
            assert self.spec.build().choose(tuple(paths), budget_s=budget_s) == first

    def _cases(self) -> Iterator[tuple[list[PathState], float]]:
        # Plain draws: hypothesis refuses one test method shared by several subclasses.
        rng = np.random.default_rng(1)
        for _ in range(NUM_CASES):
            num_paths = self.num_paths + int(rng.integers(6))
            paths = [
                PathState(
                    ndcg=float(rng.choice([0.0, 0.5, 1.0, rng.random()])),
                    predicted_latency_s=float(10.0 ** rng.uniform(-6, 1)),
                    backlog_s=float(rng.choice([0.0, 10.0 ** rng.uniform(-6, 1)])),
                )
                for _ in range(num_paths)
            ]
            yield paths, float(rng.choice([0.0, rng.uniform(-1, 10), 10.0 ** rng.uniform(-6, 1)]))
