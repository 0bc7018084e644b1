"""A run summary is a stored value: it survives its file, and says so when the file is wrong."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.errors import InvalidInput, StorageError
from recfunnel.core.storage import read_json, write_json
from recfunnel.core.verified import relative_error
from recfunnel.report.summary import RunSummary, thinned
from report_sample import all_points, bare_summary, infeasible_summary, sample_summary


@pytest.mark.parametrize("make", [sample_summary, infeasible_summary, bare_summary])
def test_a_summary_survives_its_file(make, tmp_path: Path) -> None:
    summary = make()
    write_json(tmp_path / "summary.json", summary)
    assert read_json(tmp_path / "summary.json", RunSummary) == summary


def test_the_sample_holds_an_unsteady_latency_so_that_the_round_trip_is_a_test_of_it() -> None:
    tails = [p.objectives.tail_latency_s.mean for p in sample_summary().evaluated]
    assert math.inf in tails


def test_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"study": "a", "modles": []}))
    with pytest.raises(StorageError, match="modles"):
        read_json(tmp_path / "summary.json", RunSummary)


def test_losses_of_the_sample_add_up_to_what_is_missing() -> None:
    parts = sample_summary().attribution
    assert parts is not None
    lost = sum(s.loss.mean for s in parts.stages) + parts.ordering_loss.mean
    assert lost == pytest.approx(1 - parts.ndcg.mean)


@given(limit=st.integers(2, 200))
@settings(max_examples=30, deadline=None)
def test_thinning_keeps_the_ends_and_the_limit(limit: int) -> None:
    points = all_points()
    kept = thinned(points, limit)
    capacities = sorted(p.objectives.capacity_qps.mean for p in points)
    assert len(kept) == min(limit, len(points))
    assert len(set(kept)) == len(kept)
    assert kept[0].objectives.capacity_qps.mean == capacities[0]
    assert kept[-1].objectives.capacity_qps.mean == capacities[-1]


def test_thinning_to_less_than_a_range_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 2"):
        thinned(all_points(), 1)


def test_relative_error_is_predicted_over_measured() -> None:
    assert relative_error(1.1, 1.0) == pytest.approx(0.1)
    assert relative_error(0.9, 1.0) == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("predicted", "measured"), [(math.inf, 1.0), (1.0, math.inf), (1.0, 0.0), (math.nan, 1.0)]
)
def test_an_error_that_means_nothing_is_nan(predicted: float, measured: float) -> None:
    assert math.isnan(relative_error(predicted, measured))
