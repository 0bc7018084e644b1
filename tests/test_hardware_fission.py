"""Networks on an array, the array cut into parts, and what the parts share."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.errors import StudyError
from recfunnel.hardware.systolic.cycles import gemm_cycles
from recfunnel.hardware.systolic.fission import (
    Partition,
    SubArray,
    cut_equally,
    place,
    reconfiguration_cycles,
)
from recfunnel.hardware.systolic.network import (
    DotInteraction,
    dlrm_shape,
    dots_on_array,
    dots_on_lanes,
    network_cycles,
)
from recfunnel.hardware.systolic.sharing import (
    Sharing,
    StageWeights,
    finish_cycles,
    place_weights,
)
from recfunnel.hardware.systolic.sizes import SystolicArray

WHOLE = SystolicArray(rows=128, cols=128)
SMALL = dlrm_shape((13, 64, 4), (64, 1), 26)
LARGE = dlrm_shape((13, 512, 256, 64, 32), (512, 256, 1), 26)


def test_dlrms_have_recpipes_layers() -> None:
    assert [(layer.num_inputs, layer.num_outputs) for layer in SMALL.layers] == [
        (13, 64),
        (64, 4),
        (355, 64),
        (64, 1),
    ]
    assert LARGE.layers[4].num_inputs == 383
    assert dlrm_shape((13, 64, 4), (64, 1), 26, "cat").layers[2].num_inputs == 108
    assert SMALL.macs == 13 * 64 + 64 * 4 + 355 * 64 + 64 + 351 * 4


def test_a_network_takes_its_layers_one_after_another() -> None:
    catted = dlrm_shape((13, 64, 4), (64, 1), 26, "cat")
    sizes = ((13, 64), (64, 4), (108, 64), (64, 1))
    for on in (False, True):
        wanted = sum(gemm_cycles(4096, n, k, 128, 128, overlap=on) for k, n in sizes)
        assert network_cycles(catted, 4096, 128, 128, overlap=on) == wanted


@pytest.mark.parametrize(("size", "cycles"), [(128, 17015), (64, 21175), (32, 54273), (16, 165596)])
def test_is_near_what_scalesim_1_gave_for_the_paper(size: int, cycles: int) -> None:
    """RecPipe's figure 10a, small model, 4096 candidates; that version fills and drains sooner."""
    ours = network_cycles(dlrm_shape((13, 64, 4), (64, 1), 26, "cat"), 4096, size, size)
    assert abs(ours / cycles - 1) < 0.085


def test_dots_on_the_array_are_a_product_a_candidate() -> None:
    """27 vectors of 32 on 32 x 32: one fold a candidate, its own vectors standing in it."""
    dots = DotInteraction(num_vectors=27, width=32)
    assert dots_on_array(10, dots, 32, 32) == 10 * (2 * 32 + 32 + 27 - 2) - 1
    # 4 candidates abreast, 3 times; two folds down and two across for each
    assert dots_on_array(10, dots, 128, 128) == 3 * (2 * 128 + 128 + 27 - 2) - 1
    assert dots_on_array(10, dots, 16, 16) == 40 * (2 * 16 + 16 + 27 - 2) - 1
    assert dots_on_array(10, dots, 32, 32, overlap=True) == 63 + 9 * 32 + 62 + 27


def test_dots_on_lanes_are_done_once_a_pair() -> None:
    dots = DotInteraction(num_vectors=27, width=32)
    assert dots.macs == 27 * 26 // 2 * 32
    assert dots_on_lanes(10, dots, 64) == 10 * dots.macs / 64
    few, many = (network_cycles(LARGE, 64, 128, 128, num_lanes=lanes) for lanes in (64, 128))
    assert few - many == 64 * dots.macs // 128


def test_the_interaction_is_work_the_concatenation_does_not_have() -> None:
    dots, cat = (dlrm_shape((13, 64, 4), (64, 1), 26, kind) for kind in ("dot", "cat"))
    assert dots.interaction is not None
    assert network_cycles(dots, 512, 128, 128) > 1.5 * network_cycles(cat, 512, 128, 128)


