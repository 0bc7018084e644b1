"""The hash trick: ids share the rows of a table that has fewer."""

import torch
from torch import Tensor, nn

from recfunnel.core.computed import HashedRows
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature
from recfunnel.core.graph import Norm
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.hashing import MASK, mixed_seed
from recfunnel.core.seeds import seed_for
from recfunnel.core.spec import Spec
from recfunnel.models.embeddings.base import (
    FLOAT_BYTES,
    EmbeddingCost,
    EmbeddingSpec,
    add_rows,
    check_ids,
    embeddings,
)
from recfunnel.models.embeddings.codes import MIX_OPERATIONS, mixed_ids
from recfunnel.models.embeddings.table import Table, drawn_table


@embeddings.register
class Hashed(Spec, EmbeddingSpec, frozen=True, tag="hashed"):
    """A table of `num_rows` rows; each id reads the row its hash names.

    Features with no more ids than rows keep a table of their own. Source: K. Weinberger et al.,
    Feature hashing for large scale multitask learning, 2009.

    Args:
        num_rows: at least 1.
        seed: of the hash; every feature is hashed by its own.
    """

    num_rows: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_rows < 1:
            raise StudyError(f"hashed: num_rows is {self.num_rows}, must be at least 1")

    def build(self, feature: Feature, dim: int) -> nn.Module:
        """The shared table of one feature, or its own."""
        if self._is_table(feature):
            return Table().build(feature, dim)
        return HashedTable(feature.cardinality, self.num_rows, dim, self._seed(feature))

    def cost(self, feature: Feature, dim: int) -> EmbeddingCost:
        """One row read; the id is mixed and scaled."""
        if self._is_table(feature):
            return Table().cost(feature, dim)
        return EmbeddingCost(
            flops_per_lookup=0.0,
            read_bytes_per_lookup=float(FLOAT_BYTES * dim),
            parameter_bytes=FLOAT_BYTES * dim * self.num_rows,
            rows_per_lookup=1.0,
            hash_operations_per_lookup=MIX_OPERATIONS + 2.0,
        )

    @property
    def has_graph(self) -> bool:
        """A computed table of a graph."""
        return True

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
        """A lookup or pool of hashed rows."""
        if self._is_table(feature):
            return Table().add_to(graph, feature, column, name, dim=dim, norm=norm)
        table = HashedRows(
            name=name,
            num_ids=feature.cardinality,
            dim=dim,
            table=f"{name}.rows.weight",
            seed=self._seed(feature),
        )
        return add_rows(graph, feature, column, graph.compute(table), norm)

    def _is_table(self, feature: Feature) -> bool:
        return feature.cardinality <= self.num_rows

    def _seed(self, feature: Feature) -> int:
        return seed_for(self.seed, "hashed", feature.id_space) & MASK


class HashedTable(nn.Module):
    """The table of `Hashed`, as `rows`.

    Args:
        num_ids: of the feature.
        num_rows: of the table.
        dim: length of a vector.
        seed: of the hash.
    """

    def __init__(self, num_ids: int, num_rows: int, dim: int, seed: int) -> None:
        super().__init__()
        self.num_ids, self._seed = num_ids, mixed_seed(seed)
        self.rows = drawn_table(num_rows, dim)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (..., dim) of ids (...)."""
        check_ids(ids, self.num_ids)
        words = mixed_ids(ids, self._seed).to(torch.int64) & MASK
        vectors: Tensor = self.rows((words * self.rows.num_embeddings) >> 32)
        return vectors
