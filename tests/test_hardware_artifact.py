"""The timing model published with RecPipe: its numbers, its faults, and what corrections do."""

from pathlib import Path

import msgspec
import pytest

from recfunnel.core.errors import StudyError
from recfunnel.hardware.artifact import constants as at
from recfunnel.hardware.artifact.constants import CRITEO, MOVIELENS, Engine, engine
from recfunnel.hardware.artifact.faults import CORRECTED, FAULTS, PUBLISHED, Faults
from recfunnel.hardware.artifact.mappings import all_mappings, mapping
from recfunnel.hardware.artifact.timing import (
    ServiceTime,
    Stage,
    capacity_qps,
    hit_share,
    miss_share_of,
    service_times,
    total_s,
)
from recfunnel.hardware.artifact.waterfall import waterfall
from recfunnel.hardware.energy.chip import RPACCEL
from recfunnel.hardware.systolic.cycles import gemm_cycles

LOGGED_SUMS_MS = {
    (4, 4): ((2, 2), 1.3944),
    (4, 16): ((2, 8), 2.8912),
    (4, 64): ((2, 32), 19.5043),
    (16, 4): ((8, 2), 2.0003),
    (16, 16): ((8, 8), 3.4971),
    (16, 64): ((8, 32), 20.1102),
    (64, 4): ((32, 2), 9.0319),
    (64, 16): ((32, 8), 10.5287),
    (64, 64): ((32, 32), 27.1418),
    (4, 4, 4): ((1, 1, 1), 1.2448),
    (4, 4, 16): ((1, 1, 5), 1.9379),
    (4, 4, 64): ((1, 1, 21), 11.7162),
    (4, 16, 4): ((1, 5, 1), 1.5406),
    (4, 16, 16): ((1, 5, 5), 2.2337),
    (4, 16, 64): ((1, 5, 21), 12.0119),
    (4, 64, 4): ((1, 21, 1), 5.7082),
    (4, 64, 16): ((1, 21, 5), 6.4013),
    (4, 64, 64): ((1, 21, 21), 16.1796),
    (16, 4, 4): ((5, 1, 1), 1.8507),
    (16, 4, 16): ((5, 1, 5), 2.5438),
    (16, 4, 64): ((5, 1, 21), 12.3221),
    (16, 16, 4): ((5, 5, 1), 2.1465),
    (16, 16, 16): ((5, 5, 5), 2.8396),
    (16, 16, 64): ((5, 5, 21), 12.6179),
    (16, 64, 4): ((5, 21, 1), 6.3142),
    (16, 64, 16): ((5, 21, 5), 7.0072),
    (16, 64, 64): ((5, 21, 21), 16.7855),
    (64, 4, 4): ((21, 1, 1), 8.8823),
    (64, 4, 16): ((21, 1, 5), 9.5754),
    (64, 4, 64): ((21, 1, 21), 19.3536),
    (64, 16, 4): ((21, 5, 1), 9.1781),
    (64, 16, 16): ((21, 5, 5), 9.8711),
    (64, 16, 64): ((21, 5, 21), 19.6494),
    (64, 64, 4): ((21, 21, 1), 13.3457),
    (64, 64, 16): ((21, 21, 5), 14.0388),
    (64, 64, 64): ((21, 21, 21), 23.8171),
}
"""Engines and logged service sum of every published mapping of 2 and 3 stages."""

LOGGED_ALONE_MS = {
    ("S", 4096): ("0.4466", "0.5573", "1.1632", "8.1947"),
    ("M", 4096): ("0.9462", "1.3534", "3.3787", "30.840"),
    ("M", 512): ("0.2017", "0.2625", "0.5583", "4.7260"),
    ("L", 4096): ("2.0907", "4.6835", "13.682", "94.087"),
    ("L", 512): ("0.3994", "0.8371", "2.3340", "18.947"),
    ("L", 128): ("0.2181", "0.4250", "1.1181", "10.896"),
}

MOVIELENS_MS = {
    ("1M S", 1000): ("0.241", "0.305", "0.555", "5.18"),
    ("1M M", 1000): ("0.694", "1.906", "6.575", "43.4"),
    ("1M L", 1000): ("0.972", "2.580", "8.808", "65.2"),
    ("20M S", 4000): ("0.283", "0.306", "0.401", "2.33"),
    ("20M M", 4000): ("0.865", "2.136", "6.921", "31.7"),
    ("20M L", 4000): ("3.822", "12.37", "47.26", "229"),
}

