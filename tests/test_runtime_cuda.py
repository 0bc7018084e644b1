"""The GPU runtime: the same code on a CPU, against the stored networks and the float64 oracle."""

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compile_world import NUM_IDS, SCHEMA, SIDES, Call, random_graph
from cuda_graphs_on_cpu import RecordedGraph, record_on_cpu
from recfunnel.bench.model import build_model
from recfunnel.bench.shapes import SHAPES, Shape
from recfunnel.compile.evaluate import evaluate
from recfunnel.compile.hoist import hoist
from recfunnel.compile.load import StoredGraph
from recfunnel.compile.rewrite import Model, View
from recfunnel.compile.widths import Parameters
from recfunnel.core.errors import InvalidInput, ModelError, StudyError
from recfunnel.core.features import Features, FeatureSchema, Side
from recfunnel.core.graph import (
    CrossDots,
    CrossLinear,
    Linear,
    Lookup,
    RankingGraph,
    Relu,
    ScaledLinear,
)
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.registry import decode_role
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.models.module import Module
from recfunnel.runtime import torch_cuda
from recfunnel.runtime.base import RuntimeSpec
from recfunnel.runtime.gpu import calls
from recfunnel.runtime.gpu import model as gpu_model
from recfunnel.runtime.gpu import resident as gpu_resident
from recfunnel.runtime.gpu.buckets import bucket_of, buckets_up_to
from recfunnel.runtime.gpu.calls import Device, Kernels, PreparedCall, Recording
from recfunnel.runtime.gpu.model import TorchGpuModel
from recfunnel.runtime.gpu.resident import Resident, needed_bytes
from recfunnel.runtime.torch_cuda import TorchCuda
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.testing.model import EXAMPLE_SCHEMA, random_features
from recfunnel.testing.runtime import RuntimeContract
from triton_in_numpy import triton_in_numpy

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class TestOnACPU(RuntimeContract):
    runtime = TorchCuda(device="cpu")


class TestPrepared(RuntimeContract):
    runtime = TorchCuda(device="cpu", prepare_up_to=20)


class TestInSmallSteps(RuntimeContract):
    """Few columns, pairs and items at once, as for data larger than the device likes."""

    runtime = TorchCuda(device="cpu")

    @pytest.fixture(autouse=True)
    def _small_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gpu_model, "PAIRS_AT_ONCE", 20)
        monkeypatch.setattr(gpu_model, "MOST_COLUMNS", 3)
        monkeypatch.setattr(gpu_resident, "ITEMS_AT_ONCE", 4)
        monkeypatch.setattr(gpu_resident, "CELL_COST", 0)


class TestLowPrecision(RuntimeContract):
    runtime = TorchCuda(device="cpu", dtype="bfloat16")
    tolerance = 2e-2


@pytest.mark.gpu
@NEEDS_GPU
class TestOnAGPU(RuntimeContract):
    runtime = TorchCuda()


@pytest.mark.gpu
@NEEDS_GPU
class TestOnAGPUWithoutGraphs(RuntimeContract):
    runtime = TorchCuda(cuda_graphs=False)


@pytest.mark.gpu
@NEEDS_GPU
class TestLowPrecisionOnAGPU(RuntimeContract):
    runtime = TorchCuda(dtype="bfloat16")
    tolerance = 2e-2


CONTRACT = TestOnACPU()


