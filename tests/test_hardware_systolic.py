"""Cycles and words of matrix products: SCALE-Sim's tables row by row, laws, and bad sizes."""

from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.errors import StudyError
from recfunnel.hardware.systolic.cycles import gemm_cycles, utilisation
from recfunnel.hardware.systolic.sizes import DATAFLOWS, Dataflow, SystolicArray
from recfunnel.hardware.systolic.traffic import (
    OperandBuffers,
    bandwidth_cycles,
    dram_words,
    sram_words,
)

LAYERS = Path(__file__).parent / "scalesim" / "layers.csv"
ORACLE_NAMES = {
    "array_rows": "rows",
    "array_cols": "cols",
    "compute_cycles": "cycles",
    "ifmap_sram_reads": "input_words",
    "filter_sram_reads": "weight_words",
    "ofmap_sram_writes": "output_words",
}

sizes = st.integers(1, 300)
arrays = st.integers(1, 40)
dataflows = st.sampled_from(DATAFLOWS)


def shapes(rows: pl.DataFrame) -> list[np.ndarray]:
    return [rows[name].to_numpy() for name in ("M", "N", "K", "rows", "cols")]


def each_dataflow(table: pl.DataFrame) -> list[tuple[Dataflow, pl.DataFrame]]:
    parts = [(flow, table.filter(pl.col("dataflow") == flow)) for flow in DATAFLOWS]
    return [(flow, part) for flow, part in parts if part.height]


