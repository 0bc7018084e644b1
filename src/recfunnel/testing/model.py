"""What every kind of ranking network must do; a plug-in's test subclasses `ModelContract`.

Letters: Q queries, N item rows, C candidates, S score inputs.
"""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from recfunnel.core.arrays import Ragged
from recfunnel.core.features import Feature, Features, FeatureSchema, Side
from recfunnel.core.registry import decode_role
from recfunnel.core.spec import to_builtins
from recfunnel.models.base import ModelSpec, TensorFeatures, to_tensors

EXAMPLE_SCHEMA = FeatureSchema(
    features=(
        Feature(name="user", side="context", kind="categorical", cardinality=9),
        Feature(name="age", side="context", kind="categorical", cardinality=4),
        Feature(name="activity", side="context", kind="dense"),
        Feature(
            name="history",
            side="context",
            kind="multi_valued",
            cardinality=15,
            vocabulary="item",
        ),
        Feature(name="item", side="candidate", kind="categorical", cardinality=15),
        Feature(name="year", side="candidate", kind="dense"),
        Feature(name="price", side="candidate", kind="dense"),
        Feature(name="genres", side="candidate", kind="multi_valued", cardinality=5),
    ),
    item_id="item",
    context_id="user",
    history="history",
)
"""A small schema with every kind of feature on both sides that can have it."""


def random_features(
    schema: FeatureSchema, side: Side, num_rows: int, rng: np.random.Generator
) -> Features:
    """Features of one side with random values that fit the schema.

    The item id of row i is i + 1 while there are ids; a multi-valued row holds 0 to 4 values (the
    first row none) with weights 1 to 5.
    """
    categorical = np.zeros((num_rows, len(schema.select(side, "categorical"))), np.int64)
    for column, feature in enumerate(schema.select(side, "categorical")):
        categorical[:, column] = rng.integers(0, feature.cardinality, num_rows)
        if feature.name == schema.item_id and num_rows < feature.cardinality:
            categorical[:, column] = np.arange(1, num_rows + 1)
    dense = rng.normal(size=(num_rows, len(schema.select(side, "dense")))).astype(np.float32)
    lists = [_random_lists(f, num_rows, rng) for f in schema.select(side, "multi_valued")]
    return Features(categorical, dense, tuple(lists))


def _random_lists(feature: Feature, num_rows: int, rng: np.random.Generator) -> Ragged:
    lengths = rng.integers(0, 5, num_rows)
    lengths[:1] = 0
    rows = [rng.integers(0, feature.cardinality, length).tolist() for length in lengths]
    weights = [rng.integers(1, 6, length).astype(float).tolist() for length in lengths]
    return Ragged.from_rows(rows, weights)


