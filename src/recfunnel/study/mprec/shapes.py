"""MP-Rec's models as its published artifact configures them, and their exact work.

Sizes and arithmetic follow from the configuration alone, so no network is built and no framework
is needed. As in `ModelCost` a multiply-add is 2 FLOPs; biases, activations and hashes are
not counted as FLOPs, biases count as bytes.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import log, pow
from typing import Literal

from recfunnel.core.model import ModelCost
from recfunnel.data import criteo_shapes

FLOAT_BYTES = 4
HASH_BYTES = 16
"""Parameters of one hash function, as the artifact counts them."""

SHARED_PRIME = 1_000_003
"""Of every hash function of the artifact: ids equal modulo it share their codes."""

LARGEST = 5
"""Features that `select` computes: the five of most rows."""

Interaction = Literal["concat", "dot"]


@dataclass(frozen=True, slots=True)
class Network:
    """DLRM on one data set.

    Args:
        name: of the data set.
        rows: of each table, rising.
        dim: of a vector.
        bottom: widths of the bottom network, input first.
        top: widths of the top network after its input.
    """

    name: str
    rows: tuple[int, ...]
    dim: int
    bottom: tuple[int, ...]
    top: tuple[int, ...]

    @property
    def table_bytes(self) -> int:
        """One table a feature, float32."""
        return FLOAT_BYTES * self.dim * sum(self.rows)


@dataclass(frozen=True, slots=True)
class Stack:
    """A deep hash embedding of every computed feature: codes, then a small network.

    Args:
        num_codes: k, hash functions.
        hidden: widths between the codes and the vector.
    """

    num_codes: int
    hidden: tuple[int, ...] = ()

    def widths(self, dim: int) -> tuple[int, ...]:
        """From codes to vector."""
        return (self.num_codes, *self.hidden, dim)

    def num_parameters(self, dim: int) -> int:
        """Of one feature."""
        return _num_parameters(self.widths(dim))

    def flops(self, dim: int) -> float:
        """Of one id."""
        return 2.0 * _macs(self.widths(dim))

    def name(self, dim: int) -> str:
        """Short, such as `k2048-512-256-16`."""
        return "-".join(["k" + str(self.num_codes), *map(str, (*self.hidden, dim))])


@dataclass(frozen=True, slots=True)
class Representation:
    """How every id of a model becomes vectors.

    Args:
        name: for people.
        tables: vectors read from stored rows, for each feature.
        computed: features with a computed vector, the largest ones first; 26 is all.
        instead: whether a computed vector takes the place of a stored one.
        stack: of the computed vectors.
        hit_share: of the lookups of computed vectors, found in a hot store.
        hot_bytes: of that store.
        most_rows: stored of each feature; 0 stores all. The published hash gives ids that are the
            same modulo its prime one vector, so a table of that many rows holds every vector.
    """

    name: str
    tables: int
    computed: int = 0
    instead: bool = False
    stack: Stack = Stack(2048, (512, 256))
    hit_share: float = 0.0
    hot_bytes: int = 0
    most_rows: int = 0


KAGGLE = Network(
    name="Kaggle",
    rows=tuple(sorted(criteo_shapes.KAGGLE)),
    dim=16,
    bottom=(criteo_shapes.NUM_DENSE, 512, 256, 64, 16),
    top=(512, 256, 1),
)

TERABYTE = Network(
    name="Terabyte",
    rows=criteo_shapes.TERABYTE,
    dim=64,
    bottom=(criteo_shapes.NUM_DENSE, 512, 256, 64),
    top=(512, 512, 256, 1),
)

NETWORKS = (KAGGLE, TERABYTE)
NUM_FEATURES = len(KAGGLE.rows)

TABLE = Representation("table", tables=1)
DHE = Representation("dhe", tables=1, computed=NUM_FEATURES, instead=True)
SELECT = Representation("select", tables=1, computed=LARGEST, instead=True)
HYBRID = Representation("hybrid", tables=1, computed=NUM_FEATURES)
PAPER = (TABLE, DHE, SELECT, HYBRID)
"""The paper's four, with the stack whose size reproduces its 126 MB."""

DHE_STORED = Representation("dhe, stored", tables=1)
HYBRID_STORED = Representation("hybrid, stored", tables=2)
DHE_DISTINCT = Representation("dhe, distinct stored", tables=1, most_rows=SHARED_PRIME)
STORED = (DHE_STORED, DHE_DISTINCT, HYBRID_STORED)
"""Trained computed, served from tables made once: the same vectors."""


