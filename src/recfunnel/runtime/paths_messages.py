"""What an engine of several paths and its processes say to each other.

A pipe to each server carries starts, one pipe back carries who is done.
"""

import struct
from dataclasses import dataclass

from recfunnel.core.pipeline import Path
from recfunnel.core.servable import PathMenu
from recfunnel.runtime.arena import Layout
from recfunnel.schedule.base import Conditions, SchedulerSpec

START = struct.Struct("<qiiiii")
"""A start as it travels: query, path, station, part, first candidate of the part, how many."""

DONE = struct.Struct("<q")
"""Number of the server that is done."""

NOBODY = -1
"""In place of a query: no other follows."""

MAX_STEPS = 8
"""Most stations of a path, and most parts a query may be cut into. Only on paths of one station are
there parts, so that station + part numbers the steps of any query."""


@dataclass(frozen=True, slots=True)
class TakePaths:
    """Become a server of one platform: of every station that paths have there.

    Args:
        paths: of the menu, all of them.
        platform: whose stations are served.
    """

    paths: tuple[Path, ...]
    platform: str


@dataclass(frozen=True, slots=True)
class ServePaths:
    """Answer what the pipe brings until nobody follows; a descriptor follows.

    Args:
        layout: of the run's shared memory.
        server: own number, in pipes and answers.
    """

    layout: Layout
    server: int


@dataclass(frozen=True, eq=False, slots=True)
class TakePolicy:
    """Become a dispatcher whose queues are empty.

    Args:
        menu: the paths.
        scheduler: what chooses.
        conditions: what it may know in advance.
    """

    menu: PathMenu
    scheduler: SchedulerSpec
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Let queries arrive, choose their paths and start servers; a descriptor follows.

    Args:
        layout: of the run's shared memory.
    """

    layout: Layout
