"""Values check themselves when built: a value that exists makes sense."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.core.arrays import Ragged
from recfunnel.core.errors import DataError, InvalidInput, StudyError
from recfunnel.core.features import Feature, Features, FeatureSchema
from recfunnel.core.pipeline import Mapping, Path, Station, pipeline_of, stage_scorers
from recfunnel.core.results import Estimate, LatencyProfile
from recfunnel.core.seeds import rng_for
from recfunnel.core.workload import ServiceLevel

ROWS = st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=6)


@given(rows=ROWS, data=st.data())
def test_taking_rows_of_a_ragged_array_is_indexing_a_list(
    rows: list[list[int]], data: st.DataObject
) -> None:
    picks = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    taken = Ragged.from_rows(rows, rows).take(np.array(picks, np.int64))
    assert [taken.row(i).tolist() for i in range(len(taken))] == [rows[p] for p in picks]
    assert [taken.row_weights(i).tolist() for i in range(len(taken))] == [rows[p] for p in picks]


@given(rows=ROWS)
def test_grouping_pairs_is_the_inverse_of_listing_them(rows: list[list[int]]) -> None:
    ragged = Ragged.from_rows(rows)
    again = Ragged.from_pairs(ragged.row_ids(), ragged.values, len(rows))
    assert [again.row(i).tolist() for i in range(len(again))] == rows


def test_ragged_offsets_must_fit_the_values() -> None:
    with pytest.raises(InvalidInput, match="from 0 to 3"):
        Ragged(np.arange(3), np.array([0, 2]))
    with pytest.raises(InvalidInput, match="never fall"):
        Ragged(np.arange(3), np.array([0, 2, 1, 3]))


def test_features_outside_the_schema_are_named() -> None:
    schema = FeatureSchema(
        features=(
            Feature(name="city", side="context", kind="categorical", cardinality=3),
            Feature(name="age", side="context", kind="dense"),
        )
    )
    good = Features(np.array([[2], [0]]), np.ones((2, 1), np.float32))
    good.check(schema, "context")
    with pytest.raises(DataError, match="'city' has id 3 at position 1, allowed 0 to 2"):
        Features(np.array([[2], [3]]), good.dense).check(schema, "context")
    with pytest.raises(DataError, match="'age' is not finite in row 0"):
        Features(good.categorical, np.array([[np.nan], [1]], np.float32)).check(schema, "context")


def test_a_keep_count_cannot_grow() -> None:
    with pytest.raises(StudyError, match="'large' keeps 512 of 256"):
        pipeline_of(("small", "large"), (1000, 256, 512))


def test_a_stage_computes_only_the_score_inputs_nobody_has() -> None:
    inputs = {"a": (), "b": (), "r": ("a", "b"), "rr": ("r", "a")}
    pipeline = pipeline_of(("a", "rr"), (9, 5, 1))
    assert stage_scorers(pipeline, inputs) == (("a",), ("b", "r", "rr"))
    alone = pipeline_of(("rr",), (9, 1))
    assert stage_scorers(alone, inputs) == (("a", "b", "r", "rr"),)


def test_a_mapping_places_every_stage_once() -> None:
    one = Mapping(stations=(Station(platform="cpu", num_stages=1),))
    with pytest.raises(StudyError, match="places 1 stages, the pipeline has 2"):
        Path(pipeline=pipeline_of(("a", "b"), (9, 5, 1)), mapping=one)


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("nan")])
def test_a_deadline_is_above_zero(deadline_s: float) -> None:
    with pytest.raises(StudyError, match="must be above 0"):
        ServiceLevel(deadline_s=deadline_s)


def test_a_profile_interpolates_and_never_extrapolates() -> None:
    profile = LatencyProfile(
        model="m",
        platform="cpu",
        num_threads=1,
        batch_sizes=np.array([10, 20]),
        latency_s=np.array([[1.0, 3.0], [5.0, 2.0]]),
        source="measured",
    )
    np.testing.assert_allclose(profile.samples(15), [1.5, 4.0])
    assert profile.mean_s(20) == 3.5
    with pytest.raises(InvalidInput, match="profiled for 10 to 20 items, asked for 21"):
        profile.samples(21)


def test_an_estimate_with_an_infinite_sample_is_infinite() -> None:
    found = Estimate.of(np.array([1.0, np.inf]))
    assert (found.mean, found.stderr, found.num_samples) == (np.inf, np.inf, 2)


def test_an_estimate_covers_the_truth_as_often_as_it_says() -> None:
    rng = rng_for(0, "coverage")
    hits = 0
    for _ in range(2000):
        low, high = Estimate.of(rng.normal(3, 2, 50)).interval(0.9)
        hits += low < 3 < high
    # 2000 coins of 0.9 (a little less: normal for Student's t): 4 standard errors are 0.027
    assert abs(hits / 2000 - 0.9) < 0.035


def test_streams_differ_by_name_and_repeat_by_seed() -> None:
    first = rng_for(1, "a").integers(1 << 60)
    assert first == rng_for(1, "a").integers(1 << 60)
    assert first != rng_for(1, "b").integers(1 << 60)
    assert first != rng_for(2, "a").integers(1 << 60)