def fill_with_noise(module: nn.Module, seed: int = 0) -> None:
    """Give every parameter and float buffer random values, as if it had been fitted."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                positive = "deviation" in name or "variance" in name
                tensor.copy_(0.5 + 0.1 * noise.abs() if positive else 0.3 * noise)


class ModelContract:
    """Subclass as `class TestContract(ModelContract): spec = MySpec(...)`."""

    spec: ClassVar[ModelSpec]
    schema: ClassVar[FeatureSchema] = EXAMPLE_SCHEMA
    num_score_inputs: ClassVar[int] = 0
    num_queries: ClassVar[int] = 5
    num_items: ClassVar[int] = 12

    def module(self) -> nn.Module:
        """A network with random parameters."""
        torch.manual_seed(0)
        module = self.spec.build(self.schema, self.num_score_inputs)
        fill_with_noise(module)
        return module

    def context(self) -> Features:
        """Features of Q queries."""
        return random_features(self.schema, "context", self.num_queries, np.random.default_rng(1))

    def items(self) -> Features:
        """Features of N items."""
        return random_features(self.schema, "candidate", self.num_items, np.random.default_rng(2))

    def tensors(self) -> tuple[TensorFeatures, TensorFeatures]:
        """Both sides as tensors."""
        return to_tensors(self.context()), to_tensors(self.items())

    def given(self, num_columns: int) -> Tensor | None:
        """Scores (Q, C, S) of other models, or None."""
        if not self.num_score_inputs:
            return None
        generator = torch.Generator().manual_seed(3)
        shape = (self.num_queries, num_columns, self.num_score_inputs)
        return torch.randn(shape, generator=generator)

    def all_scores(self, module: nn.Module) -> Tensor:
        """Scores (Q, N) of every item."""
        context, items = self.tensors()
        scores: Tensor = module(context, items, None, self.given(self.num_items))
        return scores

    def test_one_finite_score_a_candidate(self) -> None:
        """Scores are float32 (Q, C) without NaN or infinity."""
        scores = self.all_scores(self.module())
        assert scores.shape == (self.num_queries, self.num_items)
        assert scores.dtype == torch.float32
        assert torch.isfinite(scores).all()

    def test_no_columns_means_all_items_in_order(self) -> None:
        """Leaving the columns out equals naming them all."""
        module, (context, items) = self.module(), self.tensors()
        columns = torch.arange(self.num_items).expand(self.num_queries, -1)
        explicit = module(context, items, columns, self.given(self.num_items))
        torch.testing.assert_close(explicit, self.all_scores(module))

    def test_a_candidate_scores_the_same_alone(self) -> None:
        """What else is ranked does not matter."""
        module, (context, items) = self.module(), self.tensors()
        given, together = self.given(self.num_items), self.all_scores(module)
        for item in range(self.num_items):
            columns = torch.full((self.num_queries, 1), item)
            of_item = None if given is None else given[:, item : item + 1]
            alone = module(context, items, columns, of_item)
            torch.testing.assert_close(alone, together[:, item : item + 1])

    def test_a_query_scores_the_same_alone(self) -> None:
        """Who else asks at the same time does not matter."""
        module, (_, items) = self.module(), self.tensors()
        given, together = self.given(self.num_items), self.all_scores(module)
        for query in range(self.num_queries):
            context = to_tensors(self.context().row(query))
            of_query = None if given is None else given[query : query + 1]
            alone = module(context, items, None, of_query)
            torch.testing.assert_close(alone, together[query : query + 1])

    def test_reordering_items_reorders_scores(self) -> None:
        """An item's score belongs to the item, not to its row."""
        module, (context, _) = self.module(), self.tensors()
        order = np.random.default_rng(4).permutation(self.num_items)
        items = to_tensors(self.items().take(order))
        given = self.given(self.num_items)
        reordered = module(context, items, None, None if given is None else given[:, order])
        torch.testing.assert_close(reordered, self.all_scores(module)[:, order])

    def test_gradient_reaches_every_trainable_parameter(self) -> None:
        """Every parameter learns from scores of all items."""
        module = self.module().train()
        scores = self.all_scores(module)
        if not scores.requires_grad:
            assert not list(module.parameters())
            return
        weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(5))
        torch.autograd.backward((scores * weights).sum())
        for name, parameter in module.named_parameters():
            if parameter.numel():
                assert parameter.grad is not None, name
                gradient = parameter.grad.to_dense()
                assert torch.isfinite(gradient).all(), name
                assert gradient.abs().sum() > 0, name

    def test_stated_parameter_bytes_are_those_of_the_built_module(self) -> None:
        """The stated size is exact."""
        cost = self.spec.cost(self.schema, self.num_score_inputs)
        stored = self.module().state_dict().values()
        assert cost.parameter_bytes == sum(tensor.nbytes for tensor in stored)
        assert min(cost.flops_per_query, cost.flops_per_item, cost.read_bytes_per_item) >= 0

    def test_the_spec_survives_being_written_and_read(self) -> None:
        """A spec is the same after a trip through plain data."""
        again = decode_role(ModelSpec, to_builtins(self.spec))
        assert again == self.spec
        assert hash(again) == hash(self.spec)