def test_many_designs_at_once_are_each_as_alone() -> None:
    rng = np.random.default_rng(0)
    items, rows, cols = rng.integers(1, 4097, 50), *rng.integers(1, 129, (2, 50))
    for lanes in (None, rng.integers(1, 65, 50)):
        together = network_cycles(LARGE, items, rows, cols, overlap=True, num_lanes=lanes)
        for i, found in enumerate(together):
            own = None if lanes is None else lanes[i]
            shape = (int(items[i]), int(rows[i]), int(cols[i]))
            assert found == network_cycles(LARGE, *shape, overlap=True, num_lanes=own)
    parts = place(WHOLE, [(64, 64), (32, 32)]).arrays
    assert [(part.rows, part.cols) for part in parts] == [(64, 64), (32, 32)]


def test_an_array_is_cut_into_the_sub_arrays_of_recpipes_topologies() -> None:
    for size, count in ((128, 1), (64, 4), (32, 16), (16, 64)):
        cut = cut_equally(WHOLE, size, size)
        assert len(cut.parts) == count
        assert cut.share_used == 1.0
        np.testing.assert_allclose(cut.shares, 1 / count)


def test_what_a_shape_does_not_divide_rests() -> None:
    cut = cut_equally(WHOLE, 48, 64)
    assert len(cut.parts) == 4
    assert cut.share_used == 4 * 48 * 64 / 128**2


@settings(deadline=None)
@given(st.data())
def test_squares_of_halved_sides_always_find_room(data: st.DataObject) -> None:
    """The array is quartered again and again at random; the parts, shuffled, fit in it."""
    sides = [128]
    for _ in range(data.draw(st.integers(0, 12))):
        wide = [i for i, side in enumerate(sides) if side > 4]
        if wide:
            side = sides.pop(data.draw(st.sampled_from(wide))) // 2
            sides += [side] * 4
    sides = data.draw(st.permutations(sides))

    cut = place(WHOLE, [(side, side) for side in sides])

    assert [part.rows for part in cut.parts] == sides
    assert cut.share_used == 1.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=12))
def test_parts_that_are_placed_lie_inside_and_apart(shapes: list[tuple[int, int]]) -> None:
    array = SystolicArray(rows=32, cols=24)
    try:
        cut = place(array, [(4 * r, 4 * c) for r, c in shapes])
    except StudyError:
        return
    covered = np.zeros((32, 24), int)
    for part in cut.parts:
        assert part.top + part.rows <= 32
        assert part.left + part.cols <= 24
        covered[part.top : part.top + part.rows, part.left : part.left + part.cols] += 1
    assert covered.max() == 1
    assert covered.sum() == 16 * sum(r * c for r, c in shapes)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "needs a sub-array"),
        ([(0, 0, 64, 0)], "has no elements"),
        ([(0, 0, 66, 64)], "not made of whole blocks of 4 x 4"),
        ([(0, 2, 64, 64)], "not made of whole blocks"),
        ([(0, 96, 64, 64)], r"64 x 64 at \(0, 96\) is not inside the array of 128 x 128"),
        ([(-4, 0, 64, 64)], "is not inside"),
        ([(0, 0, 64, 64), (60, 60, 8, 8)], r"8 x 8 at \(60, 60\) lies on another one"),
    ],
)
def test_a_bad_partition_is_said(parts: list[tuple[int, int, int, int]], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Partition(
            array=WHOLE,
            parts=tuple(SubArray(top=t, left=x, rows=r, cols=c) for t, x, r, c in parts),
        )


def test_shapes_that_do_not_fit_are_said() -> None:
    with pytest.raises(StudyError, match="of 20480 elements in an array of 16384"):
        place(WHOLE, [(64, 64)] * 5)
    with pytest.raises(StudyError, match="no room found for a sub-array of 72 x 4"):
        place(WHOLE, [(72, 128), (72, 4)])
    with pytest.raises(StudyError, match="is not inside"):
        cut_equally(WHOLE, 256, 4)


def test_another_partition_costs_the_way_out_and_two_bits_a_block() -> None:
    assert reconfiguration_cycles(WHOLE) == 254 + 2 * 32 * 32 // 64
    assert reconfiguration_cycles(WHOLE, bits_per_cycle=2048) == 254 + 1
    with pytest.raises(StudyError, match="port of 0 bits"):
        reconfiguration_cycles(WHOLE, bits_per_cycle=0)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 16)),
        min_size=1,
        max_size=9,
    ),
    st.floats(0.5, 64),
)
def test_sharing_the_channel_is_never_slower_than_parting_it(
    rows: list[tuple[int, int, int]], bandwidth: float
) -> None:
    compute, words, shares = (list(column) for column in zip(*rows, strict=True))
    apart, together = (
        finish_cycles(compute, words, bandwidth, shares, kind) for kind in ("partitioned", "shared")
    )
    assert (together <= apart * (1 + 1e-12)).all()
    assert (together >= compute).all()
    # Work is conserved: the channel never rests before the last word has moved.
    moved = finish_cycles([0] * len(words), words, bandwidth, shares, "shared")
    np.testing.assert_allclose(moved.max(), sum(words) / bandwidth)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 4)), min_size=1, max_size=6),
)
def test_a_shared_channel_serves_in_proportion_step_by_step(rows: list[tuple[int, int]]) -> None:
    words, shares = (np.array(column, float) for column in zip(*rows, strict=True))
    left, time, done = words.copy(), 0.0, np.zeros(words.size)
    while left.any():
        rate = np.where(left > 0, shares, 0.0) / shares[left > 0].sum()
        step = (left[left > 0] / rate[left > 0]).min()
        time += step
        ended = (left > 0) & (left - rate * step < 1e-9)
        left = np.where(ended, 0.0, left - rate * step)
        done[ended] = time
    ours = finish_cycles(np.zeros(words.size), words, 1.0, shares.tolist(), "shared")
    np.testing.assert_allclose(ours, done, atol=1e-6)