@cache
def cost(
    network: Network, representation: Representation, interaction: Interaction = "concat"
) -> ModelCost:
    """Exact work of a model, everything paid for each candidate.

    Args:
        network: dense part and tables.
        representation: of the ids.
        interaction: the artifact's is concat, upstream DLRM's is dot.
    """
    lookups = representation.computed * (1 - representation.hit_share)
    stack, dim = representation.stack, network.dim
    stored = _stored_rows(network, representation)
    num_reads = _stored_vectors(representation) + representation.computed * representation.hit_share
    weights = FLOAT_BYTES * (
        _dense_parameters(network, representation, interaction)
        + representation.computed * stack.num_parameters(dim)
    )
    row_bytes = FLOAT_BYTES * dim
    return ModelCost(
        flops_per_query=0.0,
        flops_per_item=dense_flops(network, representation, interaction)
        + lookups * stack.flops(dim),
        read_bytes_per_item=num_reads * row_bytes,
        parameter_bytes=weights
        + HASH_BYTES * representation.computed * stack.num_codes
        + row_bytes * stored
        + representation.hot_bytes,
        read_bytes_per_query=float(weights),
        reads_per_item=num_reads,
    )


def dense_flops(
    network: Network, representation: Representation, interaction: Interaction = "concat"
) -> float:
    """FLOPs a candidate of everything but the embeddings.

    With dot the whole matrix of products counts, as the artifact multiplies it out.
    """
    top = (_top_input(network, representation, interaction), *network.top)
    dots = (num_vectors(representation) + 1) ** 2 if interaction == "dot" else 0
    return 2.0 * (_macs(network.bottom) + _macs(top) + dots * network.dim)


def num_codes_per_item(representation: Representation) -> float:
    """Hash functions evaluated for a candidate."""
    misses = representation.computed * (1 - representation.hit_share)
    return misses * representation.stack.num_codes


def hot_store(
    network: Network, representation: Representation, rows: int, exponent: float
) -> Representation:
    """The representation with the hottest rows of each computed feature kept, exactly.

    Args:
        network: cardinalities.
        representation: with computed features.
        rows: kept for each of them, at most all.
        exponent: of the Zipf law that ids follow.
    """
    computed = network.rows[len(network.rows) - representation.computed :]
    kept = [min(rows, have) for have in computed]
    shares = [
        _zipf_mass(keep, exponent) / _zipf_mass(have, exponent)
        for keep, have in zip(kept, computed, strict=True)
    ]
    num_bytes = FLOAT_BYTES * network.dim * sum(kept)
    return Representation(
        name=f"{representation.name}, {num_bytes / 1e6:.3g} MB hot",
        tables=representation.tables,
        computed=representation.computed,
        instead=representation.instead,
        stack=representation.stack,
        hit_share=sum(shares) / len(shares),
        hot_bytes=num_bytes,
    )


def _zipf_mass(rows: int, exponent: float) -> float:
    """Sum of rank^-exponent, by the trapezium rule past the first ranks."""
    first = min(rows, 1000)
    head = sum(pow(rank, -exponent) for rank in range(1, first + 1))
    if rows == first:
        return head
    if exponent == 1:
        return head + log(rows / first)
    power = 1 - exponent
    tail = (pow(rows, power) - pow(first, power)) / power
    return head + tail + (pow(rows, -exponent) - pow(first, -exponent)) / 2


def _stored_vectors(representation: Representation) -> int:
    replaced = representation.computed if representation.instead else 0
    return NUM_FEATURES * representation.tables - replaced


def _stored_rows(network: Network, representation: Representation) -> int:
    replaced = representation.computed if representation.instead else 0
    most = representation.most_rows or max(network.rows)
    kept = [min(rows, most) for rows in network.rows[: len(network.rows) - replaced]]
    return sum(kept) + (representation.tables - 1) * sum(network.rows)


def num_vectors(representation: Representation) -> int:
    """Vectors of ids that the interaction reads."""
    added = 0 if representation.instead else representation.computed
    return NUM_FEATURES * representation.tables + added


def _num_pairs(representation: Representation) -> int:
    vectors = num_vectors(representation) + 1
    return vectors * (vectors - 1) // 2


def _top_input(network: Network, representation: Representation, interaction: Interaction) -> int:
    if interaction == "dot":
        return _num_pairs(representation) + network.dim
    return (num_vectors(representation) + 1) * network.dim


def _dense_parameters(
    network: Network, representation: Representation, interaction: Interaction
) -> int:
    top = (_top_input(network, representation, interaction), *network.top)
    return _num_parameters(network.bottom) + _num_parameters(top)


def _macs(widths: tuple[int, ...]) -> int:
    return sum(before * after for before, after in pairwise(widths))


def _num_parameters(widths: tuple[int, ...]) -> int:
    return sum(before * after + after for before, after in pairwise(widths))