def check_every_row(table: pl.DataFrame) -> int:
    """Hold all rows of a table against the closed forms; returns how many there were."""
    checked = 0
    for dataflow, rows in each_dataflow(table):
        shape = shapes(rows)
        cycles = gemm_cycles(*shape, dataflow)
        np.testing.assert_array_equal(cycles, rows["cycles"].to_numpy())
        percent = 100 * utilisation(*shape, cycles)
        np.testing.assert_allclose(percent, rows["util_pct"].to_numpy(), rtol=1e-11)
        words = sram_words(*shape, dataflow)
        np.testing.assert_array_equal(words.inputs, rows["input_words"].to_numpy())
        np.testing.assert_array_equal(words.weights, rows["weight_words"].to_numpy())
        written = words.outputs
        if dataflow == "os":  # SCALE-Sim adds R + C for each fold
            m, n, _, r, c = shape
            written = written + -(-m // r) * -(-n // c) * (r + c)
        np.testing.assert_array_equal(written, rows["output_words"].to_numpy())
        checked += rows.height
    return checked


def test_equals_scalesim_on_the_layers_kept_here() -> None:
    assert check_every_row(pl.read_csv(LAYERS, comment_prefix="#")) == 72


@pytest.mark.data
def test_equals_scalesim_on_every_row_of_the_large_table(oracles: Path) -> None:
    table = pl.read_csv(
        oracles / "scalesim_oracle_public.csv", comment_prefix="#", infer_schema_length=None
    )
    assert check_every_row(table.rename(ORACLE_NAMES)) == table.height > 1000


@pytest.mark.data
def test_stays_between_the_bound_and_scalesim_where_bandwidth_is_short(oracles: Path) -> None:
    table = pl.read_csv(
        oracles / "scalesim_oracle_bw_public.csv", comment_prefix="#", infer_schema_length=None
    )
    kinds = ["dataflow", "ifmap_kB", "filter_kB", "ofmap_kB", "bw_words_per_cycle"]
    names, stalled = {"array_rows": "rows", "array_cols": "cols"}, 0
    for (dataflow, *kib, bandwidth), rows in table.rename(names).group_by(kinds):
        shape = shapes(rows)
        inputs, weights, outputs = (1024 * int(each) for each in kib)
        buffers = OperandBuffers(inputs=inputs, weights=weights, outputs=outputs)
        ours = bandwidth_cycles(*shape, buffers, bandwidth, dataflow)
        compute = gemm_cycles(*shape, dataflow)
        np.testing.assert_array_equal(ours >= least_cycles(shape, buffers, bandwidth, dataflow), 1)
        np.testing.assert_array_equal(ours <= rows["total_cycles_fixed"].to_numpy(), True)
        m, n, k, *_ = shape
        fits = np.maximum(m * k, k * n) * 2 <= buffers.inputs
        fits &= m * n <= buffers.outputs
        np.testing.assert_array_equal(ours[fits], compute[fits])
        stalled += int((ours > compute).sum())
    assert stalled > 50  # the bounds are not all met by computing alone


def least_cycles(
    shape: list[np.ndarray], buffers: OperandBuffers, bandwidth: float, dataflow: Dataflow
) -> np.ndarray:
    m, n, k, *_ = shape
    waits = [
        (m * k - buffers.inputs // 2) / bandwidth,
        (k * n - buffers.weights // 2) / bandwidth,
        (m * n - buffers.outputs) / bandwidth,
    ]
    return np.maximum.reduce([gemm_cycles(*shape, dataflow), *waits])


def test_onnxims_issue_rule_by_hand() -> None:
    # 4 folds on 16 x 16: 31 + 3 * 64 + 30 + 64; 8 rows wait for weights: 31 + 3 * 16 + 30 + 8
    assert gemm_cycles(64, 32, 32, 16, 16, overlap=True) == 317
    assert gemm_cycles(8, 32, 32, 16, 16, overlap=True) == 117
    assert gemm_cycles(1, 16, 16, 16, 16, overlap=True) == 31 + 30 + 4
    # 4 folds on 32 x 8, which wait for the 32 rows of weights, or for 32 outputs to leave
    assert gemm_cycles(8, 16, 64, 32, 8, overlap=True) == 63 + 3 * 32 + 38 + 8
    assert gemm_cycles(64, 16, 8, 32, 8, "os", overlap=True) == 3 * 32 + 38 + 8 - 1


def test_overlap_lifts_the_utilisation_of_a_small_sub_batch() -> None:
    """The ranking layer of 383 inputs and 512 outputs, 64 candidates, on 128 x 128."""
    shape = (64, 512, 383, 128, 128)
    shares = [utilisation(*shape, gemm_cycles(*shape, overlap=on)) for on in (False, True)]
    np.testing.assert_allclose(shares, [0.14, 0.39], atol=0.005)


@settings(deadline=None)
@given(sizes, sizes, sizes, arrays, arrays, dataflows)
def test_folds_that_overlap_save_time_once_there_are_two(
    m: int, n: int, k: int, rows: int, cols: int, dataflow: Dataflow
) -> None:
    """A single fold costs R cycles more: ONNXim counts the weights' way from their buffer.

    Streams shorter than 4 are left out: ONNXim issues 4 for them.
    """
    stream = {"ws": m, "os": k, "is": n}[dataflow]
    if stream < 4:
        return
    shape = (m, n, k, rows, cols, dataflow)
    serial, overlapped = (gemm_cycles(*shape, overlap=on) for on in (False, True))
    extra = rows if dataflow != "os" else 0
    count = int(sram_folds(*shape))
    assert overlapped <= serial + extra - (count - 1) * min(rows, cols - 1, stream)
    if count == 1:
        assert overlapped == serial + extra


def sram_folds(m: int, n: int, k: int, rows: int, cols: int, dataflow: Dataflow) -> int:
    down, across = {"ws": (k, n), "os": (m, n), "is": (k, m)}[dataflow]
    return -(-down // rows) * -(-across // cols)


@pytest.mark.parametrize("dataflow", ["ws", "os"])
@pytest.mark.parametrize(("rows", "cols", "stream"), [(4, 3, 9), (4, 3, 2), (3, 5, 3), (1, 6, 4)])
def test_folds_begin_as_soon_as_nothing_collides(
    dataflow: str, rows: int, cols: int, stream: int
) -> None:
    """Every multiply and every move of two folds is listed: no register is needed twice at once."""
    interval = max(stream, rows)
    assert not collides(rows, cols, stream, interval, dataflow)
    assert collides(rows, cols, stream, interval - 1, dataflow)


def collides(rows: int, cols: int, stream: int, interval: int, dataflow: str) -> bool:
    """Whether any unit does two things in a cycle when two folds begin so far apart.

    Element (i, j) works at cycles start + i + j to start + i + j + stream - 1. In `ws` the weights
    of column j pass the top of its chain in the R cycles before the fold reaches it; in `os` its
    outputs pass the foot in the R cycles after the fold left it.
    """
    busy: set[tuple[object, ...]] = set()
    total = 0
    for start in (0, interval):
        for i, j, step in product(range(rows), range(cols), range(stream)):
            busy.add(("element", i, j, start + i + j + step))
            total += 1
        for j, step in product(range(cols), range(rows)):
            chain = start + j + step + (-rows if dataflow == "ws" else stream + rows - 1)
            busy.add(("chain", j, chain))
            total += 1
    return len(busy) < total


@settings(deadline=None)
@given(sizes, sizes, sizes, arrays, arrays, dataflows, st.booleans(), st.data())
def test_cycles_never_fall_with_more_work(
    m: int,
    n: int,
    k: int,
    rows: int,
    cols: int,
    dataflow: Dataflow,
    overlap: bool,
    data: st.DataObject,
) -> None:
    more = [size + data.draw(st.integers(0, 50)) for size in (m, n, k)]
    before = gemm_cycles(m, n, k, rows, cols, dataflow, overlap=overlap)
    assert gemm_cycles(*more, rows, cols, dataflow, overlap=overlap) >= before


@settings(deadline=None)
@given(sizes, sizes, sizes, arrays, arrays, dataflows, st.booleans())
def test_no_array_multiplies_more_than_its_elements_can(
    m: int, n: int, k: int, rows: int, cols: int, dataflow: Dataflow, overlap: bool
) -> None:
    """SCALE-Sim counts cycles from 0, so one is added before they are held to the peak."""
    cycles = gemm_cycles(m, n, k, rows, cols, dataflow, overlap=overlap) + 1
    assert 0 < utilisation(m, n, k, rows, cols, cycles) <= 1


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 200), st.integers(2, 16))
def test_twice_the_array_helps_a_product_that_fills_it_and_streams_long(
    down: int, across: int, extra: int, size: int
) -> None:
    """Not so for others: filling and draining a large array can cost more than it saves."""
    m, n, k = 8 * size + extra, 2 * across * size, 2 * down * size
    before = gemm_cycles(m, n, k, size, size, "ws")
    assert gemm_cycles(m, n, k, size, 2 * size, "ws") < before
    assert gemm_cycles(m, n, k, 2 * size, size, "ws") < before
    assert gemm_cycles(1, size, size, 2 * size, 2 * size, "ws") > gemm_cycles(
        1, size, size, size, size, "ws"
    )


@settings(deadline=None)
@given(sizes, sizes, sizes, arrays, arrays)
def test_weights_and_inputs_change_places_between_ws_and_is(
    m: int, n: int, k: int, rows: int, cols: int
) -> None:
    for on in (False, True):
        left = gemm_cycles(m, n, k, rows, cols, "ws", overlap=on)
        assert left == gemm_cycles(n, m, k, rows, cols, "is", overlap=on)
    ours, other = sram_words(m, n, k, rows, cols, "ws"), sram_words(n, m, k, rows, cols, "is")
    assert (ours.inputs, ours.weights, ours.outputs) == (
        other.weights,
        other.inputs,
        other.outputs,
    )


@settings(deadline=None)
@given(sizes, sizes, sizes, arrays, arrays, dataflows)
def test_every_operand_is_moved_at_least_once(
    m: int, n: int, k: int, rows: int, cols: int, dataflow: Dataflow
) -> None:
    words = sram_words(m, n, k, rows, cols, dataflow)
    assert words.inputs >= m * k
    assert words.weights >= k * n
    assert words.outputs == m * n + words.partial_sums
    roomy = OperandBuffers(inputs=2**20, weights=2**20, outputs=2**20)
    moved = dram_words(m, n, k, rows, cols, roomy, dataflow)
    assert (moved.inputs, moved.weights, moved.outputs) == (m * k, k * n, m * n)


@settings(max_examples=50, deadline=None)
@given(sizes, sizes, sizes, arrays, arrays, dataflows, st.floats(0.1, 64), st.integers(2, 2**15))
def test_more_bandwidth_more_room_and_own_channels_never_cost_cycles(
    m: int,
    n: int,
    k: int,
    rows: int,
    cols: int,
    dataflow: Dataflow,
    bandwidth: float,
    room: int,
) -> None:
    def cycles(room: int, bandwidth: float, channel: str = "shared") -> int:
        buffers = OperandBuffers(inputs=room, weights=room, outputs=room)
        shape = (m, n, k, rows, cols)
        return int(bandwidth_cycles(*shape, buffers, bandwidth, dataflow, channel=channel))  # type: ignore[arg-type]

    assert cycles(room, 2 * bandwidth) <= cycles(room, bandwidth)
    assert cycles(2 * room, bandwidth) <= cycles(room, bandwidth)
    assert cycles(room, bandwidth, "private") <= cycles(room, bandwidth)
    assert cycles(room, bandwidth) >= gemm_cycles(m, n, k, rows, cols, dataflow)


def test_an_operand_larger_than_its_buffer_is_read_on_every_pass() -> None:
    """100 x 64 inputs and 64 x 32 weights on 16 x 16: 7 folds down or 4, 2 across."""
    tight = OperandBuffers(inputs=6399, weights=2047, outputs=2)
    ws, os = (dram_words(100, 32, 64, 16, 16, tight, flow) for flow in ("ws", "os"))
    assert (ws.inputs, ws.weights, ws.outputs) == (2 * 6400, 2048, 3200)
    # 16 rows of 64 inputs fit into half the buffer: they stay there until both folds had them
    assert (os.inputs, os.weights, os.outputs) == (6400, 7 * 2048, 3200)
    narrow = OperandBuffers(inputs=2 * 16 * 64 - 2, weights=2048, outputs=2)
    os = dram_words(100, 32, 64, 16, 16, narrow, "os")
    assert (os.inputs, os.weights) == (2 * 6400, 2048)


def test_a_shared_channel_moves_the_sum_of_all_operands() -> None:
    buffers = OperandBuffers(inputs=2**20, weights=2**20, outputs=2**20)
    words = 8 * 16 + 16 * 16 + 8 * 16
    shared = bandwidth_cycles(8, 16, 16, 16, 16, buffers, 0.5, channel="shared", prefilled=False)
    assert shared == 2 * words


@pytest.mark.parametrize(
    ("sizes", "dataflow", "message"),
    [
        ((0, 1, 1, 8, 8), "ws", "M is 0; it must be between 1"),
        ((1, 1, 1, 8, -8), "ws", "cols is -8"),
        ((1, [1, -3, 2], 1, 8, 8), "ws", "N is -3"),
        ((1, 1, 2**40, 8, 8), "ws", "K is 1099511627776"),
        ((1.5, 1, 1, 8, 8), "ws", "M must be whole numbers, got float64"),
        ((1, 1, 1, 8, 8), "rs", "no dataflow 'rs'; known: ws, os, is"),
        ((2**31, 2**31, 2**31, 1, 1), "ws", "more than 4.61e\\+18 can be counted"),
    ],
)
def test_bad_sizes_are_said(sizes: tuple[object, ...], dataflow: Dataflow, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        gemm_cycles(*sizes, dataflow)  # type: ignore[arg-type]


def test_bad_arrays_buffers_and_bandwidths_are_said() -> None:
    with pytest.raises(StudyError, match="0 x 8 elements in blocks of 4; all three must be 1"):
        SystolicArray(rows=0, cols=8)
    with pytest.raises(StudyError, match="used in two halves and must hold 2"):
        OperandBuffers(inputs=1, weights=2, outputs=2)
    buffers = OperandBuffers(inputs=2, weights=2, outputs=2)
    for bandwidth in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(StudyError, match="words a cycle; it must be above 0"):
            bandwidth_cycles(1, 1, 1, 8, 8, buffers, bandwidth)