@pytest.mark.parametrize("name", list(RuntimeContract.specs))
def test_any_number_of_candidates_scores_as_in_eager_torch(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    folder, items = CONTRACT.save(tmp_path, name), CONTRACT.items()
    here, eager = TorchCuda(device="cpu").load(folder, items), TorchEager().load(folder, items)
    num_inputs = RuntimeContract.specs[name][1]
    for size in (1, 2, 7, 8, 9, 12, 13, 100, 1000, 5000):
        context = CONTRACT.context().row(size % 6)
        candidates = rng.integers(0, len(items), (1, size))
        given = rng.normal(size=(1, size, num_inputs)).astype(np.float32) if num_inputs else None
        expected = eager.score(context, candidates, given)
        CONTRACT.assert_close(here.score(context, candidates, given), expected)
    no_candidates = np.zeros((1, 0), np.int64)
    none_given = np.zeros((1, 0, num_inputs), np.float32) if num_inputs else None
    assert here.score(CONTRACT.context().row(0), no_candidates, none_given).shape == (1, 0)


def measured(
    shape: Shape, num_rows: int, num_items: int
) -> tuple[RankingGraph, Parameters, Features, Features]:
    """A measured model as its paper writes it, 6 contexts and some items."""
    model, rng = build_model(shape, num_rows=num_rows, seed=0), np.random.default_rng(0)
    schema = model.schema("catalogue")
    contexts = random_features(schema, "context", 6, rng)
    items = random_features(schema, "candidate", num_items, rng)
    return model.graph("catalogue"), model.parameters, contexts, items


def on_cpu(
    graph_and_parameters: Sequence[Any],
    items: Features,
    num_scores: int = 0,
    *,
    low: bool = False,
    kernels: Kernels = "torch",
) -> TorchGpuModel:
    """A graph in the runtime, without a folder."""
    view = View(*hoist(*graph_and_parameters))
    inputs = tuple(f"s{i}" for i in range(num_scores))
    stored = StoredGraph("random", view.graph, view.parameters, FeatureSchema(features=()), inputs)
    device = Device("cpu", records=False, kernels=kernels)
    return TorchGpuModel(stored, Resident(view, items, "cpu", low=low), device)


@pytest.mark.parametrize("name", list(RuntimeContract.specs))
def test_recorded_work_reads_every_call_anew(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_on_cpu(monkeypatch)
    plain = TorchCuda(device="cpu").load(CONTRACT.save(tmp_path, name), CONTRACT.items())
    monkeypatch.setattr(Device, "__init__", records_on_cpu)
    model = TorchCuda(device="cpu").load(tmp_path / name, CONTRACT.items())
    num_inputs = RuntimeContract.specs[name][1]
    rng = np.random.default_rng(6)
    for size in (5, 7, 8, 40, 3, None, 35, None):
        context = CONTRACT.context().row(int(rng.integers(0, 6)))
        candidates = None if size is None else rng.integers(0, 14, (1, size))
        shape = (1, size or 14, num_inputs)
        given = rng.normal(size=shape).astype(np.float32) if num_inputs else None
        expected = plain.score(context, candidates, given)
        np.testing.assert_allclose(
            model.score(context, candidates, given), expected, rtol=1e-6, atol=1e-6
        )
    assert RecordedGraph.num_replays == 8
    assert RecordedGraph.num_made == model.num_prepared < 8


@pytest.mark.parametrize(
    ("fused", "warning"),
    [
        ("right", None),
        ("wrong", "the Triton kernel is wrong"),
        ("absent", "no Triton kernel for .* no compiler"),
    ],
)
def test_a_kernel_that_fails_or_errs_is_said_and_not_used(
    fused: str, warning: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_on_cpu(monkeypatch)
    scores, replay_s = Resident.scores, PreparedCall._replay_s
    used: list[bool] = []

    def kernel(self: Resident, *arguments: Any, fused: bool = False) -> torch.Tensor:
        if fused and kind == "absent":
            raise RuntimeError("no compiler")
        found = scores(self, *arguments)
        return found * 1.5 if fused and kind == "wrong" else found

    def timed(self: PreparedCall, recording: Recording) -> float:
        used.append(True)
        return replay_s(self, recording)

    kind = fused
    monkeypatch.setattr(calls, "triton_is_installed", lambda: True)
    monkeypatch.setattr(Resident, "scores", kernel)
    monkeypatch.setattr(PreparedCall, "_replay_s", timed)
    monkeypatch.setattr(Device, "__init__", records_on_cpu)
    graph, parameters, contexts, items = measured(SHAPES[0], 2_000, 100)
    here, context = on_cpu((graph, parameters), items, kernels="auto"), contexts.row(0)
    with pytest.warns(RuntimeWarning, match=warning) if warning else nullcontext():
        found = here.score(context, np.arange(20)[None])
    expected = evaluate(graph, parameters, context, items, np.arange(20)[None])
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert bool(used) == (warning is None)


def records_on_cpu(device: Device, name: str, *, records: bool, kernels: Kernels) -> None:
    """A device without a stream that records, its memory apart from the caller's."""
    del records
    assert name == "cpu"
    device.name, device.is_gpu, device.records, device.kernels = "cpu:0", False, True, kernels
    device.stream, device.pool = None, None


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000))
def test_every_graph_scores_as_the_oracle(seed: int) -> None:
    graph, parameters = random_graph(seed)
    call = Call(seed, SCHEMA)
    reads_scores = any(type(op).__name__ == "Given" for op in hoist(graph, parameters)[0].nodes)
    model = on_cpu((graph, parameters), call.items, call.given.shape[2] if reads_scores else 0)
    given = call.given if reads_scores else None
    expected = call.scores(graph, parameters)
    scale = max(1.0, float(np.abs(expected).max()))
    together = model.score(call.context, call.candidates, given)
    np.testing.assert_allclose(together, expected, rtol=1e-4, atol=1e-4 * scale)
    for query in range(3):
        span = slice(query, query + 1)
        alone = model.score(
            call.context.row(query), call.candidates[span], None if given is None else given[span]
        )
        np.testing.assert_allclose(alone, expected[span], rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("low", [False, True], ids=["float32", "bfloat16"])
def test_the_measured_models_as_their_papers_write_them(shape: Shape, low: bool) -> None:
    graph, parameters, contexts, items = measured(shape, 20_000, 500)
    here = on_cpu((graph, parameters), items, low=low)
    for query in range(3):
        context = contexts.row(query)
        candidates = np.random.default_rng(query).integers(0, len(items), (1, 100))
        expected = evaluate(graph, parameters, context, items, candidates)
        error = np.abs(here.score(context, candidates) - expected).max()
        assert error <= (3e-2 if low else 1e-5) * np.abs(expected).max()


def test_low_precision_makes_no_ties_of_scores() -> None:
    graph, parameters, contexts, items = measured(SHAPES[0], 20_000, 4000)
    scores = on_cpu((graph, parameters), items, low=True).score(contexts.row(0), None)[0]
    distinct = np.unique(items.categorical, axis=0)
    assert len(np.unique(scores)) > 0.9 * len(distinct)


def test_sizes_are_rounded_up_by_half_at_most() -> None:
    assert [bucket_of(n) for n in (0, 1, 8, 9, 12, 13, 17, 25, 1000, 1025)] == [
        8, 8, 8, 12, 12, 16, 24, 32, 1024, 1536,
    ]  # fmt: skip
    for size in range(8, 5000):
        assert size <= bucket_of(size) < 1.5 * size
    assert buckets_up_to(40) == (8, 12, 16, 24, 32, 48)
    assert buckets_up_to(0) == ()


def _dlrm(tmp_path: Path) -> Path:
    return CONTRACT.save(tmp_path, "dlrm")


def test_calls_of_one_bucket_are_prepared_once(tmp_path: Path) -> None:
    model = TorchCuda(device="cpu").load(CONTRACT.save(tmp_path, "popularity"), CONTRACT.items())
    context = CONTRACT.context().row(0)
    for size in (9, 10, 11, 12, 10):
        model.score(context, np.zeros((1, size), np.int64))
    assert model.num_prepared == 1
    model.score(context, None)
    assert model.num_prepared == 2
    model.prepare(24)
    assert model.num_prepared == 5


def test_scores_of_a_call_are_not_changed_by_the_next(tmp_path: Path) -> None:
    model = TorchCuda(device="cpu").load(_dlrm(tmp_path), CONTRACT.items())
    first = model.score(CONTRACT.context().row(0), np.array([[1, 2, 3]]))
    kept = first.copy()
    model.score(CONTRACT.context().row(1), np.array([[4, 5, 6]]))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("k", [0, 1, 5, 40, 100])
def test_the_best_k_are_those_of_all_scores_lower_columns_first_among_equals(
    tmp_path: Path, k: int
) -> None:
    model = TorchCuda(device="cpu").load(_dlrm(tmp_path), CONTRACT.items())
    context = CONTRACT.context().row(2)
    candidates = np.random.default_rng(0).integers(0, 14, (1, 40))  # repeats: equal scores
    for wanted in (candidates, None):
        scores = model.score(context, wanted)[0]
        columns, best = model.score_top_k(context, wanted, k)
        np.testing.assert_array_equal(columns, np.argsort(-scores, kind="stable")[:k])
        np.testing.assert_array_equal(best, scores[columns])
    assert model.score_top_k(context, candidates[:, :0], k)[0].size == 0
    with pytest.raises(InvalidInput, match="top-k is of one query"):
        model.score_top_k(CONTRACT.context(), None, 3)


def test_what_is_outside_its_table_never_reaches_the_device(tmp_path: Path) -> None:
    for name in ("dlrm", "ease", "neumf"):
        model = TorchCuda(device="cpu").load(CONTRACT.save(tmp_path, name), CONTRACT.items())
        context = CONTRACT.context().row(3)
        for wrong in (-1, 14, 10**12):
            with pytest.raises(InvalidInput, match="must be rows 0 to 13 of the items"):
                model.score(context, np.array([[0, wrong]]))
        if name != "ease":
            context.categorical[:] = 99
            with pytest.raises(InvalidInput, match="has rows 0 to 8, asked for 99 to 99"):
                model.score(context, np.array([[0, 1]]))
        lists = CONTRACT.context().row(1)
        if name != "neumf" and lists.multi_valued[0].values.size:
            lists.multi_valued[0].values[:] = -5
            with pytest.raises(InvalidInput, match="has rows 0 to 14, asked for -5 to -5"):
                model.score(lists, np.array([[0, 1]]))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_memory_is_known_before_it_is_taken(seed: int, low: bool) -> None:
    view = View(*hoist(*random_graph(seed)))
    items = Call(seed).items
    needed = needed_bytes(view, len(items), low=low)
    taken = Resident(view, items, "cpu", low=low).memory
    assert (needed.table_bytes, needed.item_bytes) == (taken.table_bytes, taken.item_bytes)
    assert taken.layer_bytes <= needed.layer_bytes


def test_a_model_too_large_for_the_device_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_cuda, "free_bytes", lambda _: 1000)
    with pytest.raises(ModelError, match=r"'dlrm' does not fit on 'cpu': needs .* has 0\.00 GiB"):
        TorchCuda(device="cpu").load(_dlrm(tmp_path), CONTRACT.items())


def test_work_too_large_for_the_device_is_a_model_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TorchCuda(device="cpu").load(_dlrm(tmp_path), CONTRACT.items())

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("tried to allocate")

    monkeypatch.setattr(gpu_model, "PreparedCall", full)
    with pytest.raises(ModelError, match="'dlrm' has no memory left on 'cpu' for calls of 12"):
        model.score(CONTRACT.context().row(0), np.zeros((1, 10), np.int64))


def test_an_empty_catalogue_has_no_scores(tmp_path: Path) -> None:
    nothing = CONTRACT.items().take(np.arange(0))
    model = TorchCuda(device="cpu", prepare_up_to=16).load(_dlrm(tmp_path), nothing)
    assert model.score(CONTRACT.context(), None).shape == (6, 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_refuses_in_words(tmp_path: Path) -> None:
    folder = _dlrm(tmp_path)
    assert "no CUDA device here" in TorchCuda().refusal(folder)
    assert TorchCuda(device="cpu").refusal(folder) == ""
    with pytest.raises(StudyError, match="no CUDA device here"):
        TorchCuda().load(folder, CONTRACT.items())


def test_a_model_without_a_graph_is_refused(tmp_path: Path) -> None:
    spec = Module(path="user_networks:Dense")
    module = spec.build(EXAMPLE_SCHEMA)
    save_checkpoint(tmp_path / "own", spec, EXAMPLE_SCHEMA, module, name="own")
    assert "'own' has no graph" in TorchCuda(device="cpu").refusal(tmp_path / "own")
    with pytest.raises(ModelError, match=r"'own' .* has no graph"):
        TorchCuda(device="cpu").load(tmp_path / "own", CONTRACT.items())


def test_only_full_float32_is_exact() -> None:
    assert TorchCuda().exact
    assert not TorchCuda(dtype="bfloat16").exact


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"device": "mps"}, "not on 'mps'"), ({"prepare_up_to": -1}, "prepare_up_to is -1")],
)
def test_a_wrong_spec_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        decode_role(RuntimeSpec, {"kind": "torch_cuda", **wrong})


