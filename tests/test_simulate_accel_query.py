"""One query through the accelerator: the plain sum, the prototype's shape, and laws."""

import math

import numpy as np
import pytest
from msgspec.structs import replace

from accel_world import (
    HALF,
    PROTOTYPE,
    TWO_STAGES,
    design,
    random_design,
    times_of,
    use,
)
from recfunnel.core.seeds import rng_for
from recfunnel.hardware.accel.design import Design
from recfunnel.hardware.accel.rows import RowRates
from recfunnel.hardware.memory.ssd import Ssd
from recfunnel.simulate.accel_query import (
    ASKED,
    DRAM_END,
    FINISH,
    HELD,
    PASSED,
    READY,
    START,
    WEIGHTS_AT,
    busy_s,
    query_latency_s,
    query_steps,
)

NOTHING = {"weights_preloaded": False, "look_ahead": False, "pipelined": False}
ROWS = ("nothing", "weights preloaded", "pipelined", "look-ahead")
BATCHES = (1, 2, 4, 8, 16, 32)


def latency(*designs: Design, **world: object) -> float:
    return float(query_latency_s(times_of(*designs, **world))[0])


def prototype_table(stages: int = 64) -> np.ndarray:
    """Microseconds (overlaps one after another, sub-batches)."""
    switches = [
        NOTHING,
        NOTHING | {"weights_preloaded": True},
        NOTHING | {"weights_preloaded": True, "pipelined": True},
        {},
    ]
    each = use(stages)
    return np.array(
        [
            [1e6 * latency(design(each, each, sub_batches=b, **on)) for b in BATCHES]
            for on in switches
        ]
    )


@pytest.mark.parametrize("policy", ["quota", "running", "global", "host"])
@pytest.mark.parametrize("switches", [NOTHING, {}])
def test_one_sub_batch_takes_the_plain_sum(policy: str, switches: dict[str, bool]) -> None:
    made = design(use(policy=policy), use(policy="quota"), **switches)
    t = times_of(made)
    link, memory = PROTOTYPE.pcie.latency_s, PROTOTYPE.dram.latency_s
    gathers = np.maximum(t.sram, t.dram + memory)
    parts = t.pcie_in.sum() + gathers.sum() + t.array.sum() + t.topk.sum() + t.after.sum()
    crossings = 2 + (2 if policy == "host" else 0)
    expected = parts + t.pcie_out.sum() + t.sort.sum() + crossings * link

    assert math.isclose(latency(made), expected, rel_tol=1e-12)


def test_sub_batches_have_the_best_number_that_the_prototype_found() -> None:
    table = prototype_table()

    assert [BATCHES[i] for i in table.argmin(axis=1)] == [2, 4, 8, 16]
    assert table[3, -1] > 1.2 * table[3].min()
    # nothing overlapped, the prototype has 309, 279, 286, 332, 440, 665: ours adds the filter's
    # walk and drain, the dots, and latencies, which do not depend on the number of sub-batches
    added = table[0] - np.array([309, 279, 286, 332, 440, 665])
    assert (added > 15).all()
    assert (added < 30).all()


def test_each_overlap_of_the_prototype_helps_at_every_number_of_sub_batches() -> None:
    table = prototype_table()

    assert (np.diff(table, axis=0) <= 1e-9).all()
    assert table[0, 3] > 1.9 * table[3, 3]


def changes_for_the_better(made: Design, **world: object) -> dict[str, float]:
    """Latency behind each overlap or better part, over that in front."""
    dram, sram = PROTOTYPE.dram, PROTOTYPE.embedding_sram
    demands = tuple(world.pop("demands"))
    chips = {
        "bandwidth": replace(PROTOTYPE, dram=replace(dram, bandwidth_bytes_per_s=48e9)),
        "banks": replace(PROTOTYPE, dram=replace(dram, banks=512)),
        "ports": replace(PROTOTYPE, embedding_sram=replace(sram, ports=12)),
        "link": replace(PROTOTYPE, pcie=replace(PROTOTYPE.pcie, bandwidth_bytes_per_s=16e9)),
        "filter": replace(PROTOTYPE, topk=replace(PROTOTYPE.topk, lanes=2)),
    }
    now = latency(made, demands=demands, **world)
    more_hits = tuple(replace(each, hit_rate=0.6) for each in demands)
    found = {"hits": latency(made, demands=more_hits, **world) / now}
    for name, chip in chips.items():
        found[name] = latency(made, chip=chip, demands=demands, **world) / now
    for name in ("look_ahead", "pipelined"):
        off, on = (
            latency(replace(made, **{name: flag}), demands=demands, **world)
            for flag in (False, True)
        )
        found[name] = on / off
    return found


