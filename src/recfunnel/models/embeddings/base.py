"""What an embedding representation is: ids in, vectors out, behind one spec.

The embedding part of a network is separate from its dense part, so that a representation can be
exchanged without touching the network.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from recfunnel.core.errors import InvalidInput
from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.core.graph import Lookup, Norm, Pool
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.registry import Registry
from recfunnel.core.spec import Value

FLOAT_BYTES = 4


class EmbeddingCost(Value, frozen=True):
    """Work of one lookup, exact; one multiply-add is 2 FLOPs.

    Args:
        flops_per_lookup: floating-point arithmetic to make the vectors of one id (0 for a table).
        read_bytes_per_lookup: bytes of table rows read for them; decoders are taken to stay in the
            cache.
        parameter_bytes: size of everything stored.
        rows_per_lookup: table rows that these bytes are read from.
        weight_bytes: of decoders, a part of `parameter_bytes`: read once for many ids.
        hash_operations_per_lookup: integer operations to hash one id, stated apart.
        hash_bytes: of what the hash functions keep; they are no parameters and are not stored.
    """

    flops_per_lookup: float
    read_bytes_per_lookup: float
    parameter_bytes: int
    rows_per_lookup: float = 0.0
    weight_bytes: int = 0
    hash_operations_per_lookup: float = 0.0
    hash_bytes: int = 0

    def __add__(self, other: "EmbeddingCost") -> "EmbeddingCost":
        return EmbeddingCost(
            flops_per_lookup=self.flops_per_lookup + other.flops_per_lookup,
            read_bytes_per_lookup=self.read_bytes_per_lookup + other.read_bytes_per_lookup,
            parameter_bytes=self.parameter_bytes + other.parameter_bytes,
            rows_per_lookup=self.rows_per_lookup + other.rows_per_lookup,
            weight_bytes=self.weight_bytes + other.weight_bytes,
            hash_operations_per_lookup=self.hash_operations_per_lookup
            + other.hash_operations_per_lookup,
            hash_bytes=self.hash_bytes + other.hash_bytes,
        )


NO_COST = EmbeddingCost(flops_per_lookup=0.0, read_bytes_per_lookup=0.0, parameter_bytes=0)


class EmbeddingSpec:
    """Role of a spec that turns the ids of one feature into vectors."""

    __slots__ = ()

    @abstractmethod
    def build(self, feature: Feature, dim: int) -> nn.Module:
        """A module called with int64 ids (...) that returns float32 vectors (..., V·dim).

        They stand side by side, V = `num_vectors(feature)` of them. An id outside the range is an
        error, never a vector.

        Args:
            feature: whose ids, 0 (unknown) to cardinality - 1.
            dim: length of a vector.
        """

    def num_vectors(self, feature: Feature) -> int:
        """V, how many vectors an id of a feature has."""
        del feature
        return 1

    def check(self, schema: FeatureSchema) -> None:
        """Hold a representation that names features against those there are.

        Raises:
            StudyError: a name is no feature's.
        """
        del schema

    @abstractmethod
    def cost(self, feature: Feature, dim: int) -> EmbeddingCost:
        """Exact work of one lookup, without building or allocating anything."""

    @property
    def has_graph(self) -> bool:
        """Whether `add_to` can say what it computes."""
        return False

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
        """Write one feature's vectors into a graph.

        Args:
            graph: being written.
            feature: whose vectors; the weighted sum of its values' over a norm where multi-valued.
            column: the feature's, among those of its side and kind.
            name: of the module in its network; parameters are NAME.parameter.
            dim: length of a vector.
            norm: what a multi-valued feature's sum is divided by.

        Returns:
            The position of each vector, V of them.

        Raises:
            NotImplementedError: `has_graph` is false.
        """
        raise NotImplementedError(type(self).__name__)


embeddings: Registry[EmbeddingSpec] = Registry(EmbeddingSpec, "recfunnel.models.embeddings")
"""Kinds of embedding representation, one file each in `recfunnel.models.embeddings`."""


def add_rows(
    graph: GraphBuilder, feature: Feature, column: int, table: str, norm: Norm
) -> tuple[int]:
    """Write a lookup, or a pool, of one table into a graph.

    Args:
        graph: being written.
        feature: whose rows.
        column: the feature's, among those of its side and kind.
        table: parameter or computed table.
        norm: what a multi-valued feature's sum is divided by.

    Returns:
        Its position.
    """
    side = feature.side
    if feature.kind == "multi_valued":
        return (graph.add(Pool(side=side, column=column, table=table, norm=norm)),)
    return (graph.add(Lookup(side=side, column=column, table=table)),)


def check_ids(ids: Tensor, num_ids: int) -> None:
    """Refuse ids that a feature does not have, as a table does.

    Skipped while a network is exported, which must not depend on values.

    Raises:
        InvalidInput: an id below 0 or not below `num_ids`.
    """
    if torch.compiler.is_compiling() or not ids.numel():
        return
    least, most = (int(bound) for bound in torch.aminmax(ids))
    if least < 0 or most >= num_ids:
        raise InvalidInput(
            f"ids from {least} to {most} for a feature of {num_ids} ids, which are 0 to "
            f"{num_ids - 1}; a value not seen in training has id 0"
        )
