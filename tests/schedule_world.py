"""Small menus to schedule on, and offers as they stand on an idle or a loaded machine."""

import numpy as np

from recfunnel.core.servable import PathMenu, PathStation, ServablePath, ServiceTimes
from recfunnel.schedule.base import SHED, Offer

SIZES = (1, 1000)


def path(
    name: str,
    quality: float,
    *,
    base_s: float,
    each_s: float = 0.0,
    tail: float = 1.0,
    platform: str = "cpu",
    num_servers: int = 1,
) -> ServablePath:
    """One station whose service time is base + each * candidates."""
    medians = tuple(base_s + each_s * size for size in SIZES)
    service = ServiceTimes(
        num_candidates=SIZES, median_s=medians, tail_s=tuple(tail * m for m in medians)
    )
    station = PathStation(platform=platform, service=service, num_servers=num_servers)
    return ServablePath(name=name, quality=quality, stations=(station,))


FAST = path("fast", 0.78, base_s=0.001)
GOOD = path("good", 0.80, base_s=0.005)
ON_GPU = path("on gpu", 0.78, base_s=0.002, platform="gpu")
MENU = PathMenu(paths=(FAST, GOOD))


def offer(
    menu: PathMenu, *, budget_s: float = 0.01, backlog_s: float = 0.0, num_candidates: int = 100
) -> Offer:
    """A query that has just arrived; every platform has the same backlog a server."""
    size = np.array([num_candidates])
    platforms = list(menu.num_servers)
    median_s = np.array([p.medians_s(size)[0] for p in menu.paths])
    work_s = np.zeros((len(menu), len(platforms)))
    for number, own in enumerate(menu.paths):
        work_s[number, platforms.index(own.platforms[0])] = median_s[number]
    return Offer(
        num_candidates=num_candidates,
        budget_s=budget_s,
        gap_s=1.0,
        starting=False,
        planned=SHED,
        num_behind=0,
        is_open=np.ones(len(menu), np.bool_),
        median_s=median_s,
        tail_s=np.array([p.tails_s(size)[0] for p in menu.paths]),
        work_s=work_s,
        wait_s=np.full(len(menu), backlog_s),
        backlog_s=np.full(len(platforms), backlog_s),
        num_idle=np.where(
            np.full(len(platforms), backlog_s) > 0, 0, list(menu.num_servers.values())
        ),
    )
