"""Users' own files as models: called with the right features, refused where they misfit."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from own_files import (
    INPUTS,
    Tower,
    save_exported,
    save_nodes,
    save_onnx,
    save_torchscript,
    tower,
    tower_scores,
)
from recfunnel.core.arrays import FloatArray
from recfunnel.core.errors import MissingExtraError, ModelError, StorageError, StudyError
from recfunnel.core.spec import to_builtins
from recfunnel.models.base import models
from recfunnel.models.checkpoint import load_checkpoint, save_checkpoint
from recfunnel.models.onnx_file import OnnxFile
from recfunnel.models.own_file import OwnFile
from recfunnel.models.torch_file import ExportedFile, TorchScriptFile
from recfunnel.runtime.base import RuntimeSpec
from recfunnel.runtime.onnx_runtime import OnnxRuntime
from recfunnel.runtime.openvino import OpenVINO
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.testing.model import EXAMPLE_SCHEMA, random_features

ROWS = np.random.default_rng(0)
CONTEXT = random_features(EXAMPLE_SCHEMA, "context", 4, ROWS)
ITEMS = random_features(EXAMPLE_SCHEMA, "candidate", 12, ROWS)
CANDIDATES = ROWS.integers(0, 12, (4, 5))
GIVEN: FloatArray = ROWS.normal(size=(4, 5, 2)).astype(np.float32)
FED = {"inputs": INPUTS, "scores_input": "scores"}

KINDS: dict[str, tuple[type[OwnFile], Callable[[Tower, Path], Path], str]] = {
    "onnx": (OnnxFile, save_onnx, "tower.onnx"),
    "torchscript": (TorchScriptFile, save_torchscript, "tower.pt"),
    "exported": (ExportedFile, save_exported, "tower.pt2"),
}


@pytest.fixture(scope="module")
def network() -> Tower:
    return tower()


@pytest.fixture(scope="module")
def files(network: Tower, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for _, save, name in KINDS.values():
        save(network, folder / name)
    return folder


def finished(folder: Path, spec: OwnFile, score_inputs: tuple[str, ...] = ("a", "b")) -> Path:
    module = spec.build(EXAMPLE_SCHEMA, len(score_inputs))
    place = folder / "mine"
    save_checkpoint(place, spec, EXAMPLE_SCHEMA, module, name="mine", score_inputs=score_inputs)
    return place


@pytest.mark.parametrize(
    ("kind", "runtime"),
    [
        ("onnx", TorchEager()),
        ("onnx", OnnxRuntime()),
        ("onnx", OpenVINO()),
        ("torchscript", TorchEager()),
        ("exported", TorchEager()),
    ],
)
def test_a_file_scores_as_the_network_it_was_made_of(
    kind: str, runtime: RuntimeSpec, network: Tower, tmp_path: Path
) -> None:
    """Long after the user's own copy is gone, and one candidate alone as well."""
    cls, save, name = KINDS[kind]
    source = tmp_path / name
    save(network, source)
    place = finished(tmp_path, cls(file=str(source), **FED))
    source.unlink()
    loaded = runtime.load(place, ITEMS)
    assert not runtime.refusal(place)
    assert loaded.score_inputs == ("a", "b")
    expected = tower_scores(network, CONTEXT, ITEMS, CANDIDATES, GIVEN)
    np.testing.assert_allclose(loaded.score(CONTEXT, CANDIDATES, GIVEN), expected, atol=1e-6)
    alone = loaded.score(CONTEXT.row(1), CANDIDATES[1:2, :1], GIVEN[1:2, :1])
    np.testing.assert_allclose(alone, expected[1:2, :1], atol=1e-6)
    everything = np.tile(np.arange(12), (4, 1))
    given = np.zeros((4, 12, 2), np.float32)
    np.testing.assert_allclose(
        loaded.score(CONTEXT, None, given),
        tower_scores(network, CONTEXT, ITEMS, everything, given),
        atol=1e-6,
    )


