"""DLRM: RecPipe's true sizes, and hoisted work that changes no score."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.models.base import TensorFeatures, to_tensors
from recfunnel.models.dlrm import DLRM, RECPIPE_SHAPES
from recfunnel.models.dlrm_network import DLRMNetwork
from recfunnel.testing.model import EXAMPLE_SCHEMA, ModelContract, random_features

CRITEO_ROWS = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194, 27, 14992,
    5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
)  # fmt: skip


def criteo(num_context: int = 0, *, dense_context: int = 0) -> FeatureSchema:
    """Criteo's 13 dense and 26 categorical features, the first ones given to the context."""
    dense = [
        Feature(name=f"d{i}", side="context" if i < dense_context else "candidate", kind="dense")
        for i in range(13)
    ]
    categorical = [
        Feature(
            name=f"c{i}",
            side="context" if i < num_context else "candidate",
            kind="categorical",
            cardinality=rows,
        )
        for i, rows in enumerate(CRITEO_ROWS)
    ]
    return FeatureSchema(features=(*dense, *categorical))


@pytest.mark.parametrize(
    ("size", "mlp_macs", "pair_macs", "dense_parameters", "table_parameters", "table_bytes"),
    [
        ("small", 23_872, 1_404, 24_005, 135.05e6, 416),
        ("medium", 25_408, 5_616, 25_553, 540.20e6, 1_664),
        ("large", 217_600, 11_232, 218_689, 1080.40e6, 3_328),
    ],
)
def test_the_cost_on_criteo_is_recpipes_with_the_true_interaction_width(
    size: str,
    mlp_macs: int,
    pair_macs: int,
    dense_parameters: int,
    table_parameters: float,
    table_bytes: int,
) -> None:
    cost = RECPIPE_SHAPES[size].cost(criteo())

    assert cost.flops_per_item == 2 * (mlp_macs + pair_macs)
    assert cost.flops_per_query == 0
    assert cost.parameter_bytes / 4 - dense_parameters == pytest.approx(table_parameters, rel=1e-4)
    assert (cost.parameter_bytes // 4 - dense_parameters) % sum(CRITEO_ROWS) == 0
    assert cost.read_bytes_per_item == table_bytes + 26 * 8 + 13 * 4


@pytest.mark.parametrize("dense_context", [0, 5, 13])
@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_hoisting_moves_work_from_candidates_to_the_query_and_adds_none(
    size: str, dense_context: int
) -> None:
    spec = RECPIPE_SHAPES[size]
    whole, split = spec.cost(criteo()), spec.cost(criteo(10, dense_context=dense_context))

    assert split.flops_per_query + split.flops_per_item == whole.flops_per_item
    assert split.flops_per_query > 0
    assert split.parameter_bytes == whole.parameter_bytes


class TestMixedDense(ModelContract):
    spec = DLRM(embedding_dim=4, bottom=(6, 5), top=(7, 3))


class TestWithoutHidden(ModelContract):
    spec = DLRM(embedding_dim=3, bottom=(), top=(5,))


class TestDenseOfItems(ModelContract):
    spec = DLRM(embedding_dim=4, bottom=(6,), top=(7,), without=("activity", "history"))


class TestDenseOfContext(ModelContract):
    spec = DLRM(embedding_dim=4, bottom=(6,), top=(7,), without=("year", "price"))


class TestNoDense(ModelContract):
    spec = DLRM(embedding_dim=4, bottom=(6,), top=(7,), without=("year", "price", "activity"))


class TestConcat(ModelContract):
    spec = DLRM(embedding_dim=4, bottom=(6, 5), top=(7, 3), interaction="concat")


class TestConcatOfItems(ModelContract):
    spec = DLRM(
        embedding_dim=4, bottom=(6,), top=(7,), interaction="concat", without=("activity", "user")
    )


class TestConcatOfContext(ModelContract):
    spec = DLRM(
        embedding_dim=4, bottom=(6,), top=(7,), interaction="concat", without=("year", "price")
    )


class TestRowsThatAreItems(ModelContract):
    """Criteo: nothing is known of the context, every row is an item of its own."""

    spec = DLRM(embedding_dim=4, bottom=(6,), top=(7,))
    schema = FeatureSchema(
        features=(
            Feature(name="d0", side="candidate", kind="dense"),
            Feature(name="c0", side="candidate", kind="categorical", cardinality=20),
            Feature(name="c1", side="candidate", kind="categorical", cardinality=3),
        )
    )


ALL = ("user", "age", "history", "item", "genres", "activity", "year", "price")


@pytest.mark.parametrize(
    "without",
    [
        (),
        ("activity",),
        ("year", "price"),
        ("activity", "year"),
        ("activity", "year", "price"),
        ("history", "genres", "age"),
        ("user", "age", "history"),
        ("item", "genres"),
        tuple(name for name in ALL if name not in ("year", "activity")),
        tuple(name for name in ALL if name not in ("user", "item")),
    ],
)
def test_splitting_the_work_changes_no_score(without: tuple[str, ...]) -> None:
    spec = DLRM(embedding_dim=4, bottom=(6, 5), top=(7, 3), without=without)
    torch.manual_seed(1)
    module = spec.build(EXAMPLE_SCHEMA).double()
    rng = np.random.default_rng(0)
    context = _double(to_tensors(random_features(EXAMPLE_SCHEMA, "context", 4, rng)))
    items = _double(to_tensors(random_features(EXAMPLE_SCHEMA, "candidate", 9, rng)))

    scores = module(context, items)

    for query in range(4):
        for item in range(9):
            plain = _plain_dlrm(module, context, query, items, item)
            torch.testing.assert_close(scores[query, item], plain, rtol=1e-12, atol=1e-12)


def _plain_dlrm(
    module: DLRMNetwork, context: TensorFeatures, query: int, items: TensorFeatures, item: int
) -> Tensor:
    """DLRM of one pair, step by step, on unsplit layers put together from the split ones."""
    of_context = _plain_vectors(module.context_vectors, context, query)
    of_items = _plain_vectors(module.item_vectors, items, item)
    bottom: list[Tensor] = []
    if module.side != "none":
        dense = torch.cat(
            [
                _kept(context.dense[query], module.context_dense),
                _kept(items.dense[item], module.item_dense),
            ]
        )
        hidden = module.bottom_first.whole_weight() @ dense + module.bottom_first.bias
        bottom = [_plain_chain(module.bottom_rest, hidden)]
    if module.side == "context":
        of_context = bottom + of_context
    if module.side == "items":
        of_items = bottom + of_items
    inputs = {
        "context": (bottom if module.side == "context" else []) + _plain_pairs(of_context),
        "items": (bottom if module.side == "items" else []) + _plain_pairs(of_items),
        "mixed": [v @ u for v in of_items for u in of_context],
    }
    if module.side == "mixed":
        first = [*bottom, *(bottom[0] @ u for u in of_context), *(bottom[0] @ v for v in of_items)]
        inputs["mixed"] = first + inputs["mixed"]
    numbers = [x.reshape(-1) for part in inputs.values() for x in part]
    hidden = module.top_first.whole_weight() @ torch.cat(numbers) + module.top_first.bias
    return _plain_chain(module.top_rest, hidden)[0]


def _plain_pairs(vectors: list[Tensor]) -> list[Tensor]:
    return [vectors[i] @ vectors[j] for i in range(len(vectors)) for j in range(i)]


def _plain_vectors(module: nn.Module, features: TensorFeatures, row: int) -> list[Tensor]:
    vectors = [
        table.weight[features.categorical[row, column]]
        for table, column in zip(module.single, module.columns, strict=True)
    ]
    for table, number in zip(module.multiple, module.lists, strict=True):
        ragged = features.multi_valued[number]
        span = slice(int(ragged.offsets[row]), int(ragged.offsets[row + 1]))
        total = torch.zeros(table.weight.shape[1], dtype=torch.float64)
        for value, weight in zip(ragged.values[span], ragged.weights[span], strict=True):
            total = total + weight * table.weight[value]
        vectors.append(total / max(float(ragged.weights[span].sum()), 1e-12))
    return vectors


def _plain_chain(layers: nn.Sequential, hidden: Tensor) -> Tensor:
    for layer in layers:
        hidden = (
            layer.weight @ hidden + layer.bias
            if isinstance(layer, nn.Linear)
            else torch.clamp(hidden, min=0)
        )
    return hidden


def _kept(dense: Tensor, columns: tuple[int, ...] | None) -> Tensor:
    return (
        dense
        if columns is None
        else torch.stack([dense[c] for c in columns])
        if columns
        else (dense[:0])
    )


def _double(features: TensorFeatures) -> TensorFeatures:
    lists = tuple(type(r)(r.values, r.offsets, r.weights.double()) for r in features.multi_valued)
    return TensorFeatures(features.categorical, features.dense.double(), lists)


def test_a_schema_without_a_feature_to_read_is_refused() -> None:
    with pytest.raises(StudyError, match="no feature to read"):
        DLRM(without=ALL).cost(EXAMPLE_SCHEMA)


def test_leaving_out_an_unknown_feature_is_refused() -> None:
    with pytest.raises(StudyError, match="no feature 'colour' to leave out; known: activity"):
        DLRM(without=("colour",)).build(EXAMPLE_SCHEMA)


def test_widths_below_one_are_refused() -> None:
    with pytest.raises(StudyError, match="every width at least 1"):
        DLRM(bottom=(0,))


def test_score_inputs_are_refused() -> None:
    with pytest.raises(StudyError, match="'dlrm' reads no scores but has 2"):
        DLRM().build(EXAMPLE_SCHEMA, 2)
