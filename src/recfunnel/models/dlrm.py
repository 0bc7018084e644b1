"""DLRM (Naumov et al., 2019), in RecPipe's three sizes."""

from recfunnel.core.errors import StudyError
from recfunnel.core.features import FeatureSchema
from recfunnel.core.graph import RankingGraph
from recfunnel.core.model import ModelCost
from recfunnel.core.spec import Spec
from recfunnel.models.base import ModelSpec, models
from recfunnel.models.dlrm_graph import dlrm_graph
from recfunnel.models.dlrm_network import DLRMNetwork, DLRMShape, Interaction, dlrm_shape
from recfunnel.models.embeddings.base import FLOAT_BYTES, EmbeddingSpec
from recfunnel.models.embeddings.table import Table
from recfunnel.models.layers import macs
from recfunnel.models.refusals import refuse_score_inputs
from recfunnel.models.vectors import feature_bytes, vectors_cost


@models.register
class DLRM(Spec, ModelSpec, frozen=True, tag="dlrm"):
    """Embeddings, a bottom network for the dense features, an interaction, a top network.

    Every categorical and multi-valued feature gives a vector (or several, as its representation
    says), and so does the bottom network where the schema has dense features. With the interaction
    `dot` the top network reads the bottom vector and the dots of all unordered pairs of different
    vectors (the true width, 351 + d for Criteo), with `concat` all vectors side by side (27 d).
    Both networks use ReLU, the bottom one after its last layer too; the score is a logit.

    Args:
        embedding_dim: d.
        bottom: widths of the bottom network's hidden layers.
        top: widths of the top network's hidden layers, at least one.
        without: names of features it does not read.
        embedding: representation of ids.
        interaction: of the vectors; MP-Rec's code has `concat`, DLRM's own is `dot`.
    """

    embedding_dim: int = 16
    bottom: tuple[int, ...] = (64,)
    top: tuple[int, ...] = (64,)
    without: tuple[str, ...] = ()
    embedding: EmbeddingSpec = Table()
    interaction: Interaction = "dot"

    def __post_init__(self) -> None:
        if not self.top or min(self.embedding_dim, *self.bottom, *self.top) < 1:
            raise StudyError(
                "dlrm needs at least one top layer, and every width at least 1; "
                f"got embedding_dim {self.embedding_dim}, bottom {self.bottom}, top {self.top}"
            )

    def build(self, schema: FeatureSchema, num_score_inputs: int = 0) -> DLRMNetwork:
        """A new network; it reads no other model's scores."""
        refuse_score_inputs("dlrm", num_score_inputs)
        return DLRMNetwork(self._shape(schema), schema, self.without, self.embedding)

    def graph(self, schema: FeatureSchema, num_score_inputs: int = 0) -> RankingGraph | None:
        """The network as it is split: each side's vectors and dots, then those of both."""
        refuse_score_inputs("dlrm", num_score_inputs)
        if not self.embedding.has_graph:
            return None
        return dlrm_graph(self._shape(schema), schema, self.without, self.embedding)

    def cost(self, schema: FeatureSchema, num_score_inputs: int = 0) -> ModelCost:
        """Exact work: what depends on the context once a query, the rest for each candidate."""
        refuse_score_inputs("dlrm", num_score_inputs)
        shape = self._shape(schema)
        context = vectors_cost(schema, "context", self.without, self.embedding, self.embedding_dim)
        items = vectors_cost(schema, "candidate", self.without, self.embedding, self.embedding_dim)
        query_macs, item_macs = self._macs(shape)
        return ModelCost(
            flops_per_query=2.0 * query_macs + context.flops_per_lookup,
            flops_per_item=2.0 * item_macs + items.flops_per_lookup,
            read_bytes_per_item=items.read_bytes_per_lookup
            + feature_bytes(schema, "candidate", self.without),
            parameter_bytes=FLOAT_BYTES * shape.num_dense_parameters
            + context.parameter_bytes
            + items.parameter_bytes,
            read_bytes_per_query=FLOAT_BYTES * shape.num_dense_parameters
            + context.weight_bytes
            + items.weight_bytes,
            reads_per_item=items.rows_per_lookup + 1,
            hash_operations_per_query=context.hash_operations_per_lookup,
            hash_operations_per_item=items.hash_operations_per_lookup,
        )

    def _shape(self, schema: FeatureSchema) -> DLRMShape:
        return dlrm_shape(
            schema,
            self.without,
            self.embedding,
            embedding_dim=self.embedding_dim,
            bottom=self.bottom,
            top=self.top,
            interaction=self.interaction,
        )

    def _macs(self, shape: DLRMShape) -> tuple[int, int]:
        """Multiply-adds once a query, and for each candidate."""
        d, bottom = self.embedding_dim, (*self.bottom, self.embedding_dim)
        once, each = shape.dense_context * bottom[0], shape.dense_items * bottom[0]
        if self.interaction == "dot":
            once += shape.context_pairs * d
            each += (shape.item_pairs + shape.mixed_pairs) * d
        if shape.side == "context":
            once += macs(bottom)
        elif shape.side != "none":
            each += macs(bottom)
        once += shape.top_context * self.top[0]
        each += (shape.top_items + shape.top_mixed) * self.top[0] + macs((*self.top, 1))
        return once, each


RECPIPE_SHAPES = {
    "small": DLRM(embedding_dim=4, bottom=(64,), top=(64,)),
    "medium": DLRM(embedding_dim=16, bottom=(64,), top=(64,)),
    "large": DLRM(embedding_dim=32, bottom=(512, 256, 128, 64), top=(96,)),
}
"""RecPipe's three sizes (Gupta et al., MICRO 2021), by name."""
