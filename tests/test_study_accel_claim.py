"""RecPipe's claim judged: what is compared, on which arrivals, and with what switched off."""

import math
from pathlib import Path

import numpy as np
import pytest

from recfunnel.cli.main import run_command
from recfunnel.core.errors import StudyError
from recfunnel.plan.accel.problem import AccelPipeline
from recfunnel.study.accel.claim import ClaimEffort, ratios
from recfunnel.study.accel.claim_designs import (
    fissioned,
    prior_art,
    steps_between,
    without_each,
)

SINGLE = AccelPipeline(models=("large",), kept=(4096, 64))
SWITCHES = ["cut", "policy", "sub_batches", "static_share"]
SWITCHES += ["weights_preloaded", "look_ahead", "pipelined"]
FUNNEL = AccelPipeline(models=("small", "large"), kept=(4096, 512, 64))


def test_the_prior_art_overlaps_nothing_and_lets_the_host_sort() -> None:
    made = prior_art(SINGLE, 128).design(1, (1.0,), 1 << 24)

    assert (made.weights_preloaded, made.look_ahead, made.pipelined) == (False, False, False)
    assert (made.sub_batches, made.stages[0].policy) == (1, "host")
    assert (made.stages[0].rows, made.stages[0].static_bytes) == (128, 1 << 24)


def test_stages_that_work_in_turn_share_their_sub_arrays() -> None:
    steps = {step.name: step for step in steps_between(SINGLE, FUNNEL, 128)}
    made = steps["funnel on the prior art"].design(1, (1.0, 1.0), 1 << 24)

    assert made.stages[1].shares_with == 0
    assert made.stages[0].static_bytes == made.stages[1].static_bytes == 1 << 23


def test_parts_of_the_array_are_equal_and_whole() -> None:
    for number in (1, 2):
        for each in fissioned((SINGLE, FUNNEL)[number - 1], 128, "cut"):
            parts = [side**2 * copies for side, copies in each.cut]
            assert parts == [128**2 // number] * number
            assert all(side < 128 for side, _ in each.cut)


def test_one_feature_at_a_time_is_switched_off() -> None:
    whole = fissioned(FUNNEL, 128, "RPAccel")[0]
    same, *others = without_each(whole, 8, 128)
    assert same.sub_batches == (8,)
    for other in others:
        changed = [name for name in SWITCHES if getattr(other, name) != getattr(same, name)]
        assert len(changed) == 1, other.name
    assert len({other.name for other in others}) == 7


def test_ratios_are_of_the_same_arrivals() -> None:
    """Twice as much everywhere is exactly twice as much, however the replications differ."""
    found = ratios([2.0, 6.0, 10.0], [1.0, 3.0, 5.0])

    assert (found.mean, found.stderr) == (2.0, 0.0)
    assert ratios([1.0, 1.0], [1.0, 0.0]).mean == math.inf
    assert ratios([1.0, 1.0], [np.inf, np.inf]).mean == 0.0


def test_one_replication_has_no_interval() -> None:
    with pytest.raises(StudyError, match="at least 2"):
        ClaimEffort(num_replications=1)


def test_the_claim_and_figures_are_asked_for_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["reproduce", "recpipe", "--claim", str(tmp_path), "--all"]) == 2
    assert "one after the other" in capsys.readouterr().err


def test_a_claim_without_scores_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["reproduce", "recpipe", "--claim", str(tmp_path), "-q"]) == 2
    assert "holds no scores" in capsys.readouterr().err
