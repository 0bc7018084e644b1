"""What a caller can get wrong at the native runtime: an answer that is defined, or a named rule."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recfunnel.core.errors import DataError, InvalidInput, ModelError, StorageError
from recfunnel.core.features import Features
from recfunnel.core.graph import GRAPH_FILE, PARAMETERS_FILE
from recfunnel.core.pipeline import pipeline_of
from recfunnel.core.storage import MANIFEST
from recfunnel.runtime.cascade import Cascade, OneByOne, Question, Survivors
from recfunnel.runtime.native import Native, NativeModel
from recfunnel.runtime.native_stages import NativeStages, fused
from recfunnel.testing.runtime import NUM_CANDIDATES, NUM_ITEMS, RuntimeContract

CONTRACT = RuntimeContract()
CONTEXT = CONTRACT.context().row(0)
CANDIDATES = CONTRACT.candidates()[:1]
NOTHING = np.zeros(0, np.int64)
Change = Callable[[Any], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    for name in ("dlrm", "reranker"):
        CONTRACT.save(place, name)
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> NativeModel:
    return Native().load(folder / "dlrm", CONTRACT.items())


@pytest.fixture(scope="module")
def reader(folder: Path) -> NativeModel:
    return Native().load(folder / "reranker", CONTRACT.items())


@pytest.fixture(scope="module")
def stages(model: NativeModel) -> NativeStages:
    pipeline = pipeline_of(("dlrm",), (NUM_CANDIDATES, 3))
    runner = fused(OneByOne(Cascade(pipeline, {"dlrm": model}, NUM_ITEMS), range(1)))
    assert isinstance(runner, NativeStages)
    return runner


def big_endian(array: Any) -> Any:
    return array.astype(array.dtype.newbyteorder(">"))


def narrow(array: Any) -> Any:
    return array.astype(np.int32 if array.dtype.kind == "i" else np.float16)


def other_kind(array: Any) -> Any:
    return array.astype(np.float64 if array.dtype.kind == "i" else np.int64)


def every_second(array: Any) -> Any:
    return np.repeat(array, 2, axis=-1)[..., ::2]


def backwards(array: Any) -> Any:
    return array[..., ::-1].copy()[..., ::-1]


def read_only(array: Any) -> Any:
    made = array.copy()
    made.flags.writeable = False
    return made


def column_first(array: Any) -> Any:
    return np.asfortranarray(array)


def misaligned(array: Any) -> Any:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    made = raw[1:].view(array.dtype).reshape(array.shape)
    made[...] = array
    return made


WRONG = [big_endian, narrow, other_kind]
STRANGE = [every_second, backwards, read_only, column_first, misaligned]


def context_with(name: str, change: Change) -> Features:
    return dataclasses.replace(CONTEXT, **{name: change(getattr(CONTEXT, name))})


@pytest.mark.parametrize("change", WRONG)
@pytest.mark.parametrize("name", ["categorical", "dense"])
def test_features_of_another_type_are_refused(
    model: NativeModel, stages: NativeStages, name: str, change: Change
) -> None:
    context = context_with(name, change)
    with pytest.raises(InvalidInput, match=f"{name} features must be"):
        model.score(context, CANDIDATES)
    with pytest.raises(InvalidInput, match=f"{name} features must be"):
        stages.run(Question(context, NOTHING, CANDIDATES[0]), None)


@pytest.mark.parametrize("change", STRANGE)
@pytest.mark.parametrize("name", ["categorical", "dense"])
def test_features_that_lie_strangely_score_the_same(
    model: NativeModel, stages: NativeStages, name: str, change: Change
) -> None:
    context = context_with(name, change)
    np.testing.assert_array_equal(
        model.score(context, CANDIDATES), model.score(CONTEXT, CANDIDATES)
    )
    ours, theirs = (
        stages.run(Question(asked, NOTHING, CANDIDATES[0]), None) for asked in (context, CONTEXT)
    )
    np.testing.assert_array_equal(ours.columns, theirs.columns)


@pytest.mark.parametrize("change", WRONG)
def test_candidates_and_excluded_columns_of_another_type_are_refused(
    model: NativeModel, stages: NativeStages, change: Change
) -> None:
    with pytest.raises(InvalidInput, match="candidates must be int64"):
        model.score(CONTEXT, change(CANDIDATES))
    with pytest.raises(InvalidInput, match="excluded positions must be int64"):
        model.top_k(CONTEXT, CANDIDATES, 2, None, change(np.array([1])))
    with pytest.raises(InvalidInput, match="candidates must be int64"):
        stages.run(Question(CONTEXT, NOTHING, change(CANDIDATES[0])), None)
    with pytest.raises(InvalidInput, match="excluded columns must be int64"):
        stages.run(Question(CONTEXT, change(np.array([1])), CANDIDATES[0]), None)


@pytest.mark.parametrize("change", STRANGE)
def test_candidates_that_lie_strangely_rank_the_same(
    model: NativeModel, stages: NativeStages, change: Change
) -> None:
    excluded = np.array([0, 2])
    np.testing.assert_array_equal(
        model.score(CONTEXT, change(CANDIDATES)), model.score(CONTEXT, CANDIDATES)
    )
    for ours, theirs in zip(
        model.top_k(CONTEXT, change(CANDIDATES), 2, None, change(excluded)),
        model.top_k(CONTEXT, CANDIDATES, 2, None, excluded),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    strange = Question(CONTEXT, change(excluded), change(CANDIDATES[0]))
    plain = Question(CONTEXT, excluded, CANDIDATES[0])
    for before in (None, np.array([1, 3, 4])):
        ours, theirs = (
            stages.run(question, None if before is None else Survivors(of(before)))
            for question, of in ((strange, change), (plain, np.copy))
        )
        np.testing.assert_array_equal(ours.columns, theirs.columns)


@pytest.mark.parametrize("change", WRONG)
def test_given_scores_of_another_type_are_refused(reader: NativeModel, change: Change) -> None:
    given = CONTRACT.given("reranker", NUM_CANDIDATES)
    assert given is not None
    with pytest.raises(InvalidInput, match="given scores must be float32"):
        reader.score(CONTEXT, CANDIDATES, change(given[:1]))


@pytest.mark.parametrize("change", STRANGE)
def test_given_scores_that_lie_strangely_score_the_same(
    reader: NativeModel, change: Change
) -> None:
    given = CONTRACT.given("reranker", NUM_CANDIDATES)
    assert given is not None
    np.testing.assert_array_equal(
        reader.score(CONTEXT, CANDIDATES, change(given[:1])),
        reader.score(CONTEXT, CANDIDATES, given[:1]),
    )


def test_what_is_no_array_is_refused(model: NativeModel, reader: NativeModel) -> None:
    with pytest.raises(InvalidInput, match="candidates must be int64 of 2 dimensions, not list"):
        model.score(CONTEXT, CANDIDATES.tolist())
    with pytest.raises(InvalidInput, match="given scores must be float32 of 3 dimensions"):
        reader.score(CONTEXT, CANDIDATES, np.zeros((1, NUM_CANDIDATES, 2)).tolist())
    with pytest.raises(InvalidInput, match=r"k is 2\.5, must be a whole number"):
        model.top_k(CONTEXT, CANDIDATES, 2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [-1, 10**12, -(2**63), 2**63 - 1])
def test_ids_and_rows_that_do_not_exist_are_named(
    model: NativeModel, stages: NativeStages, bad: int
) -> None:
    context = context_with("categorical", lambda ids: np.full_like(ids, bad))
    rows = np.full_like(CANDIDATES, bad)
    for call in (model.score, lambda c, r: model.top_k(c, r, 2)):
        with pytest.raises(DataError, match=f"'user' has id {bad}"):
            call(context, CANDIDATES)
        with pytest.raises(InvalidInput, match=f"is item {bad}, allowed 0 to 13"):
            call(CONTEXT, rows)
    with pytest.raises(DataError, match=f"'dlrm'.*'user' has id {bad}"):
        stages.run(Question(context, NOTHING, CANDIDATES[0]), None)
    with pytest.raises(InvalidInput, match=f"'dlrm'.*is item {bad}"):
        stages.run(Question(CONTEXT, NOTHING, rows[0]), None)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_named(
    model: NativeModel, stages: NativeStages, reader: NativeModel, folder: Path, bad: float
) -> None:
    context = context_with("dense", lambda numbers: np.full_like(numbers, bad))
    with pytest.raises(ModelError, match="'activity' is not finite in row 0"):
        model.score(context, CANDIDATES)
    with pytest.raises(ModelError, match="'activity' is not finite in row 0"):
        stages.run(Question(context, NOTHING, CANDIDATES[0]), None)
    given = np.full((1, NUM_CANDIDATES, 2), bad, np.float32)
    with pytest.raises(ModelError, match="given score 0 of candidate 0 of query 0"):
        reader.score(CONTEXT, CANDIDATES, given)
    items = CONTRACT.items()
    items.dense[3] = bad
    with pytest.raises(DataError, match="'year' is not finite in row 3"):
        Native().load(folder / "dlrm", items)


def test_without_candidates_there_is_nothing_to_score_or_keep(
    model: NativeModel, stages: NativeStages
) -> None:
    assert model.score(CONTEXT, CANDIDATES[:, :0]).shape == (1, 0)
    for kept in model.top_k(CONTEXT, CANDIDATES[:, :0], 3):
        assert kept.size == 0
    found = stages.run(Question(CONTEXT, NOTHING, CANDIDATES[0]), Survivors(NOTHING))
    assert found.columns.size == 0


@pytest.mark.parametrize("k", [NUM_CANDIDATES, NUM_CANDIDATES + 1, 2**62])
def test_asked_for_more_than_there_are_all_are_kept(model: NativeModel, k: int) -> None:
    positions, scores = model.top_k(CONTEXT, CANDIDATES, k)
    np.testing.assert_array_equal(positions, np.arange(NUM_CANDIDATES))
    np.testing.assert_array_equal(scores, model.score(CONTEXT, CANDIDATES)[0])


def test_excluded_columns_must_exist_and_may_be_all(
    model: NativeModel, stages: NativeStages
) -> None:
    everything = np.arange(NUM_CANDIDATES)
    assert model.top_k(CONTEXT, CANDIDATES, 3, None, everything)[0].size == 0
    assert stages.run(Question(CONTEXT, everything, CANDIDATES[0]), None).columns.size == 0
    with pytest.raises(InvalidInput, match="excluded positions run from -1 to -1"):
        stages.run(Question(CONTEXT, np.array([-1]), CANDIDATES[0]), None)


@pytest.mark.parametrize("name", ["categorical", "dense"])
def test_items_of_another_type_are_refused_as_input(folder: Path, name: str) -> None:
    items = CONTRACT.items()
    for change in WRONG:
        changed = dataclasses.replace(items, **{name: change(getattr(items, name))})
        with pytest.raises(InvalidInput, match=f"items of 'dlrm': {name} features must be"):
            Native().load(folder / "dlrm", changed)
    strange = dataclasses.replace(items, **{name: every_second(getattr(items, name))})
    assert Native().load(folder / "dlrm", strange).score(CONTEXT, None).shape == (1, NUM_ITEMS)


@pytest.mark.parametrize("num_threads", [0, -1, 10**6])
def test_a_number_of_threads_that_makes_no_sense_is_refused(folder: Path, num_threads: int) -> None:
    with pytest.raises(InvalidInput, match=f"num_threads is {num_threads}, must be 1 to 1024"):
        Native().load(folder / "dlrm", CONTRACT.items(), num_threads=num_threads)


def cut_parameters(folder: Path) -> None:
    file = folder / PARAMETERS_FILE
    file.write_bytes(file.read_bytes()[:-40])


def swap_parameters(folder: Path) -> None:
    other = CONTRACT.save(folder.parent / "other", "neumf")
    (folder / PARAMETERS_FILE).write_bytes((other / PARAMETERS_FILE).read_bytes())


def swap_graph(folder: Path) -> None:
    other = CONTRACT.save(folder.parent / "other", "reranker")
    (folder / GRAPH_FILE).write_bytes((other / GRAPH_FILE).read_bytes())


def break_schema(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "schema": {"features": 3}}))


@pytest.mark.parametrize("damage", [cut_parameters, swap_parameters, swap_graph, break_schema])
def test_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Also where a form compiled before the damage is at hand."""
    folder = CONTRACT.save(tmp_path, "dlrm")
    Native().load(folder, CONTRACT.items())
    damage(folder)
    with pytest.raises(StorageError, match=r"train .*again"):
        Native().load(folder, CONTRACT.items())
    assert Native().refusal(folder)
