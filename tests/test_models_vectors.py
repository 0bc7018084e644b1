"""Embedding vectors of a side: tables, lists, and representations that are no table."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from recfunnel.core.arrays import Ragged
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, Features
from recfunnel.models.base import TensorRagged, to_tensors
from recfunnel.models.embeddings.base import EmbeddingSpec, embeddings
from recfunnel.models.embeddings.table import Table
from recfunnel.models.side_vector import SideVector
from recfunnel.models.vectors import FeatureVectors, used, weight_norm, weighted_mean, weighted_sum
from recfunnel.testing.model import EXAMPLE_SCHEMA, random_features

FEATURE = Feature(name="colour", side="candidate", kind="categorical", cardinality=400)


class Computed(nn.Module):
    """An embedding that is no table to those who use it."""

    def __init__(self, table: nn.Module) -> None:
        super().__init__()
        self.table = table

    def forward(self, ids: Tensor) -> Tensor:
        vectors: Tensor = self.table(ids)
        return vectors


LISTS = st.lists(
    st.lists(st.tuples(st.integers(0, 399), st.floats(-5, 5, width=16)), max_size=4),
    min_size=1,
    max_size=5,
)


def _tensors(rows: list[list[tuple[int, float]]]) -> TensorRagged:
    ragged = Ragged.from_rows([[i for i, _ in r] for r in rows], [[w for _, w in r] for r in rows])
    none = np.zeros((len(rows), 0))
    features = Features(none.astype(np.int64), none.astype(np.float32), (ragged,))
    return to_tensors(features).multi_valued[0]


@given(rows=LISTS)
@settings(max_examples=60, deadline=None)
def test_sums_norms_and_means_are_those_of_a_loop(rows: list[list[tuple[int, float]]]) -> None:
    torch.manual_seed(0)
    table = Table().build(FEATURE, 3)
    vectors, ragged = table.weight.detach().double().numpy(), _tensors(rows)
    sums = np.array([sum((w * vectors[i] for i, w in row), np.zeros(3)) for row in rows])
    sizes = np.array([sum(abs(w) for _, w in row) for row in rows])
    squares = np.array([sum(w * w for _, w in row) for row in rows])

    with torch.no_grad():
        for embedding in (table, Computed(table)):
            np.testing.assert_allclose(weighted_sum(embedding, ragged), sums, atol=1e-6)
            expected = sums / np.maximum(sizes, 1e-12)[:, None]
            np.testing.assert_allclose(weighted_mean(embedding, ragged), expected, atol=1e-6)
        np.testing.assert_allclose(weight_norm(ragged, power=1), sizes, rtol=1e-5)
        np.testing.assert_allclose(weight_norm(ragged, power=2), squares, rtol=1e-5)


def test_a_sparse_table_learns_as_a_dense_one() -> None:
    dense, sparse = Table().build(FEATURE, 3), Table().build(FEATURE, 3)
    sparse.load_state_dict(dense.state_dict())
    sparse.sparse = True
    ragged = _tensors([[(3, 2.0), (7, -1.0)], [], [(3, 0.5)]])
    for table in (dense, sparse):
        (weighted_mean(table, ragged).square().sum() + table(torch.tensor([9])).sum()).backward()
    assert sparse.weight.grad.is_sparse
    torch.testing.assert_close(sparse.weight.grad.to_dense(), dense.weight.grad)


def test_a_side_lists_its_single_ids_then_its_lists() -> None:
    vectors = FeatureVectors(EXAMPLE_SCHEMA, "context", (), Table(), 3)
    rows = random_features(EXAMPLE_SCHEMA, "context", 6, np.random.default_rng(0))
    found = vectors(to_tensors(rows))
    assert found.shape == (6, 3, 3)
    assert torch.equal(found[:, 1], vectors.single[1].weight[rows.categorical[:, 1]])
    assert not found[0, 2].any()  # the first history is empty


@pytest.mark.parametrize("without", [(), ("year",), ("item", "genres"), ("year", "price")])
def test_a_sides_vector_is_the_sum_of_its_parts(without: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    side = SideVector(EXAMPLE_SCHEMA, "candidate", without, Table(), 3)
    rows = random_features(EXAMPLE_SCHEMA, "candidate", 6, np.random.default_rng(0))

    vectors = side.vectors(to_tensors(rows))
    expected = sum((vectors[:, i] for i in range(vectors.shape[1])), torch.zeros(6, 3))
    kept = [i for i, name in enumerate(("year", "price")) if name not in without]
    if kept:
        weight, bias = side.dense.weight, side.dense.bias
        expected = expected + torch.from_numpy(rows.dense[:, kept]) @ weight.T + bias

    torch.testing.assert_close(side(to_tensors(rows)), expected)


def test_a_table_is_drawn_as_dlrm_does_and_its_cost_is_exact() -> None:
    """Uniform on ±1/20: deviation 0.05/√3, within 4 standard errors over 3,200 draws."""
    torch.manual_seed(0)
    table, cost = Table().build(FEATURE, 8), Table().cost(FEATURE, 8)
    assert table.weight.abs().max() <= 0.05
    assert float(table.weight.detach().std()) == pytest.approx(
        0.05 / 3**0.5, rel=4 * 0.45 / 3200**0.5
    )
    assert cost.parameter_bytes == table.weight.nbytes
    assert (cost.flops_per_lookup, cost.read_bytes_per_lookup) == (0, 32)


def test_a_representation_is_found_by_its_kind() -> None:
    spec: EmbeddingSpec = embeddings.parse({"kind": "table"})
    assert spec == Table()


def test_leaving_out_an_unknown_name_is_refused() -> None:
    with pytest.raises(StudyError, match="no feature 'agee' to leave out"):
        used(EXAMPLE_SCHEMA, "context", "categorical", ("agee",))
