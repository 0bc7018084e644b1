"""The re-ranker: starts as a blend of scores, folds its product, reads the history."""

import numpy as np
import pytest
import torch
from torch import Tensor

from recfunnel.core.errors import ModelError, StudyError
from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.models.base import to_tensors
from recfunnel.models.reranker import Reranker, RerankerNetwork
from recfunnel.testing.model import (
    EXAMPLE_SCHEMA,
    ModelContract,
    fill_with_noise,
    random_features,
)


class TestTwoScores(ModelContract):
    spec = Reranker(embedding_dim=4, hidden=(6, 5))
    num_score_inputs = 2


class TestEverything(ModelContract):
    spec = Reranker(
        embedding_dim=4, hidden=(6,), use_history=True, use_context_id=True, factor_dim=3
    )
    num_score_inputs = 1


class TestNoScores(ModelContract):
    spec = Reranker(embedding_dim=4, hidden=(6, 5), use_history=True)


def test_unfitted_it_ranks_by_the_sum_of_standardised_scores() -> None:
    module = Reranker().build(EXAMPLE_SCHEMA, 2)
    module.score_mean.copy_(torch.tensor([3.0, -1.0]))
    module.score_deviation.copy_(torch.tensor([2.0, 0.5]))
    rng = np.random.default_rng(0)
    context = to_tensors(random_features(EXAMPLE_SCHEMA, "context", 3, rng))
    items = to_tensors(random_features(EXAMPLE_SCHEMA, "candidate", 8, rng))
    given = torch.randn(3, 8, 2, generator=torch.Generator().manual_seed(0))

    scores = module(context, items, None, given)

    expected = (given[..., 0] - 3) / 2 + (given[..., 1] + 1) / 0.5
    torch.testing.assert_close(scores, expected)


def _by_hand(
    module: RerankerNetwork, user: Tensor, seen: Tensor, item: Tensor, given: Tensor
) -> Tensor:
    """One pair, on the concatenated inputs of one unsplit first layer."""
    standard = (given - module.score_mean) / module.score_deviation
    inputs = torch.cat([user, item, user * item, standard])
    hidden = module.first.whole_weight() @ inputs + module.first.bias
    for layer in module.rest:
        hidden = layer(hidden)
    return hidden[0] + module.blend @ standard + module.affinity[0] * (seen @ item)


def test_folding_the_product_into_a_matrix_changes_no_score() -> None:
    spec = Reranker(embedding_dim=4, hidden=(6, 5), use_history=True, factor_dim=3)
    module = spec.build(EXAMPLE_SCHEMA, 2).requires_grad_(requires_grad=False)
    fill_with_noise(module)
    rng = np.random.default_rng(0)
    rows = random_features(EXAMPLE_SCHEMA, "context", 4, rng)
    context = to_tensors(rows)
    items = to_tensors(random_features(EXAMPLE_SCHEMA, "candidate", 9, rng))
    given = torch.randn(4, 9, 2, generator=torch.Generator().manual_seed(0))

    scores = module(context, items, None, given)

    item = module.item_vector(items)
    item = item + module.item_factors[items.categorical[:, 0]] @ module.factor_map.weight.T
    plain = module.context_vector(context)
    for q in range(4):
        weights = torch.from_numpy(rows.multi_valued[0].row_weights(q))
        vectors = module.history_vectors.weight[torch.from_numpy(rows.multi_valued[0].row(q))]
        norm = max(float((weights**2).sum()) ** 0.5, 1e-12)
        seen = (weights.unsqueeze(1) * vectors).sum(0) / norm
        for i in range(9):
            expected = _by_hand(module, plain[q] + seen, seen, item[i], given[q, i])
            torch.testing.assert_close(scores[q, i], expected, rtol=1e-4, atol=1e-5)


def test_who_asks_is_read_only_when_asked_for() -> None:
    for use, equal in ((False, True), (True, False)):
        module = Reranker(use_context_id=use).build(EXAMPLE_SCHEMA)
        fill_with_noise(module)
        rng = np.random.default_rng(0)
        items = to_tensors(random_features(EXAMPLE_SCHEMA, "candidate", 5, rng))
        context = random_features(EXAMPLE_SCHEMA, "context", 1, rng)
        before = module(to_tensors(context), items)
        context.categorical[0, 0] = (context.categorical[0, 0] + 1) % 9
        assert torch.equal(before, module(to_tensors(context), items)) == equal


def test_the_work_of_a_candidate_is_counted() -> None:
    """By hand: vector of 2 dense, folded first layer, tower, blend."""
    cost = Reranker(embedding_dim=64, hidden=(128, 64)).cost(EXAMPLE_SCHEMA, 2)
    macs = 2 * 64 + (64 * 128 + 2 * 128) + (128 * 64 + 64) + 2
    assert cost.flops_per_item == 2 * macs
    user = 2 * 1 * 64  # one dense feature of the context
    fold = 2 * 64 * 128  # a product and a sum for each entry of the matrix
    assert cost.flops_per_query == user + fold + 2 * 64 * 128


def test_history_and_factors_add_to_the_work() -> None:
    plain, history, factors = (
        Reranker(embedding_dim=8, use_history=use, factor_dim=dim).cost(EXAMPLE_SCHEMA, 1)
        for use, dim in ((False, 0), (True, 0), (False, 3))
    )
    assert history.flops_per_item - plain.flops_per_item == 2 * 8  # one dot
    assert factors.flops_per_item - plain.flops_per_item == 2 * 3 * 8  # a map from 3 to 8
    assert factors.read_bytes_per_item - plain.read_bytes_per_item == 4 * 3


def test_missing_scores_are_an_error() -> None:
    module = Reranker().build(EXAMPLE_SCHEMA, 2)
    rng = np.random.default_rng(0)
    context = to_tensors(random_features(EXAMPLE_SCHEMA, "context", 1, rng))
    items = to_tensors(random_features(EXAMPLE_SCHEMA, "candidate", 5, rng))
    with pytest.raises(ModelError, match="reads 2 scores a candidate, was given none"):
        module(context, items)


def test_a_history_it_cannot_read_is_refused() -> None:
    schema = FeatureSchema(features=(Feature(name="x", side="candidate", kind="dense"),))
    with pytest.raises(StudyError, match="'reranker' reads the history"):
        Reranker(use_history=True).cost(schema, 1)
    with pytest.raises(StudyError, match="'reranker' needs items with an identity"):
        Reranker(factor_dim=4).cost(schema, 1)
