"""Popularity, matrix factorisation and EASE against sums written out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, Features, FeatureSchema
from recfunnel.models.base import to_tensors
from recfunnel.models.ease import EASE, ItemToItem
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.popularity import Popularity
from recfunnel.testing.model import (
    EXAMPLE_SCHEMA,
    ModelContract,
    fill_with_noise,
    random_features,
)

NO_IDS = FeatureSchema(features=(Feature(name="x", side="candidate", kind="dense"),))


class TestPopularity(ModelContract):
    spec = Popularity()


class TestMatrixFactorisation(ModelContract):
    spec = MatrixFactorisation(num_factors=3)


class TestMatrixFactorisationWithBias(ModelContract):
    spec = MatrixFactorisation(num_factors=3, item_bias=True)


class TestEASE(ModelContract):
    spec = EASE()


class TestEASEOnRawWeights(ModelContract):
    spec = EASE(rating_weights=())


def _sides(num_queries: int = 4, num_items: int = 14) -> tuple[Features, Features]:
    rng = np.random.default_rng(7)
    context = random_features(EXAMPLE_SCHEMA, "context", num_queries, rng)
    return context, random_features(EXAMPLE_SCHEMA, "candidate", num_items, rng)


def test_popularity_scores_an_item_by_its_id_for_everyone() -> None:
    context, items = _sides()
    module = Popularity().build(EXAMPLE_SCHEMA)
    fill_with_noise(module)

    scores = module(to_tensors(context), to_tensors(items))

    expected = module.scores.numpy()[items.categorical[:, 0]]
    assert np.array_equal(scores.numpy(), np.tile(expected, (4, 1)))


@pytest.mark.parametrize("bias", [False, True])
def test_matrix_factorisation_is_the_dot_of_the_factors_of_two_ids(bias: bool) -> None:
    context, items = _sides()
    module = MatrixFactorisation(num_factors=6, item_bias=bias).build(EXAMPLE_SCHEMA)
    fill_with_noise(module)

    scores = module(to_tensors(context), to_tensors(items)).detach().numpy()

    users, ids = context.categorical[:, 0], items.categorical[:, 0]
    stored = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    expected = stored["context_factors"][users] @ stored["item_factors"][ids].T
    if bias:
        expected = expected + stored["item_bias"][ids]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def _ease_by_hand(module: ItemToItem, context: Features, query: int, item_id: int) -> float:
    stars = {1.0: 0.2, 2.0: 0.3, 3.0: 0.6, 4.0: 1.0, 5.0: 1.2}
    history = context.multi_valued[0]
    return sum(
        stars[float(rating)] * float(module.weights[seen, item_id])
        for seen, rating in zip(history.row(query), history.row_weights(query), strict=True)
    )


@pytest.mark.parametrize("num_queries", [1, 4])
@pytest.mark.parametrize("num_candidates", [1, 5, 14])
def test_ease_sums_the_weights_of_what_was_seen(num_queries: int, num_candidates: int) -> None:
    context, items = _sides(5)
    context = context.take(np.arange(5 - num_queries, 5))
    module = EASE().build(EXAMPLE_SCHEMA)
    fill_with_noise(module)
    module.rating_weights.copy_(torch.tensor([0.2, 0.3, 0.6, 1.0, 1.2]))
    columns = np.random.default_rng(1).integers(0, 14, (num_queries, num_candidates))

    scores = module(to_tensors(context), to_tensors(items), torch.from_numpy(columns)).numpy()

    for query in range(num_queries):
        for place, column in enumerate(columns[query]):
            expected = _ease_by_hand(module, context, query, int(items.categorical[column, 0]))
            assert scores[query, place] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_ease_gathers_few_candidates_as_it_sums_all() -> None:
    """A vocabulary so large that few candidates take the other road."""
    num_ids = 500
    schema = FeatureSchema(
        features=(
            Feature(name="history", side="context", kind="multi_valued", cardinality=num_ids),
            Feature(name="item", side="candidate", kind="categorical", cardinality=num_ids),
        ),
        item_id="item",
        history="history",
    )
    rng = np.random.default_rng(0)
    rows = random_features(schema, "context", 3, rng)
    items = to_tensors(random_features(schema, "candidate", num_ids - 1, rng))
    module = EASE().build(schema)
    fill_with_noise(module)
    columns = torch.tensor([[4, 497, 17, 4]])
    for query in range(3):  # the first one has seen nothing
        context = to_tensors(rows.row(query))
        everything = module(context, items)
        torch.testing.assert_close(module(context, items, columns), everything[:, columns[0]])


@given(rating=st.floats(-3, 9))
@settings(max_examples=60, deadline=None)
def test_between_whole_ratings_the_weight_lies_on_the_line_through_them(rating: float) -> None:
    table = (0.2, 0.3, 0.6, 1.0, 1.2)
    module = EASE(rating_weights=table).build(EXAMPLE_SCHEMA)
    weight = float(module.weigh(torch.tensor([rating], dtype=torch.float32))[0])
    assert weight == pytest.approx(np.interp(rating, [1, 2, 3, 4, 5], table), abs=1e-5)


def test_without_rating_weights_a_history_counts_as_it_is() -> None:
    module = EASE(rating_weights=()).build(EXAMPLE_SCHEMA)
    ratings = torch.tensor([1.0, 0.25, -2.0])
    assert torch.equal(module.weigh(ratings), ratings)


def test_the_work_of_a_dot_and_of_a_history_is_stated() -> None:
    factors = MatrixFactorisation(num_factors=6).cost(EXAMPLE_SCHEMA)
    assert (factors.flops_per_item, factors.read_bytes_per_item) == (12, 8 + 24)
    assert EASE(assumed_history=10).cost(EXAMPLE_SCHEMA).flops_per_item == 20


def test_kinds_that_need_identity_say_so() -> None:
    with pytest.raises(StudyError, match="'popularity' needs items with an identity"):
        Popularity().build(NO_IDS)
    with pytest.raises(StudyError, match="'matrix_factorisation' needs items"):
        MatrixFactorisation().cost(NO_IDS)
    with pytest.raises(StudyError, match="'ease' reads the history"):
        EASE().build(NO_IDS)


def test_a_history_of_other_ids_is_refused() -> None:
    schema = FeatureSchema(
        features=(
            Feature(name="seen", side="context", kind="multi_valued", cardinality=8),
            Feature(name="item", side="candidate", kind="categorical", cardinality=9),
        ),
        item_id="item",
        history="seen",
    )
    with pytest.raises(StudyError, match="'seen' has 8 ids but item id 'item' has 9"):
        EASE().build(schema)


def test_one_rating_weight_is_refused() -> None:
    with pytest.raises(StudyError, match="rating_weights has 1 entry"):
        EASE(rating_weights=(1.0,))
