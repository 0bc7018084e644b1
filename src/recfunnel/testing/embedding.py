"""What every representation of ids keeps to; a plug-in's test subclasses `EmbeddingContract`.

Letters: V vectors an id, d dimensions.
"""

from typing import ClassVar

import numpy as np
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

from recfunnel.compile.evaluate import evaluate_side
from recfunnel.core.arrays import DoubleArray, Ragged
from recfunnel.core.errors import InvalidInput
from recfunnel.core.features import Feature, Features
from recfunnel.core.graph import RankingGraph
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.registry import decode_role
from recfunnel.core.spec import to_builtins
from recfunnel.models.base import to_tensors
from recfunnel.models.embeddings.base import EmbeddingSpec
from recfunnel.models.vectors import weighted_mean, weighted_sum
from recfunnel.testing.model import fill_with_noise

NAME = "vectors.3"


class EmbeddingContract:
    """Subclass as `class TestContract(EmbeddingContract): spec = MySpec(...)`."""

    spec: ClassVar[EmbeddingSpec]
    num_ids: ClassVar[int] = 700
    dim: ClassVar[int] = 4

    @property
    def feature(self) -> Feature:
        """Whose ids."""
        return Feature(name="page", side="candidate", kind="categorical", cardinality=self.num_ids)

    @property
    def lists(self) -> Feature:
        """The same with lists of ids."""
        return Feature(name="page", side="candidate", kind="multi_valued", cardinality=self.num_ids)

    def module(self) -> nn.Module:
        """A module with random parameters, in evaluation mode."""
        torch.manual_seed(0)
        module = self.spec.build(self.feature, self.dim)
        fill_with_noise(module)
        return module.eval()

    def ids(self) -> Tensor:
        """40 ids, some of them twice, the first and the last among them."""
        rng = np.random.default_rng(1)
        ids = np.concatenate([[0, self.num_ids - 1], rng.integers(0, self.num_ids, 28)])
        return torch.from_numpy(np.concatenate([ids, ids[:10]]))

    @property
    def width(self) -> int:
        """V·d."""
        return self.spec.num_vectors(self.feature) * self.dim

    def test_any_shape_of_ids_gives_that_shape_of_vectors(self) -> None:
        """Float32, none included."""
        module = self.module()
        for shape in ((), (0,), (40,), (8, 5), (2, 4, 5)):
            ids = self.ids()[: int(np.prod(shape))].view(shape)
            vectors = module(ids)
            assert vectors.shape == (*shape, self.width)
            assert vectors.dtype == torch.float32
            assert torch.isfinite(vectors).all()

    def test_an_id_has_one_vector_whatever_it_is_asked_with(self) -> None:
        """Once or twice, in any order, alone."""
        module, ids = self.module(), self.ids()
        together = module(ids)
        torch.testing.assert_close(together[:10], together[30:], rtol=0, atol=0)
        torch.testing.assert_close(module(ids.flip(0)).flip(0), together)
        for place in (0, 1, 2):
            torch.testing.assert_close(module(ids[place]), together[place])

    def test_gradient_reaches_every_parameter(self) -> None:
        """Also of ids that occur twice, which weigh twice."""
        module = self.module().train()
        vectors = module(torch.arange(self.num_ids))
        weights = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(2))
        torch.autograd.backward((vectors * weights).sum())
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad.to_dense()).all(), name
            assert parameter.grad.to_dense().abs().sum() > 0, name

    def test_ids_outside_the_range_are_refused(self) -> None:
        """Never a vector that means nothing."""
        module = self.module()
        for outside in (-1, self.num_ids):
            try:
                module(torch.tensor([0, outside]))
            except (IndexError, InvalidInput):
                continue
            raise AssertionError(f"id {outside} of {self.num_ids} was given a vector")

    def test_stated_bytes_are_those_of_the_built_module(self) -> None:
        """To the byte; decoders and rows are parts of them."""
        cost = self.spec.cost(self.feature, self.dim)
        stored = self.module().state_dict().values()
        assert cost.parameter_bytes == sum(tensor.nbytes for tensor in stored)
        assert 0 <= cost.weight_bytes <= cost.parameter_bytes
        assert cost.read_bytes_per_lookup >= 4 * cost.rows_per_lookup >= 0
        assert min(cost.flops_per_lookup, cost.hash_operations_per_lookup) >= 0

    def test_the_graph_computes_what_the_module_does(self) -> None:
        """To 1e-5, from parameters named as in the module's `state_dict`."""
        if not self.spec.has_graph:
            return
        ids = self.ids()
        rows = Features(ids[:, None].numpy(), np.zeros((len(ids), 0), np.float32))
        found = self._of_graph(self.feature, rows, "mean")
        with torch.no_grad():
            assert_allclose(found, self.module()(ids).numpy(), rtol=1e-5, atol=1e-5)

    def test_the_graph_computes_what_lists_of_ids_do(self) -> None:
        """Empty ones too, by any norm."""
        if not self.spec.has_graph:
            return
        ids = self.ids().tolist()
        weights = [0.5, 2.0, 1.0]
        lists = Ragged.from_rows([[], ids[:3], [ids[4]]], [[], weights, [3.0]])
        rows = Features(np.zeros((3, 0), np.int64), np.zeros((3, 0), np.float32), (lists,))
        ragged = to_tensors(rows).multi_valued[0]
        with torch.no_grad():
            total = weighted_sum(self.module(), ragged).numpy()
            mean = weighted_mean(self.module(), ragged).numpy()
        assert_allclose(self._of_graph(self.lists, rows, "sum"), total, rtol=1e-5, atol=1e-5)
        assert_allclose(self._of_graph(self.lists, rows, "mean"), mean, rtol=1e-5, atol=1e-5)

    def _of_graph(self, feature: Feature, rows: Features, norm: str) -> DoubleArray:
        """(rows, V·d) as the graph has it."""
        builder = GraphBuilder()
        positions = self.spec.add_to(builder, feature, 0, NAME, dim=self.dim, norm=norm)  # type: ignore[arg-type]
        assert len(positions) == self.spec.num_vectors(feature)
        graph: RankingGraph = builder.finish(builder.concat(positions))
        parameters = {f"{NAME}.{k}": v.numpy() for k, v in self.module().state_dict().items()}
        assert graph.parameter_names == parameters.keys()
        return evaluate_side(graph, parameters, rows, "candidate")[graph.score_of]

    def test_the_spec_survives_being_written_and_read(self) -> None:
        """A spec is the same after a trip through plain data, and so is its hash."""
        again = decode_role(EmbeddingSpec, to_builtins(self.spec))
        assert again == self.spec
        assert hash(again) == hash(self.spec)
