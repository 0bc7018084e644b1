"""NeuMF: consistent sizes, and a folded first layer that changes no score."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from recfunnel.core.errors import StudyError
from recfunnel.models.base import to_tensors
from recfunnel.models.neumf import SIZES, NeuMF
from recfunnel.testing.model import EXAMPLE_SCHEMA, ModelContract, random_features


class TestAllFeatures(ModelContract):
    spec = NeuMF(mf_dim=3, mlp_dim=4, hidden=(6, 5))


class TestIdsAlone(ModelContract):
    spec = NeuMF(mf_dim=3, mlp_dim=4, hidden=(6,), use_features=False)


def test_folding_the_first_layer_changes_no_score() -> None:
    """Against the network as the paper draws it, ids alone, on concatenated vectors."""
    spec = NeuMF(mf_dim=3, mlp_dim=4, hidden=(6, 5), use_features=False)
    torch.manual_seed(0)
    module = spec.build(EXAMPLE_SCHEMA)
    with torch.no_grad():
        module.product.copy_(torch.tensor([0.5, -2.0, 1.5]))
    rng = np.random.default_rng(0)
    context = to_tensors(random_features(EXAMPLE_SCHEMA, "context", 4, rng))
    items = to_tensors(random_features(EXAMPLE_SCHEMA, "candidate", 9, rng))

    user = module.context_vector.vectors.single[0](context.categorical[:, 0])
    item = module.item_vector.vectors.single[0](items.categorical[:, 0])
    for q in range(4):
        for i in range(9):
            hidden = torch.cat([user[q, 3:], item[i, 3:]]) @ module.first.whole_weight().T
            hidden = functional.relu(hidden + module.first.bias)
            hidden = functional.relu(module.rest[1](hidden))
            final = torch.cat([module.product, module.rest[3].weight[0]])
            both = torch.cat([user[q, :3] * item[i, :3], hidden])
            expected = final @ both + module.rest[3].bias[0]
            torch.testing.assert_close(module(context, items)[q, i], expected)


@pytest.mark.parametrize(
    ("size", "tower"),
    [("small", (32, 16, 8)), ("medium", (128, 64, 32)), ("large", (512, 256, 128))],
)
def test_each_size_is_consistent_and_its_work_is_counted(size: str, tower: tuple[int, ...]) -> None:
    spec = SIZES[size]
    assert (2 * spec.mlp_dim, *spec.hidden) == tower
    plain_macs = sum(a * b for a, b in zip(tower, (*tower[1:], 1), strict=True)) + spec.mf_dim

    ids = NeuMF(
        mf_dim=spec.mf_dim, mlp_dim=spec.mlp_dim, hidden=spec.hidden, use_features=False
    ).cost(EXAMPLE_SCHEMA)

    assert ids.flops_per_item == 2 * (plain_macs - spec.mlp_dim * spec.hidden[0])
    assert ids.flops_per_query == 2 * spec.mlp_dim * spec.hidden[0] + spec.mf_dim


def test_features_add_to_the_work() -> None:
    spec = NeuMF(mf_dim=3, mlp_dim=4, hidden=(6,))
    alone = NeuMF(mf_dim=3, mlp_dim=4, hidden=(6,), use_features=False)
    more, less = spec.cost(EXAMPLE_SCHEMA), alone.cost(EXAMPLE_SCHEMA)
    assert more.flops_per_item - less.flops_per_item == 2 * 2 * 7  # two dense features of an item
    assert more.flops_per_query - less.flops_per_query == 2 * 1 * 7
    assert more.read_bytes_per_item - less.read_bytes_per_item == 7 * 4 + 8 + 2 * 4


def test_a_network_without_hidden_layers_is_refused() -> None:
    with pytest.raises(StudyError, match="at least one hidden layer"):
        NeuMF(hidden=())