@pytest.mark.parametrize(
    ("compute", "words", "bandwidth", "shares", "message"),
    [
        ([1, 2], [1], 1.0, [1, 1], "2 computing times, 1 amounts of words and 2 shares"),
        ([1], [1], 0.0, [1], "must be above 0"),
        ([1], [1], 1.0, [0], "must be above 0"),
        ([1], [-1], 1.0, [1], "must be 0 or more"),
    ],
)
def test_bad_sharing_is_said(
    compute: list[int], words: list[int], bandwidth: float, shares: list[float], message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        finish_cycles(compute, words, bandwidth, shares, "shared")


def test_weights_that_fit_are_loaded_once() -> None:
    stages = [StageWeights(num_bytes=600), StageWeights(num_bytes=400)]
    placed = place_weights(stages, 1000, "shared", stream_bytes=64)
    assert placed.resident == (True, True)
    assert placed.streamed_bytes == (0, 0)


@settings(deadline=None)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=6), st.integers(10, 300))
def test_no_other_set_of_stages_would_leave_less_to_stream(sizes: list[int], sram: int) -> None:
    stages = [StageWeights(num_bytes=size) for size in sizes]
    placed = place_weights(stages, sram, "shared", stream_bytes=10)
    least = sum(sizes)
    for kept in product([False, True], repeat=len(sizes)):
        held = sum(size for size, keep in zip(sizes, kept, strict=True) if keep)
        if held + (0 if all(kept) else 10) <= sram:
            least = min(least, sum(sizes) - held)
    assert sum(placed.streamed_bytes) == least


def test_in_a_parted_sram_every_sub_array_needs_its_own_copy() -> None:
    sharing: Sharing = "partitioned"
    stages = [
        StageWeights(num_bytes=100, num_sub_arrays=4, share=0.5),
        StageWeights(num_bytes=200, num_sub_arrays=4, share=0.5),
    ]
    placed = place_weights(stages, 1000, sharing, stream_bytes=64)  # 125 bytes each
    assert placed.resident == (True, False)
    assert placed.streamed_bytes == (0, 800)
    assert place_weights(stages, 1000, "shared", stream_bytes=64).streamed_bytes == (0, 0)


def test_bad_weights_and_too_little_room_are_said() -> None:
    with pytest.raises(StudyError, match="bytes must be 0 or more"):
        StageWeights(num_bytes=-1)
    with pytest.raises(StudyError, match="give 1 to 20 stages"):
        place_weights([], 10, "shared", stream_bytes=1)
    stages = [StageWeights(num_bytes=100, num_sub_arrays=2)]
    for sharing, there in (("shared", 50), ("partitioned", 25)):
        with pytest.raises(StudyError, match=f"through 64 bytes of SRAM, but only {there} are"):
            place_weights(stages, 50, sharing, stream_bytes=64)
