"""A tiny run folder that chose something, and a service of it on loopback."""

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from recfunnel.cli.main import run_command
from recfunnel.study.parse import write_study
from tiny_study import tiny_study

SERVE = [
    sys.executable,
    *subprocess._args_from_interpreter_flags(),  # so that it runs the sources this test runs
    "-c",
    "from recfunnel.cli.main import main; main()",
    "serve",
]


def finished_run(folder: Path) -> Path:
    """A run folder with a plan."""
    write_study(folder / "study.toml", tiny_study())
    out = folder / "run"
    assert run_command(["run", str(folder / "study.toml"), "--out", str(out), "--quiet"]) == 0
    return out


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def post(self, path: str, value: Any, **headers: str) -> tuple[int, Any]:
        """Status and what was answered; `value` is sent as JSON unless it is bytes."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        told = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): text for name, text in headers.items()
        }
        return self._ask("POST", path, body, told)

    def get(self, path: str) -> tuple[int, Any]:
        """Status and what was answered, as text where it is no JSON."""
        return self._ask("GET", path, None, {})

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, Any]:
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.getheader("Content-Type", "").startswith("application/json"):
            return response.status, json.loads(text)
        return response.status, text.decode()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class Served:
    """The command at work.

    Args:
        process: to send signals to.
        output: file that it writes to.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self.process, self._output = process, output
        self.client = Client(int(self.wait_for(r"serving at http://127.0.0.1:(\d+)", 120)))

    def said(self) -> str:
        """All it has written."""
        return self._output.read_text()

    def wait_until(self, holds: Callable[[str], bool], seconds: float) -> None:
        """Wait until something holds of what it has written."""
        deadline = time.monotonic() + seconds
        while not holds(self.said()):
            assert self.process.poll() is None, f"it ended:\n{self.said()}"
            assert time.monotonic() < deadline, f"waited in vain:\n{self.said()}"
            time.sleep(0.02)

    def wait_for(self, pattern: str, seconds: float) -> str:
        """What the first group of a pattern matches in the output, once it does."""
        self.wait_until(lambda said: re.search(pattern, said) is not None, seconds)
        found = re.search(pattern, self.said())
        assert found is not None
        return found.group(1)


@contextlib.contextmanager
def served(run: Path, *options: str) -> Iterator[Served]:
    """The command at work on a free port; ended at the end."""
    output = Path(tempfile.mkstemp(suffix=".log")[1])
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*SERVE, str(run), "--port", "0", "--warm-up-seconds", "0.05", *options],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    try:
        found = Served(process, output)
        yield found
        found.client.close()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        output.unlink()
