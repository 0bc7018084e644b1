"""A run folder knows what is done, from what, and to whom it belongs."""

import subprocess
import sys
from pathlib import Path

import pytest

from recfunnel.core.errors import RunFolderError
from recfunnel.core.storage import read_json, write_json
from recfunnel.data.synthetic import Synthetic
from recfunnel.study.run_folder import RunFolder


def test_a_step_is_done_only_for_its_inputs_and_only_when_it_ended_well(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        assert not folder.is_done("a", "1")
        with folder.doing("a", "1"):
            assert not folder.is_done("a", "1")
        assert folder.is_done("a", "1")
        assert not folder.is_done("a", "2")
        with pytest.raises(RuntimeError), folder.doing("a", "2"):
            raise RuntimeError
        assert not folder.is_done("a", "2")
        assert not folder.is_done("a", "1")


def test_a_forgotten_step_is_done_again(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        with folder.doing("a", "1"):
            pass
        folder.forget("a")
        folder.forget("never done")
        assert not folder.is_done("a", "1")


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from recfunnel.study.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])): print('in', flush=True); time.sleep(60)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"in\n"
    with pytest.raises(RunFolderError, match=f"in use by process {other.pid}"):
        RunFolder(tmp_path / "run").__enter__()
    other.kill()
    other.wait()
    other.stdout.close()
    with RunFolder(tmp_path / "run"):  # a dead process holds nothing
        pass


def test_another_study_is_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.claim(Synthetic(num_users=50), 0)
        folder.claim(Synthetic(num_users=50), 0)
        with pytest.raises(RunFolderError, match=r"num_users=50.*with seed 0, not"):
            folder.claim(Synthetic(num_users=51), 0)
        with pytest.raises(RunFolderError, match=r"not .* with seed 1"):
            folder.claim(Synthetic(num_users=50), 1)


def test_another_version_is_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.claim(Synthetic(), 0)
        stored = read_json(tmp_path / "identity.json", dict)
        write_json(tmp_path / "identity.json", {**stored, "format_version": 99})
        with pytest.raises(RunFolderError, match="format version 99"):
            folder.claim(Synthetic(), 0)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "models" / "x.tmp-12ab34cd").mkdir(parents=True)
    (tmp_path / "plan.json.tmp-12ab34cd").touch()
    with RunFolder(tmp_path):
        assert not list(tmp_path.rglob("*.tmp-*"))


def test_the_log_has_one_json_line_an_event(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder, folder.doing("a", "1"):
        pass
    lines = (tmp_path / "run.log.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert '"event": "done"' in lines[1]
