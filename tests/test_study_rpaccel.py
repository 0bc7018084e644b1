"""A study planned on the simulated accelerator as on any other machine."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from accel_world import LARGE, SMALL
from recfunnel.core.errors import StudyError
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.hot_rows import HotRows
from recfunnel.hardware.rpaccel import RPAccel
from recfunnel.models.neumf import NeuMF
from recfunnel.plan.space import SearchSpace
from recfunnel.profile.accelerated import AcceleratedModel, accelerated_profiles, call_s, select_s
from recfunnel.profile.request import HAND_OVER, ProfileRequest
from recfunnel.runtime.timing import TOP_K
from recfunnel.study.planning import Planning
from recfunnel.study.run_folder import RunFolder
from recfunnel.study.study import Study
from recfunnel.testing.platform import PlatformContract
from recfunnel.train.base import ModelEntry
from recfunnel.train.bce import BCE
from recfunnel.train.epochs import Patience
from tiny_study import tiny_study

CURVE = HotRows(num_tables=26, curve=((1000.0, 0.1), (100_000.0, 0.5)))
MODELS = {
    "small": AcceleratedModel(SMALL, CURVE),
    "large": AcceleratedModel(LARGE, CURVE),
}
ITEMS = np.array([1, 64, 1024, 4096])


class TestContract(PlatformContract):
    spec = RPAccel()


def accelerated_study(**changes: object) -> Study:
    """Two networks of different depth on an accelerator of four blocks."""
    tiny = tiny_study(rate_qps=2000.0)
    quick = BCE(patience=Patience(max_epochs=2, epochs=2))
    models = {
        "neumf": tiny.models["neumf"],
        "wide": ModelEntry(model=NeuMF(mf_dim=8, mlp_dim=32, hidden=(64, 32)), training=quick),
    }
    return replace(
        tiny,
        models=models,
        space=SearchSpace(keep_counts=(20, 40), num_answers=10, thread_counts=(1, 2, 4)),
        platform=RPAccel(num_blocks=4),
        **changes,
    )


def test_a_study_plans_on_the_accelerator_and_says_it_is_simulated(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        planning = Planning(accelerated_study(), folder)
        plan = planning.plan().plan

        assert planning.platform().simulated
        assert plan.profile_source == "modelled"
        assert plan.chosen is not None
        threads = {s.num_threads for p in plan.front.points for s in p.path.mapping.stations}
        assert threads <= {1, 2, 4}
        assert planning.verify().verifications == ()


def test_an_accelerator_cannot_be_measured(tmp_path: Path) -> None:
    study = accelerated_study()
    study = replace(study, profile=replace(study.profile, source="measured"))
    with RunFolder(tmp_path / "run") as folder, pytest.raises(StudyError, match="modelled"):
        Planning(study, folder).plan()


def test_a_model_without_layers_is_named(tmp_path: Path) -> None:
    study = tiny_study()
    study = replace(study, platform=RPAccel(num_blocks=1), models={"als": study.models["als"]})
    with RunFolder(tmp_path / "run") as folder, pytest.raises(StudyError, match="'als'"):
        Planning(study, folder).profile()


def test_blocks_are_ganged_into_rectangles() -> None:
    spec = RPAccel()

    assert [spec.sub_array(n) for n in (1, 2, 4, 16, 64)] == [
        (16, 16), (16, 32), (32, 32), (64, 64), (128, 128)
    ]  # fmt: skip
    for threads in (1, 2, 4, 8, 16, 32, 64):
        rows, cols = spec.sub_array(threads)
        assert rows * cols * 64 == threads * 128**2
    for threads in (0, 3, 128):
        with pytest.raises(StudyError, match="powers of two"):
            spec.sub_array(threads)


def test_a_call_is_the_sum_of_its_units() -> None:
    """By hand: PCIe, rows of DRAM at half its bandwidth, layers at a cycle a nanosecond."""
    spec = RPAccel(variant="filter")
    none = AcceleratedModel(SMALL, HotRows(num_tables=26, curve=((1.0, 0.0),)))
    chip = Chip()
    pcie = 1000 * SMALL.input_bytes / chip.pcie.bandwidth_bytes_per_s
    dram = 26 * 1000 * 64 / (0.5 * 32e9) + chip.dram.latency_s
    from recfunnel.hardware.systolic.network import network_cycles

    layers = int(network_cycles(SMALL.shape, 1000, 128, 128, num_lanes=chip.lanes)) / chip.clock_hz
    took = call_s(none, spec, np.array([1000]), 1)[0]
    assert took == pytest.approx(pcie + dram + layers, rel=1e-9)


def test_more_candidates_never_take_less_time() -> None:
    for variant in ("prior_art", "filter", "fission"):
        spec = RPAccel(variant=variant)
        for model in MODELS.values():
            assert (np.diff(call_s(model, spec, ITEMS, 1)) >= 0).all()
        assert (np.diff(select_s(spec, ITEMS)) >= 0).all()


def test_the_host_sorts_for_the_prior_art_alone() -> None:
    host = select_s(RPAccel(variant="prior_art"), ITEMS)
    filtered = select_s(RPAccel(variant="filter"), ITEMS)
    assert (host > filtered).all()
    assert host[-1] > 85e-9 * 4096
    assert filtered[-1] == pytest.approx((16 + 4096) / 1e9)


def test_profiles_have_every_entry_a_plan_reads() -> None:
    request = ProfileRequest(sizes={"small": (1, 64)}, num_threads=(1, 4), platform="rpaccel")
    found = accelerated_profiles(MODELS, RPAccel(), request)

    assert {(p.model, p.num_threads) for p in found} >= {
        ("small", 1), ("small", 4), (TOP_K, 1), (HAND_OVER, 4)
    }  # fmt: skip
    assert all(p.source == "modelled" for p in found)
    assert all("simulated" in note for p in found for note in p.notes)


@pytest.mark.parametrize("blocks", [0, 3, 4096])
def test_blocks_that_do_not_divide_the_array_are_refused(blocks: int) -> None:
    with pytest.raises(StudyError, match="blocks"):
        RPAccel(num_blocks=blocks)