CAPACITY_QPS = {
    (1,): 478,
    (4,): 854,
    (16,): 1169,
    (64,): 680,
    (4, 4): 2389,
    (4, 16): 3428,
    (16, 16): 3428,
    (16, 4): 2389,
    (4, 4, 4): 1795,
    (16, 4, 16): 3809,
}

NAMES = tuple(fault.name for fault in FAULTS)


def as_printed(value: float, printed: str) -> str:
    return f"{value:.{len(printed.partition('.')[2])}f}"


def service_ms(fission: tuple[int, ...], faults: Faults = PUBLISHED, **options: float) -> float:
    return 1e3 * total_s(service_times(mapping(fission), faults, **options))


def alone_ms(network: at.PublishedNetwork, num_items: int, fission: int) -> float:
    return 1e3 * total_s(service_times([Stage(network, num_items, engine(fission))]))


def test_the_three_headline_sums_are_theirs() -> None:
    assert as_printed(service_ms((1,)), "2.0907438") == "2.0907438"
    assert as_printed(service_ms((4, 4)), "1.3943896") == "1.3943896"
    assert as_printed(service_ms((4, 4, 4)), "1.2448188") == "1.2448188"


@pytest.mark.parametrize("fission", LOGGED_SUMS_MS)
def test_every_logged_sum_and_its_engines_are_theirs(fission: tuple[int, ...]) -> None:
    engines, logged_ms = LOGGED_SUMS_MS[fission]
    assert round(service_ms(fission), 4) == logged_ms
    assert tuple(stage.num_engines for stage in mapping(fission)) == engines


def test_these_are_all_mappings_of_figure_12() -> None:
    assert set(all_mappings()) == {(1,), *LOGGED_SUMS_MS}


@pytest.mark.parametrize(("name", "num_items"), LOGGED_ALONE_MS)
def test_every_model_alone_takes_what_theirs_does(name: str, num_items: int) -> None:
    printed = LOGGED_ALONE_MS[name, num_items]
    ours = [alone_ms(CRITEO[name], num_items, fission) for fission in at.ENGINES]
    assert tuple(map(as_printed, ours, printed)) == printed


@pytest.mark.parametrize(("name", "num_items"), MOVIELENS_MS)
def test_movielens_takes_what_theirs_does(name: str, num_items: int) -> None:
    printed = MOVIELENS_MS[name, num_items]
    for fission, text in zip(at.ENGINES, printed, strict=True):
        half = 0.5 * 10.0 ** -len(text.partition(".")[2])
        assert abs(alone_ms(MOVIELENS[name], num_items, fission) - float(text)) <= 1.01 * half


def test_the_whole_chip_spends_its_time_where_theirs_does() -> None:
    (time,) = service_times(mapping((1,)))
    parts = (time.bus_in_s, time.gather_s, time.bottom_s, time.top_s, time.sort_s, time.bus_out_s)
    printed = ("0.136", "1.051", "0.577", "0.287", "0.000", "0.040")
    assert tuple(as_printed(1e3 * s, text) for s, text in zip(parts, printed, strict=True)) == (
        printed
    )
    assert time.dots_s == 0


@pytest.mark.parametrize("fission", CAPACITY_QPS)
def test_capacities_are_theirs(fission: tuple[int, ...]) -> None:
    stages = mapping(fission)
    assert round(capacity_qps(stages, service_times(stages))) == CAPACITY_QPS[fission]


def test_sorting_on_the_host_is_the_prior_art() -> None:
    stages = mapping((1,))
    times = service_times(stages, host_sort=True)
    assert as_printed(1e3 * total_s(times), "2.480") == "2.480"
    assert round(capacity_qps(stages, times)) == 403


def test_the_hosts_sort_ends_at_4096_items() -> None:
    with pytest.raises(StudyError, match="ends at 4096 items, not 4097"):
        service_times([Stage(CRITEO["L"], 4097, engine(1))], host_sort=True)


def test_each_fault_changes_something_alone_or_alone_left() -> None:
    """On a 64th of the chip at half the published cycle, where each has an effect."""
    fast = msgspec.structs.replace(engine(64), clock_period_s=4e-9)
    way = waterfall([Stage(CRITEO["S"], 4096, fast), Stage(CRITEO["L"], 512, fast)])
    idle = [
        step.name
        for step in way.steps
        if step.alone_s == way.published_s and step.kept_s == way.corrected_s
    ]
    assert idle == []


def test_an_unknown_fault_is_named() -> None:
    with pytest.raises(StudyError, match=r"no fault 'slow_hit'; known: .*slow_hits"):
        PUBLISHED.without("slow_hit")


