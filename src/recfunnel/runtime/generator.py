"""The load generator: sends each query at its scheduled time, whatever became of the others.

Open loop: the schedule is absolute, so a slow answer never delays a later question, and latency is
counted from the *scheduled* time, so a late generator makes the system look worse, never better.
"""

import os
import struct
from collections.abc import Callable

from recfunnel.runtime.arena import Arena
from recfunnel.runtime.clock import now_s, sleep_until

QUERY = struct.Struct("<q")
"""How a query's number travels through a pipe; 8 bytes are written and read whole."""

END = -1
"""The number that tells one server that no query follows."""


def send_all(
    arena: Arena,
    send: Callable[[int], None],
    clock: Callable[[], float] = now_s,
    wait: Callable[[float], bool] = sleep_until,
) -> None:
    """Send every query of a run at its time and note how late each one left.

    Args:
        arena: of the run; `start_s` and `arrival_s` are set, `lag_s` is written.
        send: hands over the number of a query.
        clock: reads seconds.
        wait: sleeps towards a time and says whether it has come.
    """
    give_up_s, lag_s = arena["give_up_s"], arena["lag_s"]
    due = (arena["start_s"][0] + arena["arrival_s"]).tolist()
    for query, due_s in enumerate(due):
        while not wait(due_s):
            if clock() > give_up_s[0]:
                return
        lag_s[query] = clock() - due_s
        send(query)


def pipe_sender(descriptor: int) -> Callable[[int], None]:
    """A `send` that writes the number into a pipe."""
    return lambda query: _write(descriptor, query)


def _write(descriptor: int, query: int) -> None:
    os.write(descriptor, QUERY.pack(query))


def read_query(descriptor: int) -> int:
    """Wait for the next number in a pipe; of several readers, one gets it."""
    number: int = QUERY.unpack(os.read(descriptor, QUERY.size))[0]
    return number