def test_nothing_better_makes_a_query_of_one_stage_slower() -> None:
    rng = rng_for(5, "one stage")
    work = replace(TWO_STAGES, stages=TWO_STAGES.stages[:1])
    for _ in range(150):
        made = random_design(rng, 1)
        for name, ratio in changes_for_the_better(made, work=work, demands=HALF[:1]).items():
            assert ratio <= 1 + 1e-12, name


def test_what_is_better_helps_where_stages_share_a_channel_but_for_rare_anomalies() -> None:
    # A gather that begins a little earlier can stand in the way of a more urgent one: no order of
    # service without preemption is free of that (Graham 1969). Of 16,000 changes 11, by up to 3 %.
    rng = rng_for(5, "two stages")
    ratios = np.array(
        [
            list(changes_for_the_better(random_design(rng), demands=HALF).values())
            for _ in range(300)
        ]
    )

    assert (ratios > 1 + 1e-12).mean() < 0.005
    assert ratios.max() < 1.06
    assert (np.median(ratios[:, :2], axis=0) < 0.93).all()


def test_a_shared_channel_is_faster_than_parts_of_it() -> None:
    rng = rng_for(5, "channels")
    for _ in range(100):
        made = random_design(rng)
        shared, parts = (latency(replace(made, dram=way)) for way in ("shared", "partitioned"))
        assert shared <= parts * (1 + 1e-12)


def test_look_ahead_removes_latency_and_no_traffic() -> None:
    made = design(sub_batches=8)
    off = replace(made, look_ahead=False)

    with_it, without = busy_s(times_of(made)), busy_s(times_of(off))
    assert latency(made) < 0.9 * latency(off)
    for unit, seconds in with_it.items():
        np.testing.assert_array_equal(seconds, without[unit])


def test_a_full_buffer_holds_the_next_sub_batch_back() -> None:
    t = times_of(design(sub_batches=8))
    need = float(t.need_bytes[0, 0, 0])
    ample, two, less = (
        times_of(design(use(ahead_bytes=int(size * need) + 1), use(), sub_batches=8))
        for size in (8, 2, 0.5)
    )

    latencies = [query_latency_s(each)[0] for each in (ample, two, less)]
    assert latencies == sorted(latencies)
    assert latencies[0] < 0.98 * latencies[2]
    _, steps = query_steps(two)
    for b in range(3, 8):  # one is computed, two more lie in the buffer
        assert steps[0, b, ASKED] >= steps[0, b - 3, FINISH]


def test_times_of_the_link_have_nothing_to_do_with_the_clock() -> None:
    slow = times_of(design(sub_batches=4), chip=replace(PROTOTYPE, clock_hz=125e6))
    fast = times_of(design(sub_batches=4))

    np.testing.assert_array_equal(slow.pcie_in, fast.pcie_in)
    np.testing.assert_array_equal(slow.pcie_out, fast.pcie_out)
    np.testing.assert_array_equal(slow.dram, fast.dram)
    np.testing.assert_allclose(slow.array, 8 * fast.array)


def test_a_query_never_beats_its_busiest_unit_or_its_own_way_through() -> None:
    rng = rng_for(6, "bounds")
    for _ in range(200):
        made = random_design(rng)
        t = times_of(made)
        busy = busy_s(t)
        copies = t.copies[0]
        works = [busy["pcie_in"].sum(), busy["sram"].sum(), busy["pcie_out"].sum()]
        works += [(busy["array"][0] / copies).max(), (busy["topk"][0] / copies).max()]
        works.append(busy["dram"].sum() if made.dram == "shared" else busy["dram"].max())
        assert query_latency_s(t)[0] >= max(works)


