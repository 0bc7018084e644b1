"""What every policy keeps to; subclass `SchedulerContract` and set `spec`."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from recfunnel.core.servable import PathMenu, PathStation, ServablePath, ServiceTimes
from recfunnel.core.spec import to_builtins
from recfunnel.schedule.base import SHED, Conditions, Offer, schedulers
from recfunnel.schedule.dispatcher import Dispatcher

NUM_MENUS = 3
NUM_OFFERS = 30
"""For each menu."""

_SIZES = (1, 50, 400)
_ARRAYS = ("is_open", "median_s", "tail_s", "work_s", "wait_s", "backlog_s", "num_idle")


class SchedulerContract:
    """Tests of a `SchedulerSpec`.

    `spec` is the spec under test; `num_paths` is how many paths it must be given at least;
    `sheds` says whether it may turn a query away.
    """

    spec: Any
    num_paths: int = 1
    sheds: bool = False

    def test_the_spec_survives_being_written_and_read(self) -> None:
        """As plain data with its kind."""
        assert schedulers.parse(to_builtins(self.spec)) == self.spec

    def test_it_chooses_a_path_that_is_open(self) -> None:
        """Whatever the queues and the time left, even when the deadline has passed."""
        for menu, offers in self._cases():
            policy = self._built(menu)
            for offer in offers:
                if policy.rechooses or not offer.starting:
                    path = policy.choose(offer)
                    assert (self.sheds and path == SHED) or offer.is_open[path]

    def test_equal_histories_are_answered_alike(self) -> None:
        """Two fresh policies agree: nothing but what they are given decides."""
        for menu, offers in self._cases():
            first, second = self._built(menu), self._built(menu)
            assert [first.choose(o) for o in offers] == [second.choose(o) for o in offers]

    def test_an_offer_is_only_looked_at(self) -> None:
        """Its arrays are the dispatcher's."""
        for menu, offers in self._cases():
            policy = self._built(menu)
            for offer in offers:
                before = [np.copy(getattr(offer, name)) for name in _ARRAYS]
                policy.choose(offer)
                after = [getattr(offer, name) for name in _ARRAYS]
                assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))

    def test_parts_are_no_more_than_idle_servers(self) -> None:
        """And at least one."""
        for menu, offers in self._cases():
            policy = self._built(menu)
            for offer in offers:
                path = policy.choose(offer)
                if offer.starting or path == SHED or len(menu.paths[path].stations) > 1:
                    continue
                platform = list(menu.num_servers).index(menu.paths[path].platforms[0])
                if offer.num_idle[platform] > 1:
                    assert 1 <= policy.num_parts(offer, path) <= offer.num_idle[platform]

    def test_every_query_is_answered_or_turned_away(self) -> None:
        """Under a load that no path can carry, the dispatcher ends with nothing left."""
        menu = random_menu(np.random.default_rng(5), self.num_paths + 2)
        dispatcher = Dispatcher(menu, self._built(menu), 0.01)
        running, begun = [], set()
        for query in range(200):
            running += dispatcher.arrive(query, _SIZES[query % 3], query * 1e-5)
        now_s = 0.002
        while running:
            start = running.pop(0)
            begun.add(start.query)
            now_s += 1e-4
            running += dispatcher.finish(start, now_s)
        assert dispatcher.num_unfinished == 0
        assert self.sheds or len(begun) == 200

    def _built(self, menu: PathMenu) -> Any:
        return self.spec.build(menu, Conditions(0.01, np.array([1, 20, 100, 400])))

    def _cases(self) -> Iterator[tuple[PathMenu, list[Offer]]]:
        # Plain draws: hypothesis refuses one test method shared by several subclasses.
        rng = np.random.default_rng(1)
        for _ in range(NUM_MENUS):
            menu = random_menu(rng, self.num_paths + int(rng.integers(6)))
            yield menu, [random_offer(rng, menu) for _ in range(NUM_OFFERS)]


def random_menu(rng: np.random.Generator, num_paths: int) -> PathMenu:
    """Paths of one or two stations on up to two platforms of two servers.

    Args:
        rng: draws.
        num_paths: at least 1.
    """
    return PathMenu(
        paths=tuple(
            ServablePath(
                name=f"path {number}",
                quality=float(rng.choice([0.0, 0.5, 1.0, rng.random()])),
                stations=tuple(
                    PathStation(platform=platform, num_servers=2, service=_service(rng))
                    for platform in ("cpu", "other")[number % 2 : 1 + int(rng.integers(2))]
                    or ("other",)
                ),
            )
            for number in range(num_paths)
        )
    )


def random_offer(rng: np.random.Generator, menu: PathMenu) -> Offer:
    """A query somewhere between an idle and a hopeless machine.

    Args:
        rng: draws.
        menu: whose paths are offered.
    """
    platforms = list(menu.num_servers)
    first = np.array([platforms.index(path.platforms[0]) for path in menu.paths])
    size = np.array([int(rng.choice(_SIZES))])
    planned = int(rng.integers(len(menu)))
    starting = bool(rng.integers(2))
    work_s = np.zeros((len(menu), len(platforms)))
    for number, path in enumerate(menu.paths):
        for station in path.stations:
            own_s = station.service.medians_s(size)[0]
            work_s[number, platforms.index(station.platform)] += own_s
    backlog_s = np.array([rng.choice([0.0, 10.0 ** rng.uniform(-6, 0)]) for _ in platforms])
    return Offer(
        num_candidates=int(size[0]),
        budget_s=float(rng.choice([0.0, rng.uniform(-1, 1), 10.0 ** rng.uniform(-5, 0)])),
        gap_s=0.0 if starting else float(10.0 ** rng.uniform(-5, 0)),
        starting=starting,
        planned=planned if starting else SHED,
        num_behind=int(rng.integers(3)) if starting else 0,
        is_open=first == first[planned] if starting else np.ones(len(menu), np.bool_),
        median_s=np.array([path.medians_s(size)[0] for path in menu.paths]),
        tail_s=np.array([path.tails_s(size)[0] for path in menu.paths]),
        work_s=work_s,
        wait_s=np.zeros(len(menu)) if starting else backlog_s[first],
        backlog_s=backlog_s,
        num_idle=np.where(backlog_s > 0, 0, 2),
    )


def _service(rng: np.random.Generator) -> ServiceTimes:
    base, each = 10.0 ** rng.uniform(-5, -3), 10.0 ** rng.uniform(-7, -4)
    medians = tuple(base + each * size for size in _SIZES)
    tail = 1.0 + float(rng.choice([0.0, rng.random()]))
    return ServiceTimes(
        num_candidates=_SIZES, median_s=medians, tail_s=tuple(tail * m for m in medians)
    )
