"""A run folder: everything one study produced, each step known by the hash of what went into it.

    RUN/study.toml            what was asked, with every default written out
    RUN/data/                 the prepared data set
    RUN/models/NAME/          finished models; in `compiled/`, what runtimes made of them
    RUN/unfinished/           what a killed fit goes on from
    RUN/scores/SPLIT/NAME/    score tables
    RUN/profiles/             service times
    RUN/plan.json, verification.json, summary.json, report.html
    RUN/done/STEP.json        which steps are complete, and from what inputs
    RUN/run.log.jsonl         what happened when

A step is complete when its mark holds the hash of its present inputs; anything else is done again.
"""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from recfunnel.core.errors import RunFolderError, StorageError
from recfunnel.core.spec import Value
from recfunnel.core.storage import FORMAT_VERSION, content_hash, read_json, write_json


class StepMark(Value, frozen=True):
    """A completed step.

    Args:
        key: hash of everything that went in.
        seconds: wall time of the attempt that completed it.
        finished: UTC time, ISO 8601.
    """

    key: str
    seconds: float
    finished: str


class Identity(Value, frozen=True):
    """What a run folder belongs to; a study that differs here needs another folder.

    Args:
        format_version: of the stored files.
        dataset: hash of the data set's spec.
        seed: of the study.
        description: the data set's spec as text, for the error message.
    """

    format_version: int
    dataset: str
    seed: int
    description: str


class RunFolder:
    """One run folder, locked for as long as it is open.

    Args:
        path: created when missing.

    Raises:
        RunFolderError: another process has it open.
        StorageError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def __enter__(self) -> "RunFolder":
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a+")
        except OSError as error:
            raise StorageError(
                f"cannot write in {self.path} ({error.strerror}); choose another folder with --out"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise RunFolderError(
                f"{self.path} is in use by process {holder}; wait for it, or choose another "
                "folder with --out"
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        self._remove_leftovers()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def claim(self, dataset: object, seed: int) -> None:
        """Make the folder this data set's and seed's, or check that it already is.

        Raises:
            RunFolderError: it holds another data set, seed or format version.
        """
        wanted = Identity(
            format_version=FORMAT_VERSION,
            dataset=content_hash(dataset),
            seed=seed,
            description=str(dataset),
        )
        file = self.path / "identity.json"
        if not file.exists():
            if (self.path / "data").exists():
                raise RunFolderError(
                    f"{self.path} is not a run folder of this version of recfunnel"
                )
            write_json(file, wanted)
            return
        found = read_json(file, Identity)
        if found.format_version != wanted.format_version:
            raise RunFolderError(
                f"{self.path} was written with format version {found.format_version}, this "
                f"recfunnel writes {wanted.format_version}; choose another folder with --out"
            )
        if (found.dataset, found.seed) != (wanted.dataset, wanted.seed):
            raise RunFolderError(
                f"{self.path} holds the study of {found.description} with seed {found.seed}, "
                f"not {wanted.description} with seed {wanted.seed}; "
                "choose another folder with --out"
            )

    def is_done(self, step: str, key: str) -> bool:
        """Whether a step is complete for these inputs."""
        file = self._mark_file(step)
        return file.exists() and read_json(file, StepMark).key == key

    def forget(self, step: str) -> None:
        """Have a step done again, whatever it depends on."""
        self._mark_file(step).unlink(missing_ok=True)

    def seconds(self, step: str) -> float | None:
        """Wall time of a completed step; None when it is not."""
        file = self._mark_file(step)
        return read_json(file, StepMark).seconds if file.exists() else None

    @contextlib.contextmanager
    def doing(self, step: str, key: str) -> Iterator[None]:
        """Run a step: its mark is set when the block ends well."""
        self.forget(step)
        self.log(step, "start", key=key)
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(self._mark_file(step), StepMark(key=key, seconds=seconds, finished=finished))
        self.log(step, "done", key=key, seconds=round(seconds, 3))

    def log(self, step: str, event: str, **details: Any) -> None:
        """Append a line to the run's log."""
        line = {"time": datetime.now(UTC).isoformat(), "step": step, "event": event, **details}
        with (self.path / "run.log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")

    def forget_work(self, name: str, keep: str) -> None:
        """Remove half-done work of a step made from other inputs than `keep`."""
        for folder in (self.path / "unfinished").glob(f"{name}-*"):
            if folder.name != f"{name}-{keep}":
                shutil.rmtree(folder, ignore_errors=True)

    def _mark_file(self, step: str) -> Path:
        return self.path / "done" / f"{step}.json"

    def _remove_leftovers(self) -> None:
        """Delete what a killed process left under temporary names."""
        for leftover in self.path.rglob("*.tmp-*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
