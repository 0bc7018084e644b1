"""A machine's threads: refused ones are an error, and forked processes do without them."""

import subprocess
import sys

import pytest

MACHINE = """
import os, resource, signal, time
import numpy as np
from recfunnel.runtime import _native

program = _native.Program(0, 1, (True, 0, 1, False), "")
program.given(out=(True, 0, 1, False))
items = np.zeros((2000, 0), np.int64), np.zeros((2000, 0), np.float32)
query = np.zeros((1, 0), np.int64), np.zeros((1, 0), np.float32), []
given = np.ones((1, 2000, 1), np.float32)

def machine(num_threads):
    return _native.Machine(program, *items, [], None, "float32", num_threads, 0, False, True)

def best(made):
    return made.top_k(*query, 3, None, given, None)[0].tolist()
"""

REFUSED = """
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + (28 << 20)  # the stacks of three threads
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    machine(8 * os.sysconf("SC_NPROCESSORS_ONLN"))
except RuntimeError as error:
    print("refused:", error)
print(best(machine(1)))
"""

FORKED = """
made = machine(3)
print(best(made), flush=True)
time.sleep(0.05)  # its threads are asleep
child = os.fork()
if child == 0:
    signal.alarm(10)
    print(best(made), flush=True)
    del made
    os._exit(0)
print(os.waitpid(child, 0)[1])
print(best(made))
"""


def run(script: str) -> list[str]:
    same = ["-S"] if sys.flags.no_site else []
    command = [sys.executable, *same, "-c", MACHINE + script]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="limits address space as Linux does")
def test_threads_the_system_refuses_are_an_error_and_neither_end_nor_hang_the_process() -> None:
    refused, after = run(REFUSED)
    assert refused == "refused: Resource temporarily unavailable"
    assert after == "[0, 1, 2]"


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
def test_a_forked_process_can_use_and_forget_a_machine_whose_threads_it_does_not_have() -> None:
    assert run(FORKED) == ["[0, 1, 2]", "[0, 1, 2]", "0", "[0, 1, 2]"]


ENDING = """
import threading

made = machine(2)

def ask():
    while True:
        best(made)

for _ in range(3):
    threading.Thread(target=ask, daemon=True).start()
time.sleep(0.1)
print("ends")
"""


def test_a_process_may_end_while_daemon_threads_are_in_calls() -> None:
    for _ in range(3):
        assert run(ENDING) == ["ends"]
