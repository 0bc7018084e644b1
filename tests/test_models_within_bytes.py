"""A budget of bytes makes as few features compact as can be."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.models.embeddings.hashed import Hashed
from recfunnel.models.embeddings.within_bytes import within_bytes

DIM = 4
COMPACT = Hashed(num_rows=10)


def schema_of(sizes: list[int]) -> FeatureSchema:
    return FeatureSchema(
        features=tuple(
            Feature(name=f"f{number}", side="candidate", kind="categorical", cardinality=size)
            for number, size in enumerate(sizes)
        )
    )


def bytes_of(size: int, *, compact: bool) -> int:
    return 4 * DIM * (min(size, 10) if compact else size)


@given(st.lists(st.integers(2, 60), min_size=1, max_size=6), st.integers(0, 4000))
def test_no_choice_of_fewer_features_fits(sizes: list[int], max_bytes: int) -> None:
    schema, places = schema_of(sizes), range(len(sizes))

    def fits(chosen: tuple[int, ...]) -> bool:
        return sum(bytes_of(sizes[i], compact=i in chosen) for i in places) <= max_bytes

    fitting = [n for n in range(len(sizes) + 1) if any(map(fits, combinations(places, n)))]
    if not fitting:
        with pytest.raises(StudyError, match="bytes at least"):
            within_bytes(schema, DIM, max_bytes, compact=COMPACT)
        return
    found = within_bytes(schema, DIM, max_bytes, compact=COMPACT)

    assert len(found.of) == fitting[0]
    cost = sum(found.cost(feature, DIM).parameter_bytes for feature in schema.features)
    assert cost <= max_bytes


def test_dense_features_take_no_part() -> None:
    dense = Feature(name="price", side="candidate", kind="dense")
    schema = FeatureSchema(features=(*schema_of([50, 20]).features, dense))

    assert set(within_bytes(schema, DIM, 500, compact=COMPACT).of) == {"f0"}
    assert not within_bytes(schema, DIM, 2000, compact=COMPACT).of