def test_their_bus_follows_the_accelerators_clock_and_the_corrected_one_does_not() -> None:
    half = Engine(fission=1, side=128, dram_bytes_per_s=32.0 * at.GIB, clock_period_s=4e-9)
    at_8, at_4 = Stage(CRITEO["L"], 4096, engine(1)), Stage(CRITEO["L"], 4096, half)
    theirs = [service_times([stage])[0].bus_in_s for stage in (at_8, at_4)]
    ours = [service_times([stage], CORRECTED)[0].bus_in_s for stage in (at_8, at_4)]
    assert theirs[1] == pytest.approx(theirs[0] / 2)
    assert ours[1] == ours[0] == theirs[0]


def test_more_hits_are_slower_in_theirs_and_never_in_the_corrected_one() -> None:
    shares = (1.0, 0.75, 0.5, 0.25, 0.0)
    theirs = [service_ms((1,), miss_share=share) for share in shares]
    ours = [service_ms((1,), CORRECTED, miss_share=share) for share in shares]
    assert theirs == sorted(theirs)
    assert theirs[-1] > 1.3 * theirs[0]
    assert ours == sorted(ours, reverse=True)


def test_corrected_layers_are_scale_sims() -> None:
    array = PUBLISHED.without("one_load", "clipped_tiles", "weights_every_layer")
    network = msgspec.structs.replace(CRITEO["L"], bottom=(13, 512), top=(1,), dots=False)
    (time,) = service_times([Stage(network, 4096, engine(1))], array)
    assert time.bottom_s == pytest.approx(8e-9 * gemm_cycles(4096, 512, 13, 128, 128), rel=1e-12)


def test_their_hit_rates_are_met_and_never_fall_with_rows() -> None:
    assert hit_share(8192) == pytest.approx(0.2831)
    assert hit_share(10**9) == pytest.approx(0.5231)
    rates = [hit_share(rows) for rows in (0, 1, 500, 1000, 5000, 50_000, 10**6)]
    assert rates == sorted(rates)


@pytest.mark.parametrize("fission", [(1,), (4, 4), (16, 4, 16)])
def test_the_waterfall_leads_from_theirs_to_the_corrected_model(fission: tuple[int, ...]) -> None:
    way = waterfall(mapping(fission))
    assert 1e3 * way.published_s == pytest.approx(service_ms(fission), rel=1e-12)
    assert 1e3 * way.corrected_s == pytest.approx(service_ms(fission, CORRECTED), rel=1e-12)
    assert way.steps[-1].cumulative_s == way.corrected_s
    assert way.steps[-1].kept_s == way.steps[-2].cumulative_s
    assert way.steps[0].alone_s == way.steps[0].cumulative_s
    assert tuple(step.name for step in way.steps) == NAMES


