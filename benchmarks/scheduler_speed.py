"""How long a decision takes: a policy's choice, and all that an arrival costs the dispatcher.

    python benchmarks/scheduler_speed.py [--paths 32]

Paths of one station each stand on two platforms in turn; a query arrives every 0.3 ms and up to two
of those that started are still worked on. An arrival is the service times of every path for its
size, all waits, the choice (once more where a server is free at once) and the start. Medians of
4,000 arrivals with the range from the first to the ninth decile.
"""

import argparse
from time import perf_counter

import numpy as np

from recfunnel.core.servable import PathMenu, PathStation, ServablePath, ServiceTimes
from recfunnel.schedule.base import Conditions, Offer, Scheduler, SchedulerSpec
from recfunnel.schedule.dispatcher import Dispatcher, Start
from recfunnel.schedule.fixed import FixedPath
from recfunnel.schedule.greedy import MostAccurateInTime
from recfunnel.schedule.marginal_value import MarginalValue

NUM_ARRIVALS = 4000
GAP_S = 3e-4
DEADLINE_S = 0.01
SIZES = (1, 1024)
POLICIES: tuple[SchedulerSpec, ...] = (
    FixedPath(),
    MostAccurateInTime(queue_aware=True),
    MarginalValue(),
)


class Timed:
    """A policy that notes how long it takes to choose.

    Args:
        policy: asked.
    """

    def __init__(self, policy: Scheduler) -> None:
        self._policy = policy
        self.taken_s: list[float] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._policy, name)

    def choose(self, offer: Offer) -> object:
        """What the policy says."""
        began = perf_counter()
        chosen = self._policy.choose(offer)
        self.taken_s.append(perf_counter() - began)
        return chosen


def menu_of(num_paths: int) -> PathMenu:
    """Better paths are slower; platforms take turns."""

    def path(number: int) -> ServablePath:
        median_s = tuple(1e-4 * (1 + number) + 1e-6 * (1 + number) * size for size in SIZES)
        service = ServiceTimes(
            num_candidates=SIZES, median_s=median_s, tail_s=tuple(1.3 * s for s in median_s)
        )
        platform = ("cpu", "gpu")[number % 2]
        station = PathStation(platform=platform, service=service, num_servers=2)
        return ServablePath(name=f"p{number}", quality=0.7 + 0.003 * number, stations=(station,))

    return PathMenu(paths=tuple(map(path, range(num_paths))))


def measure(spec: SchedulerSpec, menu: PathMenu) -> tuple[list[float], list[float]]:
    """Seconds of every choice and of every arrival."""
    sizes = np.random.default_rng(0).integers(1, 1000, NUM_ARRIVALS)
    policy = Timed(spec.build(menu, Conditions(DEADLINE_S, sizes)))
    dispatcher = Dispatcher(menu, policy, DEADLINE_S)  # type: ignore[arg-type]
    running: list[Start] = []
    taken_s: list[float] = []
    for query, size in enumerate(sizes):
        now_s = query * GAP_S
        began = perf_counter()
        running += dispatcher.arrive(query, int(size), now_s)
        taken_s.append(perf_counter() - began)
        while len(running) > 2:
            running += dispatcher.finish(running.pop(0), now_s + GAP_S / 3)
    return policy.taken_s, taken_s


def told(taken_s: list[float]) -> str:
    """Median and range in microseconds."""
    low, middle, high = 1e6 * np.quantile(taken_s, (0.1, 0.5, 0.9))
    return f"{middle:6.1f} us ({low:.1f} to {high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=32)
    menu = menu_of(parser.parse_args().paths)
    print(f"{len(menu)} paths on {len(menu.num_servers)} platforms")
    for spec in POLICIES:
        choices, arrivals = measure(spec, menu)
        print(f"{type(spec).__name__:24s}choice {told(choices)}   arrival {told(arrivals)}")


if __name__ == "__main__":
    main()