def small(
    folder: Path,
    nodes: list[Any],
    inputs: dict[str, tuple[str, list[int | str]]],
    output: list[int | str] | None = None,
) -> str:
    return str(save_nodes(folder / "small.onnx", nodes, inputs, output or ["n"]))


def score_with(folder: Path, spec: OnnxFile) -> FloatArray:
    """On both ONNX libraries, which must agree."""
    place = finished(folder, spec, ())
    found = [r.load(place, ITEMS).score(CONTEXT, CANDIDATES) for r in (OnnxRuntime(), OpenVINO())]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)
    return found[0]


def test_a_list_comes_as_a_rectangle_with_weights_and_what_is_present(tmp_path: Path) -> None:
    """Ids in float32 as the file asks, summed with their weights, and counted."""
    nodes = [
        helper.make_node("Mul", ["ids", "weights"], ["each"]),
        helper.make_node("ReduceSum", ["each", "axis"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["present", "axis"], ["count"], keepdims=0),
        helper.make_node("Add", ["sum", "count"], ["score"]),
    ]
    axis = helper.make_node("Constant", [], ["axis"], value_ints=[1])
    shape: list[int | str] = ["n", "L"]
    inputs = dict.fromkeys(("ids", "weights", "present"), ("float32", shape))
    file = small(tmp_path, [axis, *nodes], inputs)
    reads = {"ids": "history", "weights": "history.weights", "present": "history.present"}
    found = score_with(tmp_path, OnnxFile(file=file, inputs=reads))
    history = CONTEXT.multi_valued[0]
    expected = [history.row(q) @ history.row_weights(q) + len(history.row(q)) for q in range(4)]
    np.testing.assert_allclose(found, np.tile(np.array(expected)[:, None], 5), rtol=1e-6)


def test_a_file_may_take_the_context_once_and_features_of_both_sides_together(
    tmp_path: Path,
) -> None:
    once = small(
        tmp_path,
        [helper.make_node("Mul", ["activity", "year"], ["score"])],
        {"activity": ("float32", [1]), "year": ("float32", ["n"])},
    )
    reads: dict[str, Any] = {"activity": "activity", "year": "year"}
    found = score_with(tmp_path, OnnxFile(file=once, inputs=reads, context="once"))
    expected = CONTEXT.dense[:, :1] * ITEMS.dense[CANDIDATES, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    sums = [
        helper.make_node("Constant", [], ["axis"], value_ints=[1]),
        helper.make_node("ReduceSum", ["x", "axis"], ["score"], keepdims=1),
    ]
    both = small(tmp_path, sums, {"x": ("float32", ["n", 3])}, ["n", 1])
    names = ("activity", "year", "item")
    found = score_with(tmp_path, OnnxFile(file=both, inputs={"x": names}))
    ids = ITEMS.categorical[CANDIDATES, 0]
    expected = CONTEXT.dense[:, :1] + ITEMS.dense[CANDIDATES, 0] + ids
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    with pytest.raises(StudyError, match="both sides, which differ in rows"):
        OnnxFile(file=both, inputs={"x": names}, context="once").build(EXAMPLE_SCHEMA)


def test_a_column_of_probabilities_becomes_log_odds(tmp_path: Path) -> None:
    nodes = [helper.make_node("Softmax", ["x"], ["score"], axis=1)]
    file = small(tmp_path, nodes, {"x": ("float32", ["n", 2])}, ["n", 2])
    inputs: dict[str, Any] = {"x": ("year", "price")}
    spec = OnnxFile(file=file, inputs=inputs, output_column=1, probability=True)
    found = score_with(tmp_path, spec)
    year, price = np.moveaxis(ITEMS.dense[CANDIDATES], 2, 0)
    np.testing.assert_allclose(found, price - year, rtol=1e-3, atol=1e-4)
    with pytest.raises(ModelError, match=r"no column 2; see output_column"):
        replace_spec(spec, output_column=2).build(EXAMPLE_SCHEMA)
    with pytest.raises(ModelError, match=r"shape \(3, 2\) for 3 candidates"):
        replace_spec(spec, output_column=None).build(EXAMPLE_SCHEMA)


def replace_spec(spec: OnnxFile, **changes: Any) -> OnnxFile:
    return OnnxFile(**{**{k: getattr(spec, k) for k in spec.__struct_fields__}, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": {"user": "usr", "item": "item", "dense": ("year", "price")}},
         r"input 'user' of .* reads 'usr', which is unknown; did you mean 'user'\?"),
        ({"inputs": {"user": "user", "item": "item"}},
         r"an input 'dense' that no feature is given to; add it to 'inputs'"),
        ({"inputs": {**INPUTS, "more": "age"}},
         r"has no input 'more'; it has: user, item, dense, scores"),
        ({"inputs": {**INPUTS, "dense": "year"}},
         r"input 'dense' of .* wants 2 columns, is given 1"),
        ({"inputs": {**INPUTS, "user": "year"}},
         r"input 'user' of .* wants int64, but 'year' can be given as float32, float64 only"),
        ({"inputs": {**INPUTS, "user": ("user", "age")}},
         r"input 'user' of .* has shape \(any\); 2 features are given as \(n, 2\)"),
        ({"inputs": {**INPUTS, "user": "history"}},
         r"input 'user' of .* has 1 axes; a multi-valued feature is \(n, L\)"),
        ({"inputs": {**INPUTS, "user": "age.weights"}}, r"'age' is not multi-valued"),
        ({"inputs": {**INPUTS, "dense": ("year", "genres")}},
         r"a multi-valued feature needs its own input"),
        ({"scores_input": ""}, r"has 2 score_inputs and scores_input = '': both or neither"),
        ({"output": "scor"}, r"has no output 'scor'; it has: score"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(files: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        OnnxFile(file=str(files / "tower.onnx"), **{**FED, **changes}).build(EXAMPLE_SCHEMA, 2)


def test_scores_that_do_not_fit_are_named(files: Path) -> None:
    spec = OnnxFile(file=str(files / "tower.onnx"), **FED)
    with pytest.raises(StudyError, match=r"input 'scores' of .* wants 2 columns, is given 3"):
        spec.build(EXAMPLE_SCHEMA, 3)


def test_a_fixed_number_of_rows_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["score"])]
    file = small(tmp_path, nodes, {"x": ("float32", [1])}, [1])
    with pytest.raises(StudyError, match=r"fixed number of rows \(1\), must take any"):
        OnnxFile(file=file, inputs={"x": "year"}).build(EXAMPLE_SCHEMA)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["missing", "cut short", "another kind"])
def test_a_damaged_file_is_refused(kind: str, fault: str, files: Path, tmp_path: Path) -> None:
    cls, _, name = KINDS[kind]
    file = tmp_path / name
    if fault == "cut short":
        whole = (files / name).read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
    elif fault == "another kind":
        file.write_text("not a model")
    with pytest.raises(StorageError, match="exist" if fault == "missing" else "damaged"):
        cls(file=str(file), **FED).build(EXAMPLE_SCHEMA, 2)
    place = finished(tmp_path, cls(file=str(files / name), **FED))
    stored = next(place.glob("model.*"))
    stored.write_bytes(file.read_bytes()) if file.exists() else stored.unlink()
    with pytest.raises(StorageError):
        load_checkpoint(place)
    if kind == "onnx":
        for runtime in (OnnxRuntime(), OpenVINO()):
            with pytest.raises(StorageError):
                runtime.load(place, ITEMS)


@pytest.mark.parametrize("runtime", [TorchEager(), OnnxRuntime(), OpenVINO()])
def test_a_score_that_is_no_number_is_a_model_error(runtime: RuntimeSpec, tmp_path: Path) -> None:
    nodes = [helper.make_node("Log", ["x"], ["score"])]
    file = small(tmp_path, nodes, {"x": ("float32", ["n"])})
    with pytest.raises(ModelError, match="returned -inf"):
        OnnxFile(file=file, inputs={"x": "year"}).build(EXAMPLE_SCHEMA)
    nodes = [helper.make_node("Sqrt", ["x"], ["score"])]
    file = small(tmp_path, nodes, {"x": ("float32", ["n"])})
    loaded = runtime.load(finished(tmp_path, OnnxFile(file=file, inputs={"x": "year"}), ()), ITEMS)
    assert (ITEMS.dense[:, 0] < 0).any()
    with pytest.raises(ModelError, match="'mine' returned nan"):
        loaded.score(CONTEXT, None)


def test_torch_files_name_what_is_wrong(files: Path) -> None:
    script = TorchScriptFile(file=str(files / "tower.pt"), **{**FED, "inputs": {"user": "user"}})
    with pytest.raises(StudyError, match="an input 'item' that no feature is given to"):
        script.build(EXAMPLE_SCHEMA, 2)
    wrong = {**FED, "inputs": {**INPUTS, "user": "activity"}}
    with pytest.raises(ModelError, match=r"tower\.pt' failed: "):
        TorchScriptFile(file=str(files / "tower.pt"), **wrong).build(EXAMPLE_SCHEMA, 2)
    with pytest.raises(StudyError, match="wants int64, but 'activity'"):
        ExportedFile(file=str(files / "tower.pt2"), **wrong).build(EXAMPLE_SCHEMA, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_specs_survive_being_stored_and_cost_what_is_stated(kind: str, files: Path) -> None:
    cls, _, name = KINDS[kind]
    spec = cls(file=str(files / name), flops_per_item=7.0, read_bytes_per_item=5.0, **FED)
    again = models.parse(to_builtins(spec))
    assert again == spec
    assert hash(again) == hash(spec)
    cost = spec.cost(EXAMPLE_SCHEMA, 2)
    assert (cost.flops_per_item, cost.read_bytes_per_item) == (7, 5)
    assert cost.parameter_bytes == (files / name).stat().st_size


def test_another_file_under_the_same_name_is_another_model(files: Path, tmp_path: Path) -> None:
    file = tmp_path / "tower.onnx"
    spec = OnnxFile(file=str(file), **FED)
    file.write_bytes((files / "tower.onnx").read_bytes())
    before = spec.fingerprint()
    file.write_bytes(file.read_bytes() + b"\0")
    assert spec.fingerprint() != before


def test_tables_outside_the_file_come_along(network: Tower, tmp_path: Path) -> None:
    import onnx

    source = tmp_path / "from" / "tower.onnx"
    source.parent.mkdir()
    save_onnx(network, source)
    onnx.save(
        onnx.load(source), source, save_as_external_data=True, location="big.bin", size_threshold=64
    )
    place = finished(tmp_path, OnnxFile(file=str(source), **FED))
    source.unlink()
    (source.parent / "big.bin").unlink()
    expected = tower_scores(network, CONTEXT, ITEMS, CANDIDATES, GIVEN)
    for runtime in (OnnxRuntime(), OpenVINO(), TorchEager()):
        scores = runtime.load(place, ITEMS).score(CONTEXT, CANDIDATES, GIVEN)
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_without_the_library_the_extra_is_named(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'recfunnel\[onnx\]'"):
        OnnxFile(file=str(files / "tower.onnx"), **FED).build(EXAMPLE_SCHEMA, 2)


def test_a_call_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(StudyError, match="needs 'inputs'"):
        OnnxFile(file="a.onnx")
    with pytest.raises(StudyError, match="both the scores_input and among the inputs"):
        OnnxFile(file="a.onnx", inputs={"x": "year"}, scores_input="x")
    with pytest.raises(StudyError, match="names no feature"):
        OnnxFile(file="a.onnx", inputs={"x": ()})