def test_the_spec_survives_being_written_and_read() -> None:
    plain = {"kind": "torch_cuda", "device": "cuda:1", "dtype": "bfloat16", "prepare_up_to": 512}
    assert decode_role(RuntimeSpec, plain) == TorchCuda(
        device="cuda:1", dtype="bfloat16", prepare_up_to=512
    )


def in_every_shape(model: TorchGpuModel, reference: TorchGpuModel, contexts: Features) -> None:
    """Both score alike: all items, and candidates of many sizes."""
    rng = np.random.default_rng(0)
    num_items = reference.score(contexts.row(0), None).shape[1]
    for size in (None, 1, 8, 63, 64, 65, 200):
        context = contexts.row(0 if size is None else size % len(contexts))
        candidates = None if size is None else rng.integers(0, num_items, (1, size))
        expected = reference.score(context, candidates)
        error = np.abs(model.score(context, candidates) - expected).max()
        assert error <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("shape", SHAPES[:3], ids=lambda shape: shape.name)
def test_the_kernel_of_a_hidden_layer_and_head_scores_as_torch(shape: Shape) -> None:
    *both, contexts, items = measured(shape, 2_000, 130)
    with triton_in_numpy():
        fused = on_cpu(both, items, kernels="triton")
        assert fused.has_fused_head
        in_every_shape(fused, on_cpu(both, items), contexts)


