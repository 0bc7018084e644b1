"""What an engine of several paths and its processes say to each other.

A pipe to each server carries starts, one pipe back carries who is done.
"""

import struct
from dataclasses import dataclass

from recfunnel.core.pipeline import Pipeline
from recfunnel.core.servable import PathMenu
from recfunnel.runtime.arena import Layout
from recfunnel.schedule.base import Conditions, SchedulerSpec

START = struct.Struct("<qiiii")
"""A start as it travels: query, path, part, first candidate of the part, candidates of the part."""

DONE = struct.Struct("<q")
"""Number of the server that is done."""

NOBODY = -1
"""In place of a query: no other follows."""

MAX_PARTS = 8
"""Most parts a query may be cut into."""


@dataclass(frozen=True, slots=True)
class TakePaths:
    """Become a server of several paths.

    Args:
        pipelines: of every path of the menu; None for those that run on other platforms.
    """

    pipelines: tuple[Pipeline | None, ...]


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
