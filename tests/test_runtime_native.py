"""The native runtime keeps the contract of every runtime, in every setting, without torch."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from recfunnel.core.arrays import FloatArray
from recfunnel.core.errors import DataError, InvalidInput, ModelError
from recfunnel.core.graph import GRAPH_FILE
from recfunnel.core.storage import MANIFEST
from recfunnel.runtime.native import Native
from recfunnel.runtime.top_k import top_k
from recfunnel.testing.runtime import NUM_ITEMS, RuntimeContract


class TestCompiled(RuntimeContract):
    runtime = Native()


class TestHoisted(RuntimeContract):
    runtime = Native(catalogue="hoisted")


class TestForSingleCandidates(RuntimeContract):
    """Layers on dots stay layers on dots."""

    runtime = Native(num_candidates=1)


class TestBFloat16(RuntimeContract):
    """Rounds records and tables to 8 bits: errors of a score are a few parts in a thousand."""

    runtime = Native(precision="bfloat16", tables="bfloat16")
    tolerance: ClassVar[float] = 2e-2


CONTRACT = TestCompiled()
NAMES = sorted(RuntimeContract.specs)


def scores_of(model: object, name: str) -> FloatArray:
    """Of all items, for the contract's queries."""
    scores: FloatArray = model.score(  # type: ignore[attr-defined]
        CONTRACT.context(), None, CONTRACT.given(name, NUM_ITEMS)
    )
    return scores


def test_only_float32_throughout_is_exact() -> None:
    assert Native().exact
    assert Native(catalogue="hoisted").exact
    assert not Native(precision="bfloat16").exact
    assert not Native(records="bfloat16").exact
    assert not Native(tables="int8").exact


def test_records_are_as_wide_as_asked(tmp_path: Path) -> None:
    """Half the bytes for bfloat16, a quarter and a scale for int8; scores stay near."""
    folder = CONTRACT.save(tmp_path, "dlrm")
    exact = Native().load(folder, CONTRACT.items())
    expected = scores_of(exact, "dlrm")
    width = exact.records.size_bytes // (4 * NUM_ITEMS)
    assert width > 0
    for records, row in (("float16", 2 * width), ("bfloat16", 2 * width), ("int8", width + 4)):
        spec = Native(records=records)  # type: ignore[arg-type]
        model = spec.load(folder, CONTRACT.items())
        assert model.records.size_bytes == NUM_ITEMS * row
        error = np.abs(scores_of(model, "dlrm") - expected).max()
        assert 0 < error < 0.03 * np.abs(expected).max()


@pytest.mark.parametrize("name", NAMES)
def test_the_best_are_those_that_top_k_chooses(tmp_path: Path, name: str) -> None:
    model = Native().load(CONTRACT.save(tmp_path, name), CONTRACT.items())
    scores = scores_of(model, name)[2]
    excluded = np.array([3, 0, 3])
    given = CONTRACT.given(name, NUM_ITEMS)
    found, kept = model.top_k(
        CONTRACT.context().row(2), None, 5, None if given is None else given[2:3], excluded
    )
    np.testing.assert_array_equal(found, top_k(scores, 5, excluded))
    np.testing.assert_array_equal(kept, scores[found])


def test_items_that_changed_are_made_anew(tmp_path: Path) -> None:
    """As if the model had been loaded with them, and the others are left alone."""
    folder, items = CONTRACT.save(tmp_path, "dlrm"), CONTRACT.items()
    rows = np.array([7, 2])
    changed = items.take(np.where(np.arange(NUM_ITEMS) == 7, 1, np.arange(NUM_ITEMS)))
    changed = changed.take(np.where(np.arange(NUM_ITEMS) == 2, 5, np.arange(NUM_ITEMS)))
    model = Native().load(folder, items)
    model.update_items(rows, changed.take(rows))
    expected = scores_of(Native().load(folder, changed), "dlrm")
    np.testing.assert_array_equal(scores_of(model, "dlrm"), expected)
    with pytest.raises(InvalidInput, match="from 0 to 13"):
        model.update_items(np.array([14]), items.row(0))
    with pytest.raises(InvalidInput, match="1 rows for 2 items"):
        model.update_items(np.array([1]), items.take(rows))
    hoisted = Native(catalogue="hoisted").load(folder, items)
    with pytest.raises(InvalidInput, match="keeps no records"):
        hoisted.update_items(rows, items.take(rows))


def test_an_item_outside_the_tables_is_named(tmp_path: Path) -> None:
    items = CONTRACT.items()
    items.categorical[3, 0] = 15
    for spec in (Native(), Native(catalogue="hoisted")):
        with pytest.raises(DataError, match=r"'item' has id 15 in row 3, allowed 0 to 14"):
            spec.load(CONTRACT.save(tmp_path, "dlrm"), items)


def test_no_items_give_no_scores(tmp_path: Path) -> None:
    nothing = CONTRACT.items().take(np.zeros(0, np.int64))
    for name in NAMES:
        for spec in (Native(), Native(catalogue="hoisted")):
            model = spec.load(CONTRACT.save(tmp_path, name), nothing)
            scores = model.score(CONTRACT.context(), None, CONTRACT.given(name, 0))
            assert scores.shape == (6, 0)


def test_a_model_without_a_graph_names_the_runtime_to_use(tmp_path: Path) -> None:
    folder = CONTRACT.save(tmp_path, "dlrm")
    assert Native().refusal(folder) == ""
    (folder / GRAPH_FILE).unlink()
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"has_graph": False}))
    with pytest.raises(ModelError, match=r"'dlrm' .* use the runtime 'torch'"):
        Native().load(folder, CONTRACT.items())
    assert "use the runtime 'torch'" in Native().refusal(folder)


SCORE_ALL = """
import pickle, sys
from pathlib import Path
from recfunnel.runtime.native import Native

items, context = pickle.loads(Path(sys.argv[2]).read_bytes())
model = Native().load(Path(sys.argv[1]), items)
print(model.score(context, None).shape, "torch" in sys.modules)
"""


def test_loading_and_scoring_need_no_torch(tmp_path: Path) -> None:
    folder = CONTRACT.save(tmp_path, "dlrm")
    asked = tmp_path / "asked"
    asked.write_bytes(pickle.dumps((CONTRACT.items(), CONTRACT.context())))
    command = [sys.executable, "-c", SCORE_ALL, str(folder), str(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(6, 14) False"


def test_an_instruction_set_that_is_unknown_is_told_as_such(tmp_path: Path) -> None:
    folder = CONTRACT.save(tmp_path, "dlrm")
    asked = tmp_path / "asked"
    asked.write_bytes(pickle.dumps((CONTRACT.items(), CONTRACT.context())))
    command = [sys.executable, "-c", SCORE_ALL, str(folder), str(asked)]
    setting = {**os.environ, "RECFUNNEL_ISA": "sse9"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=setting)
    assert done.returncode != 0
    assert "ModelError: 'dlrm' cannot run here" in done.stderr
    assert "'sse9'; known: avx512_bf16, avx512, avx2, portable" in done.stderr