def test_the_kernel_takes_many_candidates_in_larger_blocks() -> None:
    *both, contexts, items = measured(SHAPES[0], 2_000, 130)
    candidates = np.random.default_rng(0).integers(0, 130, (1, 8200))
    with triton_in_numpy():
        scores = on_cpu(both, items, kernels="triton").score(contexts.row(0), candidates)
    expected = on_cpu(both, items).score(contexts.row(0), candidates)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


def test_the_kernel_scores_a_catalogue_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    *both, contexts, items = measured(SHAPES[0], 2_000, 130)
    expected = on_cpu(both, items).score(contexts.row(0), None)
    monkeypatch.setattr(gpu_model, "MOST_COLUMNS", 40)
    with triton_in_numpy():
        scores = on_cpu(both, items, kernels="triton").score(contexts.row(0), None)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


def graph_with_a_head(seed: int) -> Model:
    """Some layer on what item and context share, ReLU, a head, and perhaps something beside it."""
    rng = np.random.default_rng(seed)
    V, U, d, H = (int(n) for n in rng.integers(1, (6, 5, 9, 70)))
    graph, parameters = GraphBuilder(), {}

    def made(*shape: int) -> str:
        parameters[f"p{len(parameters)}"] = rng.normal(size=shape).astype(np.float32)
        return f"p{len(parameters) - 1}"

    def maybe(make: Callable[[], str]) -> str:
        return make() if rng.random() < 0.5 else ""

    def lookup(side: Side, width: int) -> int:
        return graph.add(Lookup(side=side, column=0, table=made(NUM_IDS, width)))

    kind, x = rng.choice(["dots", "cross", "scaled"]), lookup("candidate", V * d)
    y = lookup("context", V * d if kind == "scaled" else U * d)
    match kind:
        case "dots":
            dots = graph.add(CrossDots(x_of=x, y_of=y, dim=d))
            layer = Linear(x_of=dots, weight=made(H, V * U), bias=maybe(lambda: made(H)))
            terms = [graph.add(layer)]
        case "cross":
            terms = [graph.add(CrossLinear(x_of=x, y_of=y, dim=d, weight=made(H, V * U)))]
        case _:
            base = maybe(lambda: made(H, V * d))
            layer = ScaledLinear(x_of=x, y_of=y, weight=made(H, V * d), base=base)
            terms = [graph.add(layer)]
    which = rng.integers(1, 4)
    terms += [lookup(side, H) for bit, side in enumerate(SIDES) if which & (1 << bit)]
    relu = graph.add(Relu(x_of=graph.sum(terms)))
    scores = [graph.add(Linear(x_of=relu, weight=made(1, H), bias=maybe(lambda: made(1))))]
    if rng.random() < 0.5:
        scores.append(graph.add(CrossDots(x_of=x, y_of=lookup("context", V * d), dim=V * d)))
    return graph.finish(graph.sum(scores)), parameters


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000))
def test_the_kernel_stands_for_every_end_it_is_found_in(seed: int) -> None:
    graph, parameters = graph_with_a_head(seed)
    call, size = Call(seed, SCHEMA), 1 + seed % 150
    candidates = np.random.default_rng(seed).integers(0, 5, (1, size))
    context = call.context.row(1)
    with triton_in_numpy():
        fused = on_cpu((graph, parameters), call.items, kernels="triton")
        assert fused.has_fused_head
        scores = fused.score(context, candidates)
    expected = evaluate(graph, parameters, context, call.items, candidates)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") != "1",
    reason="Triton's interpreter is chosen by TRITON_INTERPRET=1, before it is first loaded",
)
def test_triton_itself_runs_the_kernel() -> None:
    pytest.importorskip("triton")
    *both, contexts, items = measured(SHAPES[2], 2_000, 130)
    in_every_shape(on_cpu(both, items, kernels="triton"), on_cpu(both, items), contexts)


@pytest.mark.gpu
@NEEDS_GPU
class TestOurKernelsOnAGPU(RuntimeContract):
    runtime = TorchCuda(kernels="triton")


@pytest.mark.gpu
@NEEDS_GPU
def test_on_a_gpu_recorded_calls_score_as_the_oracle() -> None:
    *both, contexts, items = measured(SHAPES[2], 20_000, 500)
    view = View(*hoist(*both))
    stored = StoredGraph("large", view.graph, view.parameters, FeatureSchema(features=()), ())
    for kernels in ("torch", "triton", "auto"):
        device = Device("cuda", records=True, kernels=kernels)
        here = TorchGpuModel(stored, Resident(view, items, "cuda", low=False), device)
        for query in (0, 1, 2, 0, 1):
            context = contexts.row(query)
            candidates = np.random.default_rng(query).integers(0, len(items), (1, 100 - query))
            expected = evaluate(view.graph, view.parameters, context, items, candidates)
            error = np.abs(here.score(context, candidates) - expected).max()
            assert error <= 1e-5 * np.abs(expected).max()
