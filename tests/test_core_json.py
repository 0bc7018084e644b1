"""What JSON alone would lose: an unsteady latency is infinite, and must come back so."""

import json
import math
from pathlib import Path

import pytest

from recfunnel.core.errors import StorageError
from recfunnel.core.results import Estimate
from recfunnel.core.storage import read_json, write_json


@pytest.mark.parametrize("sign", [1, -1])
def test_an_infinite_value_survives_storing(tmp_path: Path, sign: int) -> None:
    unsteady = Estimate(mean=sign * math.inf, stderr=math.inf, num_samples=1)
    write_json(tmp_path / "estimate.json", unsteady)
    assert read_json(tmp_path / "estimate.json", Estimate) == unsteady


def test_a_stored_infinity_is_valid_json(tmp_path: Path) -> None:
    write_json(tmp_path / "estimate.json", {"tails_s": [math.inf, 0.5]})
    text = (tmp_path / "estimate.json").read_text()
    assert "Infinity" not in text
    assert json.loads(text) == {"tails_s": [math.inf, 0.5]}


@pytest.mark.parametrize("text", ["", "{", '{"mean": "x"}', "\xff", '{"meen": 1}'])
def test_a_damaged_file_is_a_storage_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "estimate.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StorageError, match=r"estimate\.json is damaged or of another version"):
        read_json(tmp_path / "estimate.json", Estimate)
