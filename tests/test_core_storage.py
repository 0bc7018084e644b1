"""Files appear whole or not at all, and damage is named."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from recfunnel.core.errors import StorageError
from recfunnel.core.storage import (
    content_hash,
    load_arrays,
    read_json,
    replacing_file,
    replacing_folder,
    save_arrays,
    write_json,
)


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = {"a.b": np.arange(5000.0), "empty": np.zeros((0, 3), np.int64)}
    save_arrays(tmp_path / "x", arrays, {"name": "n"})
    back, manifest = load_arrays(tmp_path / "x")
    assert manifest == {"name": "n"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    write_json(file, {"old": 1})
    with pytest.raises(RuntimeError), replacing_file(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(file, dict) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    save_arrays(tmp_path / "x", {"a": np.ones(3)}, {})
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "x") as temporary:
        (temporary / "half").write_text("half")
        raise RuntimeError
    assert load_arrays(tmp_path / "x")[0]["a"].sum() == 3
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_truncated_files_are_named(tmp_path: Path) -> None:
    save_arrays(tmp_path / "x", {"a": np.arange(10_000)}, {})
    victim = tmp_path / "x" / "a.npy"
    victim.write_bytes(victim.read_bytes()[:5000])
    with pytest.raises(StorageError, match=r"a\.npy is damaged"):
        load_arrays(tmp_path / "x")
    (tmp_path / "x" / "manifest.json").write_text("{")
    with pytest.raises(StorageError, match=r"manifest\.json is damaged"):
        load_arrays(tmp_path / "x")


def test_another_version_is_refused(tmp_path: Path) -> None:
    save_arrays(tmp_path / "x", {}, {})
    (tmp_path / "x" / "manifest.json").write_text('{"format_version": 999}')
    with pytest.raises(StorageError, match="version 999"):
        load_arrays(tmp_path / "x")


def test_no_space_left_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "f"
    write_json(file, 1)
    with pytest.raises(StorageError, match="no space left"), replacing_file(file):
        raise OSError(28, "No space left on device")
    assert read_json(file, int) == 1


def test_a_write_that_numpy_cuts_short_is_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no space left"), replacing_folder(tmp_path / "x"):
        raise OSError("142549 requested and 8176 written")


def test_no_permission_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no permission"), replacing_folder(tmp_path / "x"):
        raise PermissionError(13, "Permission denied")


def test_a_killed_writer_leaves_no_file_under_the_final_name(tmp_path: Path) -> None:
    code = (
        "import sys, time, numpy as np\n"
        "from pathlib import Path\n"
        "from recfunnel.core.storage import replacing_folder\n"
        "with replacing_folder(Path(sys.argv[1])) as t:\n"
        "    (t / 'half').write_text('half'); print('ready', flush=True); time.sleep(60)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "x")], stdout=subprocess.PIPE, env=os.environ
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    writer.kill()
    writer.wait()
    writer.stdout.close()
    time.sleep(0.01)
    assert not (tmp_path / "x").exists()


def test_a_hash_depends_on_content_and_not_on_order() -> None:
    assert content_hash({"a": 1, "b": (2, 3)}) == content_hash({"b": [2, 3], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})