@pytest.mark.parametrize(
    ("fission", "said"),
    [
        ((1, 4), "each of 2 stages has 1/2 of the chip"),
        ((8,), "no engine of 1/8 of the chip; known: 1, 4, 16, 64"),
        ((4, 4, 4, 4), "4 stages; the published pipelines have 1, 2 or 3"),
    ],
)
def test_mappings_that_do_not_exist_are_refused(fission: tuple[int, ...], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        mapping(fission)


def test_stages_out_of_range_are_refused() -> None:
    with pytest.raises(StudyError, match="a stage of 0 items on 1 engines"):
        Stage(CRITEO["S"], 0, engine(1))
    with pytest.raises(StudyError, match=r"a share of 1\.5 misses"):
        service_times(mapping((1,)), miss_share=1.5)
    with pytest.raises(StudyError, match="without stages"):
        service_times([])


def test_engines_are_equal_parts_of_the_chip() -> None:
    for part, each in at.ENGINES.items():
        assert each.fission == part
        assert each.side**2 * part == 128 * 128
        if part < 64:
            assert each.dram_bytes_per_s * part == 32 * 2**30
    assert engine(64).dram_bytes_per_s == 2**30 / 8


@pytest.mark.parametrize(
    ("num_items", "sort_ms"), [(511, 0.03), (512, 0.07), (1024, 0.07), (1025, 0.35), (4096, 0.35)]
)
def test_the_hosts_sort_takes_the_published_steps(num_items: int, sort_ms: float) -> None:
    stage = Stage(CRITEO["L"], num_items, engine(1))
    (time,) = service_times([stage], host_sort=True)
    assert 1e3 * time.sort_s == pytest.approx(sort_ms)
    assert 1e6 * time.bus_out_s == pytest.approx(40 + 40 * num_items / 4096)


def corrected(network: str, num_items: int, part: int, miss_share: float) -> ServiceTime:
    stage = Stage(CRITEO[network], num_items, engine(part))
    keep = CORRECTED_BUT_FOR_OVERLAP
    return service_times([stage], keep, miss_share=miss_share)[0]


CORRECTED_BUT_FOR_OVERLAP = msgspec.structs.replace(CORRECTED, gather_before_layers=True)


def test_corrected_rows_move_whole_bursts_and_read_their_own_macros() -> None:
    """Rows of 8 bytes: a miss moves 64, a hit reads 8 of 64 x 8 a cycle, at the same time."""
    missed = corrected("S", 4096, 4, 1.0).gather_s
    assert missed == pytest.approx(800e-9 + 4096 * 26 * 64 / (8 * 2**30))
    hit = corrected("S", 4096, 4, 0.0).gather_s
    assert hit == pytest.approx(8e-9 * 4096 * 26 * 8 / (16 * 8))
    half = corrected("L", 512, 1, 0.5).gather_s
    assert half == pytest.approx(800e-9 + 0.5 * 512 * 26 * 64 / (32 * 2**30))


def test_corrected_dots_are_made_on_the_parts_lanes() -> None:
    macs = 512 * 351 * 32
    for part in at.ENGINES:
        time = corrected("L", 512, part, 0.5).dots_s
        assert time == pytest.approx(8e-9 * macs / (1024 // part), rel=1e-4)


def test_corrected_weights_stay_where_they_fit_and_are_read_once_where_not() -> None:
    """437 KB of the largest network: in 4 MiB, 1 MiB of a quarter, not in 256 KiB of a 16th."""
    layers = 2 * (13 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 32)
    for part, streams in ((1, False), (4, False), (16, True), (64, True)):
        kept = corrected("L", 4096, part, 0.5).bottom_s
        cycles = sum(
            gemm_cycles(4096, n, k, engine(part).side, engine(part).side)
            + (n + folded(k, part)) / 8
            for k, n in ((13, 512), (512, 256), (256, 128), (128, 64), (64, 32))
        )
        read_s = 800e-9 + layers / (32 * 2**30 / part) if streams else 0.0
        assert kept == pytest.approx(8e-9 * cycles + read_s, rel=1e-9)


def folded(num_inputs: int, part: int) -> int:
    return -(-num_inputs // engine(part).side)


def test_rows_that_fit_the_corrected_sram_are_a_parts_share() -> None:
    """16 MiB of rows of 64 bytes: 2^18 on the chip, 2^14 on a 16th, 2^12 on a 64th."""
    found = [1 - miss_share_of(CRITEO["L"], engine(part), CORRECTED) for part in at.ENGINES]
    assert found == pytest.approx([0.5231, hit_share(2**16), 0.3470, 0.2199])
    assert (
        RPACCEL.weights.num_bytes,
        RPACCEL.rows.num_bytes,
    ) == (at.AREA_WEIGHT_SRAM_BYTES, at.AREA_ROW_SRAM_BYTES)
    assert RPACCEL.rows.num_macros == at.NUM_ROW_MACROS
    assert RPACCEL.num_accumulators == at.NUM_LANES
    small = PUBLISHED.without("constant_misses")
    held = 1 - miss_share_of(CRITEO["S"], engine(4), small)
    assert held == pytest.approx(hit_share(62_500), rel=1e-12)


def test_the_page_has_what_each_correction_does() -> None:
    """Milliseconds: one after the other, and alone in brackets."""
    page = Path(__file__).parent.parent / "docs" / "recpipe.md"
    rows = [line.split("|")[1:-1] for line in page.read_text("utf-8").splitlines() if "| `" in line]
    documented = {row[0].strip(" `"): [cell.strip() for cell in row[-3:]] for row in rows}
    assert tuple(documented) == NAMES
    for column, fission in enumerate([(1,), (4, 4), (16, 4, 16)]):
        way = waterfall(mapping(fission))
        before_s = way.published_s
        for step in way.steps:
            said = documented[step.name][column].replace("\N{MINUS SIGN}", "-")
            after, alone = (float(part) for part in said.rstrip(")").split(" ("))
            assert after == pytest.approx(1e3 * (step.cumulative_s - before_s), abs=5.1e-4)
            assert alone == pytest.approx(1e3 * (step.alone_s - way.published_s), abs=5.1e-4)
            before_s = step.cumulative_s