def test_steps_of_a_query_follow_one_another() -> None:
    rng = rng_for(8, "steps")
    for _ in range(200):
        _, steps = query_steps(times_of(random_design(rng)))
        order = steps[:, :, [READY, ASKED, START, FINISH, PASSED]]
        assert (np.diff(order, axis=2) >= 0).all()
        assert (np.diff(steps[:, :, ASKED], axis=1) >= 0).all()
        assert (steps[1, :, READY] >= steps[0, 0, PASSED]).all()


def test_a_stage_that_waits_for_the_last_sub_batch_begins_after_it() -> None:
    for made in (
        design(sub_batches=8, pipelined=False),
        design(use(policy="global"), use(), sub_batches=8),
    ):
        _, steps = query_steps(times_of(made))
        assert steps[1, 0, READY] >= steps[0, :, PASSED].max()
    _, steps = query_steps(times_of(design(sub_batches=8)))
    assert steps[1, 0, READY] < steps[0, 3, PASSED]


def test_stages_on_the_same_sub_array_take_turns() -> None:
    both = design(use(128), replace(use(128), shares_with=0), sub_batches=4)
    _, steps = query_steps(times_of(both))
    spans = steps[:, :, [START, FINISH]].reshape(-1, 2)
    spans = spans[spans[:, 0].argsort()]

    assert (spans[1:, 0] >= spans[:-1, 1]).all()


def test_weights_that_do_not_fit_are_loaded_behind_the_stage_before() -> None:
    chip = replace(PROTOTYPE, weight_sram_bytes=200_000)  # the small stage's only
    early, late = (
        times_of(design(sub_batches=4, weights_preloaded=flag), chip=chip) for flag in (True, False)
    )
    memory_s = chip.dram.latency_s
    _, steps = query_steps(early)
    behind_s = steps[0, 0, DRAM_END] + early.weights[0, 1, 0] + memory_s

    assert early.weights[0, 1].min() > 0
    assert not early.weights[0, 0].any()
    assert steps[1, 0, WEIGHTS_AT] == pytest.approx(behind_s)
    assert steps[1, 0, START] < steps[1, 0, ASKED] + early.weights[0, 1, 0]
    _, steps = query_steps(late)
    own_s = steps[1, :, DRAM_END] + late.weights[0, 1] + memory_s
    np.testing.assert_allclose(steps[1, :, WEIGHTS_AT], own_s)
    assert (steps[1, :, START] >= steps[1, :, WEIGHTS_AT]).all()


def test_room_in_the_buffer_is_kept_from_asking_to_the_end_of_computing() -> None:
    rng = rng_for(10, "room")
    held_back = 0
    for _ in range(200):
        made = random_design(rng, look_ahead=True, sub_batches=16)
        times = times_of(made)
        _, steps = query_steps(times)
        for s in range(2):
            holds = steps[s][steps[s, :, HELD] > 0]
            moments = holds[:, ASKED, None]
            within = (holds[:, ASKED] <= moments) & (holds[:, FINISH] > moments + 1e-12)
            used = (within * holds[:, HELD]).sum(axis=1)
            assert (used <= made.stages[s].ahead_bytes * (1 + 1e-12)).all()
            held_back += int((used > 0.9 * made.stages[s].ahead_bytes).sum())
    assert held_back > 100


def test_a_table_of_designs_gives_what_each_gives_alone() -> None:
    rng = rng_for(9, "columns")
    made = [random_design(rng, sub_batches=8) for _ in range(100)]

    together = query_latency_s(times_of(*made))

    np.testing.assert_array_equal(together, [latency(each) for each in made])


def test_rows_on_an_ssd_take_its_pages_and_its_latency() -> None:
    ssd = Ssd(iops=1e6, bandwidth_bytes_per_s=8e9)
    chip = replace(PROTOTYPE, ssd=ssd)
    cold = (RowRates(num_tables=26, hit_rate=0.5, ssd_share=0.001), HALF[1])

    slower = latency(design(sub_batches=4), chip=chip, demands=cold)

    assert slower > latency(design(sub_batches=4), chip=chip) + ssd.latency_s * 0.5
    assert times_of(design(), chip=chip, demands=cold).ssd.sum() == pytest.approx(
        4096 * 13 * 0.001 / 1e6
    )
