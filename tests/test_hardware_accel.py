"""A chip, its use and its work: what each sub-batch takes of each unit, and what does not fit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from accel_world import (
    HALF,
    LARGE,
    PROTOTYPE,
    SMALL,
    TWO_STAGES,
    design,
    random_design,
    times_of,
    use,
)
from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.hardware.accel.batches import sub_batch_sizes
from recfunnel.hardware.accel.chip import Chip, FilterHardware, Host
from recfunnel.hardware.accel.design import Design, columns_of
from recfunnel.hardware.accel.fits import check_fits, used_elements, used_embedding_bytes, what_fits
from recfunnel.hardware.accel.rows import RowRates
from recfunnel.hardware.accel.work import QueryWork, dlrm_work, tower_work
from recfunnel.hardware.memory.ssd import Ssd
from recfunnel.hardware.systolic.network import network_cycles
from recfunnel.hardware.topk.bins import linear_edges
from recfunnel.hardware.topk.filter import TopKFilter
from recfunnel.hardware.topk.run import filter_scores


def sizes_of(made: Design, work: QueryWork = TWO_STAGES) -> tuple[np.ndarray, int]:
    sizes, answers = sub_batch_sizes(columns_of(work, [made]))
    return sizes[0], int(answers[0])


@given(
    num_in=st.integers(64, 5000),
    num_batches=st.integers(1, 64),
    policy=st.sampled_from(["quota", "global"]),
)
def test_sub_batches_are_as_equal_as_they_can_be(
    num_in: int, num_batches: int, policy: str
) -> None:
    work = replace(TWO_STAGES, num_in=num_in, stages=(replace(SMALL, num_out=64), LARGE))
    sizes, answers = sizes_of(design(use(policy=policy), use(), sub_batches=num_batches), work)

    assert sizes.sum(axis=1).tolist() == [num_in, 64]
    assert (np.ptp(sizes, axis=1) <= 1).all()
    assert answers == 64


@pytest.mark.parametrize("margin", [1.0, 1.25, math.inf])
def test_a_running_threshold_passes_what_the_filter_passes(margin: float) -> None:
    topk = TopKFilter(edges=linear_edges(1024), sub_batches=8, policy="running", margin=margin)
    scores = rng_for(1, "uniform scores").random((400, 4096))
    passed = filter_scores(topk, scores, 512).passed.reshape(400, 8, -1)
    sizes, _ = sizes_of(design(use(policy="running", margin=margin), use(), sub_batches=8))

    # 1,024 bins pass 0.5 % too many
    np.testing.assert_allclose(sizes[1], passed.sum(axis=2).mean(axis=0), rtol=0.02, atol=1.5)


def test_a_running_threshold_passes_its_share_of_every_sub_batch() -> None:
    passed = {
        margin: sizes_of(design(use(policy="running", margin=margin), use(), sub_batches=8))[0][1]
        for margin in (1.0, 1.25, math.inf)
    }

    assert passed[1.0].tolist() == [64] * 8
    assert passed[1.25].tolist() == [80] * 6 + [74, 64]
    assert passed[math.inf].tolist() == [512, 256, 171, 128, 103, 86, 74, 64]


def test_whole_bins_pass_more_than_is_wanted() -> None:
    sizes, answers = sizes_of(design(use(overshoot=1.15), use(overshoot=1.08), sub_batches=4))

    assert sizes[1].sum() == 589
    assert answers == 70


def test_every_unit_takes_what_its_formula_says() -> None:
    chip = Chip(
        activation_sram_bytes=1 << 30,
        topk=FilterHardware(num_bins=64, lanes=2),
        host=Host(sort_latency_s=1e-5, sort_item_s=1e-7),
    )
    t = times_of(design(use(32), use(64, policy="host"), sub_batches=4), chip=chip)

    assert t.num_items[0].tolist() == [[1024] * 4, [128] * 4]
    np.testing.assert_allclose(t.pcie_in[0, 0], 1024 * (8 * 26 + 4 * 13) / 12e9)
    assert not t.pcie_in[0, 1].any()
    np.testing.assert_allclose(t.dram[0, :, 0], [13_312 * 64 / 16e9, 1664 * 128 / 16e9])
    np.testing.assert_allclose(t.sram[0, :, 0], [39_936 / 8e9, 2 * 4992 / 8e9])
    cycles = network_cycles(SMALL.shape, 1024, 32, 32, overlap=True, num_lanes=64)
    np.testing.assert_allclose(t.array[0, 0], cycles / 1e9)
    np.testing.assert_allclose(t.topk[0], [[(64 + 512) / 1e9] * 4, [0] * 4])
    np.testing.assert_allclose(t.pcie_out[0], [0, 4 * 512 / 12e9])
    np.testing.assert_allclose(t.sort[0], [0, 1e-5 + 512e-7])


def test_a_global_filter_is_walked_and_read_once_and_answers_are_eight_bytes() -> None:
    t = times_of(design(use(policy="global"), use(policy="global"), sub_batches=4))

    assert not t.topk.any()
    np.testing.assert_allclose(t.after[0], [(16 + 4096) / 1e9, (16 + 512) / 1e9])
    np.testing.assert_allclose(t.pcie_out[0], [0, 8 * 64 / 12e9])


def test_rows_on_the_ssd_are_not_read_from_dram() -> None:
    chip = replace(PROTOTYPE, ssd=Ssd())
    cold = (RowRates(num_tables=26, hit_rate=0.5, ssd_share=0.25), HALF[1])
    some, none = (times_of(design(), chip=chip, demands=each) for each in (cold, HALF))

    np.testing.assert_allclose(some.dram[0, 0], 0.75 * none.dram[0, 0])
    np.testing.assert_allclose(some.ssd[0, :, 0], [4096 * 13 / 4 * chip.ssd.row_s, 0])
    np.testing.assert_array_equal(some.sram, none.sram)


def test_a_linked_buffer_is_read_only_where_something_is_passed() -> None:
    scan = times_of(design(sub_batches=4))
    chip = replace(PROTOTYPE, topk=FilterHardware(drain="linked"))
    linked = times_of(design(sub_batches=4), chip=chip)

    np.testing.assert_allclose(scan.topk[0, 0], (16 + 1024) / 1e9)
    np.testing.assert_allclose(linked.topk[0, 0], (16 + 128) / 1e9)


def test_activations_that_do_not_fit_are_worked_off_in_equal_blocks() -> None:
    ample, small = (
        times_of(design(sub_batches=2), chip=replace(PROTOTYPE, activation_sram_bytes=size)).array[
            0, 1
        ]
        for size in (1 << 30, 1 << 20)
    )
    # a quarter of 1 MiB holds 170 candidates of (512 + 256) words of 2 bytes: 256 are 2 blocks
    block = network_cycles(LARGE.shape, 128, 64, 64, overlap=True, num_lanes=1024)

    np.testing.assert_allclose(small, 2 * block / 1e9)
    assert (ample < small).all()


def test_partitioned_channels_have_their_elements_share_of_the_bandwidth() -> None:
    made = design(use(64, copies=3), use(32, copies=4))
    shared, parts = times_of(made), times_of(replace(made, dram="partitioned"))

    np.testing.assert_allclose(parts.dram[0, :, 0] / shared.dram[0, :, 0], [4 / 3, 4])
    assert parts.channel[0].tolist() == [0, 1]


def test_the_set_of_weights_that_saves_most_is_kept_and_the_others_are_streamed() -> None:
    small, large = (stage.weight_bytes(2) for stage in TWO_STAGES.stages)
    chip = replace(PROTOTYPE, weight_sram_bytes=large + 20_000)
    t = times_of(design(sub_batches=4), chip=chip)

    np.testing.assert_allclose(t.weights[0, 0], [small / 32e9] * 4)  # no room to hold it once
    assert not t.weights[0, 1].any()
    roomy = replace(PROTOTYPE, weight_sram_bytes=large + small - 1)
    once = times_of(design(sub_batches=4), chip=roomy)
    np.testing.assert_allclose(once.weights[0, 0], [small / 32e9] * 4)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_designs_side_by_side_are_priced_as_each_alone(seed: int) -> None:
    rng = rng_for(seed, "side by side")
    made = [random_design(rng, sub_batches=5) for _ in range(4)]
    together = times_of(*made)

    for number, each in enumerate(made):
        for mine, alone in zip(together.one(number), times_of(each), strict=True):
            np.testing.assert_array_equal(mine, alone)


def test_the_published_fission_fits_and_fills_the_array() -> None:
    made = design(use(64, copies=2), use(32, copies=8))

    partition = check_fits(Chip(), TWO_STAGES, made)

    assert partition.share_used == 1.0
    assert [part.rows for part in partition.parts] == [64] * 2 + [32] * 8
    assert used_elements(columns_of(TWO_STAGES, [made])).tolist() == [128 * 128]
    assert used_embedding_bytes(columns_of(TWO_STAGES, [made])).tolist() == [8 << 20]


@pytest.mark.parametrize(
    ("chip", "made", "short"),
    [
        ({}, design(), set()),
        ({}, design(use(128), use(64)), {"array"}),
        ({}, design(use(ahead_bytes=16 << 20), use()), {"embedding SRAM"}),
        ({"activation_sram_bytes": 1000}, design(), {"activation SRAM"}),
        ({"weight_sram_bytes": 16_000}, design(), {"weight SRAM"}),
        ({"weight_sram_bytes": 17_000}, design(), set()),
        ({}, design(sub_batches=600), {"candidates"}),
    ],
)
def test_a_search_learns_what_a_design_is_short_of(
    chip: dict[str, int], made: Design, short: set[str]
) -> None:
    columns = columns_of(TWO_STAGES, [made])
    built = replace(PROTOTYPE, **chip)
    fits = what_fits(built, TWO_STAGES, columns)

    assert {name for name, ok in fits.items() if not ok[0]} == short
    if short:
        with pytest.raises(StudyError):
            check_fits(built, TWO_STAGES, made)
            times_of(made, chip=built)


def test_a_stage_on_anothers_sub_arrays_needs_no_room() -> None:
    made = design(use(128), use(128, shares_with=0))

    assert len(check_fits(Chip(), TWO_STAGES, made).parts) == 1
    assert used_elements(columns_of(TWO_STAGES, [made])).tolist() == [128 * 128]


def test_a_tower_has_its_layers_and_no_interaction() -> None:
    tower = tower_work((64, 32, 1), num_tables=2, vector_bytes=128, num_out=10)

    assert tower.weight_bytes(2) == 2 * (64 * 32 + 32)
    assert tower.input_bytes == 16
    assert tower.widest() == 96


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: check_fits(Chip(), TWO_STAGES, design(use(128), use(64))), "20480 elements in an"),
        (lambda: check_fits(Chip(), TWO_STAGES, design(use(10), use(64))), "whole blocks of 4"),
        (
            lambda: check_fits(Chip(), TWO_STAGES, design(use(ahead_bytes=16 << 20), use())),
            "20,971,520 bytes in an embedding SRAM of 16,777,216; make",
        ),
        (
            lambda: check_fits(Chip(), TWO_STAGES, design(use(static_bytes=9 << 20), use())),
            "17,825,792 bytes in an embedding SRAM",
        ),
        (
            lambda: check_fits(Chip(), TWO_STAGES, design(sub_batches=600)),
            "stage 1 reads 512 candidates in 600 sub-batches; give it at most 512",
        ),
        (lambda: use(0), "rows of a stage's sub-array is 0"),
        (lambda: use(ahead_bytes=-1), "look-ahead buffer is -1 bytes"),
        (lambda: use(overshoot=0.5), "passed for each one wanted is 0.5"),
        (lambda: use(margin=0.0), "margin of a running threshold is 0"),
        (lambda: Design(stages=()), "a design without stages"),
        (lambda: design(sub_batches=0), "sub-batches is 0"),
        (lambda: design(use(64), use(64, shares_with=1)), "stage 1 shares .* stage 1; it must be"),
        (lambda: design(use(64), use(32, shares_with=0)), "another shape or number"),
        (lambda: Chip(clock_hz=8), "clock is 8 Hz; it must be 1e"),
        (lambda: Chip(word_bytes=0), "bytes of a word is 0"),
        (lambda: Chip(weight_sram_bytes=-4), "weight SRAM is -4 bytes"),
        (lambda: FilterHardware(num_bins=1), "a filter of 1 bins"),
        (lambda: RowRates(num_tables=1, hit_rate=1.2), "hit rate is 1.2"),
        (lambda: QueryWork(num_in=100, stages=(SMALL,)), "to keep 512 of 100 candidates"),
        (lambda: QueryWork(num_in=100, stages=()), "0 stages; give 1 to 8"),
        (lambda: dlrm_work((13,), (1,), 3, 5), "needs two sizes"),
        (lambda: tower_work((13,), 3, 16, 5), r"widths \(13,\)"),
        (lambda: times_of(design(use())), "a design for 1 stages, the query has 2"),
        (lambda: columns_of(TWO_STAGES, [design(), design(sub_batches=2)]), r"of \[1, 2\] sub"),
        (lambda: columns_of(TWO_STAGES, []), r"designs of \[\] sub-batches"),
        (lambda: times_of(design(), demands=HALF[:1]), "1 demands for rows"),
        (
            lambda: times_of(design(), demands=(RowRates(num_tables=26, ssd_share=0.1), HALF[1])),
            "rows of stage 0 lie on an SSD, and the chip has none",
        ),
        (
            lambda: times_of(design(), chip=replace(PROTOTYPE, activation_sram_bytes=1000)),
            "stage 0 needs 838 bytes of activations for a candidate, its sub-array has 250",
        ),
        (
            lambda: times_of(design(), chip=replace(PROTOTYPE, weight_sram_bytes=1000)),
            "streamed through 16384 bytes",
        ),
    ],
)
def test_what_cannot_be_is_refused(build, says) -> None:
    with pytest.raises(StudyError, match=says):
        build()
