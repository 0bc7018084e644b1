"""What an embedding representation is: ids in, vectors out, behind one spec.

The embedding part of a network is separate from its dense part, so that a representation can be
exchanged without touching the network.
"""

from abc import abstractmethod

from torch import nn

from recfunnel.core.features import Feature
from recfunnel.core.graph import Norm
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.registry import Registry
from recfunnel.core.spec import Value


class EmbeddingCost(Value, frozen=True):
    """Work of one lookup, exact; one multiply-add is 2 FLOPs.

    Args:
        flops_per_lookup: arithmetic to make one vector (0 for a table).
        read_bytes_per_lookup: parameter bytes read for one vector.
        parameter_bytes: size of everything stored.
    """

    flops_per_lookup: float
    read_bytes_per_lookup: float
    parameter_bytes: int


class EmbeddingSpec:
    """Role of a spec that turns the ids of one feature into vectors."""

    __slots__ = ()

    @abstractmethod
    def build(self, feature: Feature, dim: int) -> nn.Module:
        """A module called with int64 ids (...) that returns float32 vectors (..., dim).

        Args:
            feature: whose ids, 0 (unknown) to cardinality - 1.
            dim: length of a vector.
        """

    @abstractmethod
    def cost(self, feature: Feature, dim: int) -> EmbeddingCost:
        """Exact work of one lookup, without building or allocating anything."""

    @property
    def has_graph(self) -> bool:
        """Whether `add_to` can say what it computes."""
        return False

    def add_to(
        self, graph: GraphBuilder, feature: Feature, column: int, name: str, *, norm: Norm = "mean"
    ) -> int:
        """Write one feature's vector into a graph.

        Args:
            graph: being written.
            feature: whose vector; the weighted sum of its values' over a norm where multi-valued.
            column: the feature's, among those of its side and kind.
            name: of the module in its network; parameters are NAME.parameter.
            norm: what a multi-valued feature's sum is divided by.

        Returns:
            The position of the vector.

        Raises:
            NotImplementedError: `has_graph` is false.
        """
        raise NotImplementedError(type(self).__name__)


embeddings: Registry[EmbeddingSpec] = Registry(EmbeddingSpec, "recfunnel.models.embeddings")
"""Kinds of embedding representation, one file each in `recfunnel.models.embeddings`."""
