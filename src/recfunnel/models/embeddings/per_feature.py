"""Another representation for each feature: by name, or by how many ids it has."""

import difflib
from abc import abstractmethod

from torch import nn

from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.core.graph import Norm
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.spec import Spec, to_builtins
from recfunnel.core.storage import content_hash
from recfunnel.models.embeddings.base import EmbeddingCost, EmbeddingSpec, embeddings
from recfunnel.models.embeddings.dhe import DHE
from recfunnel.models.embeddings.table import Table


class Chosen(EmbeddingSpec):
    """Role of a representation that hands each feature to another one."""

    __slots__ = ()

    @abstractmethod
    def chosen(self, feature: Feature, dim: int) -> EmbeddingSpec:
        """The representation of one feature."""

    def build(self, feature: Feature, dim: int) -> nn.Module:
        """The module of the feature's representation."""
        return self.chosen(feature, dim).build(feature, dim)

    def cost(self, feature: Feature, dim: int) -> EmbeddingCost:
        """The cost of the feature's representation."""
        return self.chosen(feature, dim).cost(feature, dim)

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
        """The vectors of the feature's representation."""
        spec = self.chosen(feature, dim)
        return spec.add_to(graph, feature, column, name, dim=dim, norm=norm)


@embeddings.register
class PerFeature(Spec, Chosen, frozen=True, tag="per_feature"):
    """Representations by the names of features.

    Args:
        default: of features that are not named.
        of: of those that are, by name.
    """

    default: EmbeddingSpec = Table()
    of: dict[str, EmbeddingSpec] = {}  # noqa: RUF012 - msgspec copies the default

    def __hash__(self) -> int:
        return hash(content_hash(to_builtins(self)))

    def chosen(self, feature: Feature, dim: int) -> EmbeddingSpec:
        """That of its name."""
        del dim
        return self.of.get(feature.name, self.default)

    def num_vectors(self, feature: Feature) -> int:
        """Those of the feature's representation."""
        return self.of.get(feature.name, self.default).num_vectors(feature)

    def check(self, schema: FeatureSchema) -> None:
        """Every name is that of a feature with ids.

        Raises:
            StudyError: one is not.
        """
        known = [feature.name for feature in schema.features if feature.kind != "dense"]
        for name in self.of:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
                raise StudyError(f"per_feature: no feature with ids is named {name!r}; {hint}")
        for spec in (self.default, *self.of.values()):
            spec.check(schema)

    @property
    def has_graph(self) -> bool:
        """Whether all have."""
        return all(spec.has_graph for spec in (self.default, *self.of.values()))


@embeddings.register
class BySize(Spec, Chosen, frozen=True, tag="by_size"):
    """One representation for features with few ids, another for those with many.

    MP-Rec's *select* is a deep hash embedding for the five largest features; its code picks them by
    position, which is right for sizes in ascending order alone.

    Args:
        small: of features with few ids.
        large: of features with many; as many vectors an id as `small`.
        min_ids: from so many on a feature is large; 0 for wherever `large` takes fewer bytes.
    """

    small: EmbeddingSpec = Table()
    large: EmbeddingSpec = DHE()
    min_ids: int = 0

    def __post_init__(self) -> None:
        if self.min_ids < 0:
            raise StudyError(f"by_size: min_ids is {self.min_ids}, must not be below 0")

    def chosen(self, feature: Feature, dim: int) -> EmbeddingSpec:
        """By the number of ids, or by bytes."""
        if self.min_ids:
            return self.large if feature.cardinality >= self.min_ids else self.small
        sizes = [spec.cost(feature, dim).parameter_bytes for spec in (self.small, self.large)]
        return self.large if sizes[1] < sizes[0] else self.small

    def num_vectors(self, feature: Feature) -> int:
        """Those of both.

        Raises:
            StudyError: they have different numbers.
        """
        counts = self.small.num_vectors(feature), self.large.num_vectors(feature)
        if counts[0] != counts[1]:
            raise StudyError(
                f"by_size: small gives {counts[0]} vectors an id and large {counts[1]}; they must "
                "agree, or name the features in per_feature"
            )
        return counts[0]

    def check(self, schema: FeatureSchema) -> None:
        """Hold both against a schema."""
        self.small.check(schema)
        self.large.check(schema)

    @property
    def has_graph(self) -> bool:
        """Whether both have."""
        return self.small.has_graph and self.large.has_graph
