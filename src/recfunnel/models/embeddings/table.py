"""One stored vector an id: the representation every other is compared with."""

from math import sqrt

import torch
from torch import nn

from recfunnel.core.features import Feature
from recfunnel.core.graph import Norm
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.spec import Spec
from recfunnel.models.embeddings.base import (
    FLOAT_BYTES,
    EmbeddingCost,
    EmbeddingSpec,
    add_rows,
    embeddings,
)


def drawn_table(num_rows: int, dim: int) -> nn.Embedding:
    """A (num_rows, dim) table, drawn uniformly from ±1/√num_rows."""
    bound = 1 / sqrt(num_rows)
    weight = torch.empty(num_rows, dim).uniform_(-bound, bound)
    return nn.Embedding(num_rows, dim, _weight=weight)


@embeddings.register
class Table(Spec, EmbeddingSpec, frozen=True, tag="table"):
    """A (cardinality, dim) float32 table.

    Drawn uniformly from ±1/√cardinality, as DLRM does. The module is `torch.nn.Embedding`; a
    trainer that wants sparse gradients sets its `sparse` attribute.
    """

    def build(self, feature: Feature, dim: int) -> nn.Module:
        """The table of one feature."""
        return drawn_table(feature.cardinality, dim)

    def cost(self, feature: Feature, dim: int) -> EmbeddingCost:
        """One row read, nothing computed."""
        return EmbeddingCost(
            flops_per_lookup=0.0,
            read_bytes_per_lookup=float(FLOAT_BYTES * dim),
            parameter_bytes=FLOAT_BYTES * dim * feature.cardinality,
            rows_per_lookup=1.0,
        )

    @property
    def has_graph(self) -> bool:
        """A graph's lookups and pools are of tables."""
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
    ) -> tuple[int]:
        """One lookup, or one pool."""
        del dim  # the table tells
        return add_rows(graph, feature, column, f"{name}.weight", norm)
