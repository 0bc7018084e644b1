"""Quality in time, less what the work takes from the queries still to come.

Letters: P paths, D platforms, B backlogs, R loads.
"""

import math
from statistics import NormalDist
from typing import Literal

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.servable import PathMenu
from recfunnel.core.spec import Spec
from recfunnel.schedule.base import SHED, Conditions, Offer, Scheduler, SchedulerSpec, schedulers
from recfunnel.schedule.decide import NOTHING, most_valuable
from recfunnel.schedule.service_table import ServiceTable
from recfunnel.schedule.value import NUM_SIZES, Options, backlog_values

_LOADS = np.geomspace(0.05, 4.0, 16)
"""Solved in advance: arrivals over what a platform's quickest paths can serve."""

_MEMORY = 256
"""Arrivals over which rate and shares are averaged."""

_REFRESH = 16
"""Arrivals between two looks at the rate."""

_FIRST_LOAD = 0.5
"""Taken as the load until `_REFRESH` queries have arrived."""

_PATIENCE = 0.02
"""Of the deadline. In simulated runs choosing again at every late start gains less than 0.2 % of
quality; executed, it takes a server a tenth of a small query's time."""

_SPLIT_BELOW = 0.9
"""A query whose chance to be in time is higher is not split."""


@schedulers.register
class MarginalValue(Spec, SchedulerSpec, frozen=True, tag="marginal_value"):
    """The path of highest expected quality in time, less the price of its work.

    Expected quality is the path's own times the chance that predicted wait and service end before
    the deadline. The price is what the added backlog is expected to take from queries still to
    come (`schedule.value`): next to nothing on an idle machine, so that the best path in time is
    chosen, and steep under load, where quality goes down smoothly before deadlines are missed.
    Asked again when a server is free, it may take a better path if nobody waits behind, or one
    of no more work than planned otherwise.

    Args:
        sheds: `costly` turns away a query that is worth less than what it takes from others,
            `late` only one that will more likely than not be late, `never` answers late.
        splits: cut a query over idle servers where that brings more in time.
        hysteresis: by how much, in quality, another path must be worth more than the last chosen.
        learning: weight of an observed service time in later predictions, 0 to 1.
    """

    sheds: Literal["costly", "late", "never"] = "costly"
    splits: bool = False
    hysteresis: float = 0.0
    learning: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.learning <= 1 or not 0 <= self.hysteresis < 1:
            raise StudyError(
                f"learning is {self.learning} and hysteresis {self.hysteresis}; give 0 to 1 for "
                "the first, and 0 or more and below 1 for the second"
            )

    def build(self, menu: PathMenu, conditions: Conditions) -> Scheduler:
        """Solve for the price of backlog on each platform at each load."""
        return _MarginalValue(self, menu, conditions)


class _Platform:
    """How loaded one platform is, and the value of its backlogs at that load."""

    def __init__(self, options: Options) -> None:
        quickest_s = float(options.work_s.min(axis=0).mean())
        self.full_qps = options.num_servers / quickest_s
        self._values = backlog_values(options, _LOADS * self.full_qps)
        self.share = 1.0
        self.slowness = 1.0
        """Of the quickest service as observed over that of the profile, which `full_qps` is of."""

    def values(self, rate_qps: float) -> DoubleArray:
        """(B,), for the nearest loads, mixed linearly in the logarithm."""
        load = max(rate_qps * self.share * self.slowness / self.full_qps, 1e-9)
        place = np.interp(math.log(load), np.log(_LOADS), np.arange(_LOADS.size))
        left = min(int(place), _LOADS.size - 2)
        mixed: DoubleArray = self._values[left] + (place - left) * (
            self._values[left + 1] - self._values[left]
        )
        return mixed


