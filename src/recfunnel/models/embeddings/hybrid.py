"""Two representations of every id, kept as two vectors."""

from torch import Tensor, cat, nn

from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.core.graph import Norm
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.spec import Spec
from recfunnel.models.embeddings.base import EmbeddingCost, EmbeddingSpec, embeddings
from recfunnel.models.embeddings.dhe import DHE
from recfunnel.models.embeddings.table import Table


@embeddings.register
class Hybrid(Spec, EmbeddingSpec, frozen=True, tag="hybrid"):
    """The vectors of one representation beside those of another.

    What a network does with two vectors of a feature is its own: DLRM interacts them as if they
    were two features, models that sum their vectors add them up. Two tables are the control for a
    table and a computed vector: as many vectors, nothing computed.

    Args:
        first: one.
        second: the other.
    """

    first: EmbeddingSpec = Table()
    second: EmbeddingSpec = DHE()

    def build(self, feature: Feature, dim: int) -> nn.Module:
        """Both modules."""
        return SideBySide(self.first.build(feature, dim), self.second.build(feature, dim))

    def num_vectors(self, feature: Feature) -> int:
        """Those of both."""
        return self.first.num_vectors(feature) + self.second.num_vectors(feature)

    def check(self, schema: FeatureSchema) -> None:
        """Hold both against a schema."""
        self.first.check(schema)
        self.second.check(schema)

    def cost(self, feature: Feature, dim: int) -> EmbeddingCost:
        """The sum of both."""
        return self.first.cost(feature, dim) + self.second.cost(feature, dim)

    @property
    def has_graph(self) -> bool:
        """Whether both have."""
        return self.first.has_graph and self.second.has_graph

    def add_to(
        self,
        graph: GraphBuilder,
        feature: Feature,
        column: int,
        name: str,
        *,
        dim: int,
        norm: Norm = "mean",
    ) -> tuple[int, ...]:
        """The vectors of both."""
        parts = {"first": self.first, "second": self.second}
        return tuple(
            position
            for part, spec in parts.items()
            for position in spec.add_to(
                graph, feature, column, f"{name}.{part}", dim=dim, norm=norm
            )
        )


class SideBySide(nn.Module):
    """The modules of `Hybrid`.

    Args:
        first: called with ids.
        second: called with the same.
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (..., V·dim) of ids (...)."""
        return cat([self.first(ids), self.second(ids)], dim=-1)
