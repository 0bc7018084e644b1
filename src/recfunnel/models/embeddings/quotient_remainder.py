"""Quotient and remainder: two short tables whose combined rows tell all ids apart."""

from math import sqrt

import torch
from torch import Tensor, nn

from recfunnel.core.computed import Combination, QuotientRemainder
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature
from recfunnel.core.graph import Norm
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.spec import Spec
from recfunnel.models.embeddings.base import (
    FLOAT_BYTES,
    EmbeddingCost,
    EmbeddingSpec,
    add_rows,
    check_ids,
    embeddings,
)
from recfunnel.models.embeddings.table import Table, drawn_table


@embeddings.register
class QuotientRemainderTables(Spec, EmbeddingSpec, frozen=True, tag="quotient_remainder"):
    """Row id // R of a long table combined with row id mod R of a short one.

    Features of fewer than `min_ids` ids keep a table of their own. The long table is drawn as a
    table of all ids would be; the short one around 1 for products, so that a row begins near its
    quotient's, and like the long one for sums. Source: H.-J. M. Shi et al., Compositional
    embeddings using complementary partitions, KDD 2020; their code draws both from 1/√ids to 1.

    Args:
        num_remainders: R, how many ids share a row of the long table.
        combine: how, column by column.
        min_ids: 1 or more.
    """

    num_remainders: int = 4
    combine: Combination = "multiply"
    min_ids: int = 200

    def __post_init__(self) -> None:
        if self.num_remainders < 2 or self.min_ids < 1:
            raise StudyError(
                "quotient_remainder: num_remainders must be at least 2 and min_ids at least 1; "
                f"got {self.num_remainders} and {self.min_ids}"
            )

    def build(self, feature: Feature, dim: int) -> nn.Module:
        """Both tables of one feature, or its own."""
        if self._is_table(feature):
            return Table().build(feature, dim)
        return TwoTables(feature.cardinality, self.num_remainders, dim, self.combine)

    def cost(self, feature: Feature, dim: int) -> EmbeddingCost:
        """Two rows read and combined."""
        if self._is_table(feature):
            return Table().cost(feature, dim)
        num_rows = num_quotients(feature.cardinality, self.num_remainders) + self.num_remainders
        return EmbeddingCost(
            flops_per_lookup=float(dim),
            read_bytes_per_lookup=2.0 * FLOAT_BYTES * dim,
            parameter_bytes=FLOAT_BYTES * dim * num_rows,
            rows_per_lookup=2.0,
            hash_operations_per_lookup=2.0,
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
        """A lookup or pool of combined rows."""
        if self._is_table(feature):
            return Table().add_to(graph, feature, column, name, dim=dim, norm=norm)
        table = QuotientRemainder(
            name=name,
            num_ids=feature.cardinality,
            dim=dim,
            quotient=f"{name}.quotient.weight",
            remainder=f"{name}.remainder.weight",
            num_remainders=self.num_remainders,
            combine=self.combine,
        )
        return add_rows(graph, feature, column, graph.compute(table), norm)

    def _is_table(self, feature: Feature) -> bool:
        return feature.cardinality < self.min_ids


def num_quotients(num_ids: int, num_remainders: int) -> int:
    """Rows of the long table: ids over remainders, rounded up."""
    return -(-num_ids // num_remainders)


class TwoTables(nn.Module):
    """The tables of `QuotientRemainderTables`, as `quotient` and `remainder`.

    Args:
        num_ids: of the feature.
        num_remainders: R.
        dim: length of a vector.
        combine: how.
    """

    def __init__(self, num_ids: int, num_remainders: int, dim: int, combine: Combination) -> None:
        super().__init__()
        self.num_ids, self.num_remainders, self.combine = num_ids, num_remainders, combine
        self.quotient = drawn_table(num_quotients(num_ids, num_remainders), dim)
        self.remainder = drawn_table(num_remainders, dim)
        bound, centre = 1 / sqrt(num_ids), 1.0 if combine == "multiply" else 0.0
        with torch.no_grad():
            self.quotient.weight.uniform_(-bound, bound)
            self.remainder.weight.uniform_(centre - bound, centre + bound)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (..., dim) of ids (...)."""
        check_ids(ids, self.num_ids)
        high: Tensor = self.quotient(ids // self.num_remainders)
        low: Tensor = self.remainder(ids % self.num_remainders)
        return high * low if self.combine == "multiply" else high + low
