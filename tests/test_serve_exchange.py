"""A new plan takes over under load without a failed request, or is refused and changes nothing."""

import json
import shutil
import signal
import threading
from pathlib import Path

import pytest

from serve_world import Client, Served, finished_run, served


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("exchange"))


class Asking:
    """A client that asks without a pause, in a thread."""

    def __init__(self, port: int) -> None:
        self.answers, self.wrong = 0, []
        self._client, self._stop = Client(port), threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                status, told = self._client.post("/v1/rank", {"user": 7})
            except OSError as error:
                status, told = 0, str(error)
            self.answers += 1
            if status != 200:
                self.wrong.append((status, told))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()


def exchange(found: Served, words: str) -> None:
    """Ask for the change, and wait for what it comes to."""
    before = found.said().count(words)
    found.process.send_signal(signal.SIGHUP)
    found.wait_until(lambda said: said.count(words) > before, 60)


def test_plans_are_exchanged_under_load_without_a_failed_request(run: Path) -> None:
    with served(run, "--workers", "1", "--deadline-ms", "10000") as found:
        asking = Asking(found.client.port)
        for _ in range(3):
            exchange(found, "the new plan serves")
        asking.stop()

        assert asking.wrong == []
        assert asking.answers > 100


def test_a_plan_that_does_not_fit_is_refused_and_the_old_one_stays(
    run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    with served(copy, "--workers", "1") as found:
        plan = json.loads((copy / "plan.json").read_text())
        (copy / "plan.json").write_text(json.dumps(plan | {"rate_qps": 1e9}))
        exchange(found, "refused")
        shutil.rmtree(copy / "models")
        shutil.copy(run / "plan.json", copy / "plan.json")
        exchange(found, "refused")

        assert found.client.post("/v1/rank", {"user": 7})[0] == 200