class _MarginalValue:
    rechooses = True
    patience = _PATIENCE

    def __init__(self, spec: MarginalValue, menu: PathMenu, conditions: Conditions) -> None:
        self.learning = spec.learning
        self._spec, self._menu = spec, menu
        self._quality = np.array([path.quality for path in menu.paths])
        self._num_servers = np.array(list(menu.num_servers.values()), np.float64)
        self._plain_table = ServiceTable(menu)
        self._tail_z = _tail_z(menu)
        options = [_options(menu, name, conditions, spec.sheds) for name in menu.num_servers]
        self._spacing_s = options[0].spacing_s
        self._platforms = [_Platform(own) for own in options]
        names = list(menu.num_servers)
        self._passing = [
            np.array([name in path.platforms for path in menu.paths]) for name in names
        ]
        self._platform_of = [names.index(path.platforms[0]) for path in menu.paths]
        for platform in self._platforms:
            platform.share = 1.0 / len(self._platforms)
        full_qps = sum(platform.full_qps for platform in self._platforms)
        self._gap_s, self._num_arrivals = 1.0 / (_FIRST_LOAD * full_qps), 0
        self._values = self._priced()
        self._last, self._parts = -1, 1
        self._compile(menu)

    def choose(self, offer: Offer) -> int:
        if not offer.starting:
            self._note_arrival(offer)
        most_work_s = math.inf
        if offer.starting and offer.num_behind:
            most_work_s = float(offer.work_s[offer.planned].sum()) * (1 + 1e-9)
        path, worth, chance = self._best(offer, most_work_s)
        self._parts = 1
        if self._spec.splits and not offer.starting and chance < _SPLIT_BELOW:
            path, worth, chance = self._best_split(offer, path, worth, chance)
        if path == NOTHING or self._turned_away(worth, chance):
            return SHED
        self._last = path
        if not offer.starting:
            for number, platform in enumerate(self._platforms):
                chosen = number == self._platform_of[path]
                platform.share += (chosen - platform.share) / _MEMORY
        return path

    def num_parts(self, offer: Offer, path: int) -> int:
        del offer, path
        return self._parts

    def _compile(self, menu: PathMenu) -> None:
        """Decide once about nothing, so that the first query does not wait for the compiler."""
        nothing = np.zeros(len(menu))
        work_s = np.zeros((len(menu), len(menu.num_servers)))
        offer = Offer(
            num_candidates=menu.sizes[0],
            budget_s=0.0,
            gap_s=0.0,
            starting=True,
            planned=0,
            num_behind=0,
            is_open=np.zeros(len(menu), np.bool_),
            median_s=nothing,
            tail_s=nothing,
            work_s=work_s,
            wait_s=nothing,
            backlog_s=work_s[0],
            num_idle=np.zeros(work_s.shape[1], np.int64),
        )
        self._best(offer, math.inf)

    def _turned_away(self, worth: float, chance: float) -> bool:
        match self._spec.sheds:
            case "costly":
                return worth < 0
            case "late":
                return worth < 0 and chance < 0.5
            case _:
                return False

    def _best(self, offer: Offer, most_work_s: float) -> tuple[int, float, float]:
        found: tuple[int, float, float] = most_valuable(
            self._quality,
            offer.is_open,
            offer.median_s,
            offer.tail_s,
            offer.budget_s - offer.wait_s,
            offer.work_s,
            offer.backlog_s,
            self._values,
            self._spacing_s,
            self._num_servers,
            self._tail_z,
            most_work_s,
            self._last,
            self._spec.hysteresis,
        )
        return found

    def _best_split(
        self, offer: Offer, path: int, worth: float, chance: float
    ) -> tuple[int, float, float]:
        """Try each number of parts on the platforms that have as many idle servers."""
        fewest, _ = self._menu.sizes
        for parts in range(2, int(offer.num_idle.max()) + 1):
            size = -(-offer.num_candidates // parts)
            if size < fewest:
                break
            self._plain_table.look(size)
            table = self._plain_table
            has_room = offer.num_idle[self._platform_of] >= parts
            one_station = (table.work_s > 0).sum(axis=1) == 1
            found: tuple[int, float, float] = most_valuable(
                self._quality,
                offer.is_open & has_room & one_station,
                table.median_s,
                table.tail_s,
                offer.budget_s - offer.wait_s,
                parts * table.work_s,
                offer.backlog_s,
                self._values,
                self._spacing_s,
                self._num_servers,
                self._tail_z,
                math.inf,
                -1,
                0.0,
            )
            if found[0] != NOTHING and found[1] > worth:
                path, worth, chance = found
                self._parts = parts
        return path, worth, chance

    def _note_arrival(self, offer: Offer) -> None:
        self._num_arrivals += 1
        if self._num_arrivals > 1:
            weight = 1 / min(self._num_arrivals - 1, _MEMORY)
            if self._num_arrivals <= _REFRESH:
                weight = min(weight, 1 / _REFRESH)
            self._gap_s += weight * (offer.gap_s - self._gap_s)
        if self._num_arrivals % _REFRESH == 0:
            self._note_slowness(offer)
            self._values = self._priced()

    def _note_slowness(self, offer: Offer) -> None:
        """Prices were solved for the profile's times; what was learned of them moves the load."""
        if not self.learning:
            return
        self._plain_table.look(offer.num_candidates)
        for number, platform in enumerate(self._platforms):
            passing = self._passing[number]
            observed_s = offer.work_s[passing, number].min()
            platform.slowness = float(observed_s / self._plain_table.work_s[passing, number].min())

    def _priced(self) -> DoubleArray:
        rate_qps = 1.0 / max(self._gap_s, 1e-9)
        return np.stack([platform.values(rate_qps) for platform in self._platforms])


def _tail_z(menu: PathMenu) -> float:
    quantiles = {s.service.tail_quantile for path in menu.paths for s in path.stations}
    if len(quantiles) > 1:
        raise StudyError(
            f"the paths state tails of different quantiles, {sorted(quantiles)}; profile all at one"
        )
    (quantile,) = quantiles
    return NormalDist().inv_cdf(quantile)


def _options(menu: PathMenu, platform: str, conditions: Conditions, sheds: str) -> Options:
    """The paths that pass a platform, at quantiles of the typical sizes."""
    ranks = (np.arange(NUM_SIZES) + 0.5) / NUM_SIZES
    typical = np.quantile(np.clip(conditions.sizes, *menu.sizes), ranks, method="nearest")
    sizes: IntArray = typical.astype(np.int64)
    passing = [path for path in menu.paths if platform in path.platforms]
    work_s = [
        np.sum([s.service.medians_s(sizes) for s in p.stations if s.platform == platform], axis=0)
        for p in passing
    ]
    return Options(
        quality=np.array([path.quality for path in passing]),
        median_s=np.stack([path.medians_s(sizes) for path in passing]),
        tail_s=np.stack([path.tails_s(sizes) for path in passing]),
        work_s=np.stack(work_s),
        tail_z=_tail_z(menu),
        num_servers=menu.num_servers[platform],
        deadline_s=conditions.deadline_s,
        sheds=sheds != "never",
    )
