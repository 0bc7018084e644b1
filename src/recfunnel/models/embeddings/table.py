"""One stored vector an id: the representation every other is compared with."""

from math import sqrt

import torch
from torch import nn

from recfunnel.core.features import Feature
from recfunnel.core.graph import Lookup, Norm, Pool
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.spec import Spec
from recfunnel.models.embeddings.base import EmbeddingCost, EmbeddingSpec, embeddings

FLOAT_BYTES = 4


@embeddings.register
class Table(Spec, EmbeddingSpec, frozen=True, tag="table"):
    """A (cardinality, dim) float32 table.

    Drawn uniformly from ±1/√cardinality, as DLRM does. The module is `torch.nn.Embedding`; a
    trainer that wants sparse gradients sets its `sparse` attribute.
    """

    def build(self, feature: Feature, dim: int) -> nn.Module:
        """The table of one feature."""
        bound = 1 / sqrt(feature.cardinality)
        weight = torch.empty(feature.cardinality, dim).uniform_(-bound, bound)
        return nn.Embedding(feature.cardinality, dim, _weight=weight)

    def cost(self, feature: Feature, dim: int) -> EmbeddingCost:
        """One row read, nothing computed."""
        return EmbeddingCost(
            flops_per_lookup=0.0,
            read_bytes_per_lookup=float(FLOAT_BYTES * dim),
            parameter_bytes=FLOAT_BYTES * dim * feature.cardinality,
        )

    @property
    def has_graph(self) -> bool:
        """A graph's lookups and pools are of tables."""
        return True

    def add_to(
        self, graph: GraphBuilder, feature: Feature, column: int, name: str, *, norm: Norm = "mean"
    ) -> int:
        """One lookup, or one pool."""
        side, table = feature.side, f"{name}.weight"
        if feature.kind == "multi_valued":
            return graph.add(Pool(side=side, column=column, table=table, norm=norm))
        return graph.add(Lookup(side=side, column=column, table=table))
