"""Tables of a graph that are not stored: each row is computed from its id.

Where a graph's `Lookup`, `Pool` or `RowSum` names a table, the name is a parameter's or that of one
of the graph's computed tables. Parameters that a computed table reads are named as in the network's
`state_dict`.

Letters: d dimensions of a row, k codes of an id, N outputs and K inputs of a layer.
"""

from typing import Literal

import msgspec

from recfunnel.core.codes import Codes
from recfunnel.core.errors import ModelError

Activation = Literal["none", "relu", "mish", "sigmoid"]
Combination = Literal["multiply", "add"]


class ComputedTable(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """What all computed tables have; a lookup sees no difference to a stored one.

    Args:
        name: by which nodes name it; no parameter's and no other computed table's.
        num_ids: ids are 0 to num_ids - 1; any other is an error, as in a stored table.
        dim: d, length of a row.
    """

    name: str
    num_ids: int
    dim: int

    def __post_init__(self) -> None:
        if not self.name or self.num_ids < 1 or self.dim < 1:
            raise ModelError(
                "a computed table needs a name, at least one id and one dimension; got "
                f"{self.name!r}, {self.num_ids} and {self.dim}"
            )


class BatchNorm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """(x - mean) / √(variance + epsilon) · weight + bias, column by column.

    Args:
        mean: parameter (N,).
        variance: parameter (N,).
        weight: parameter (N,).
        bias: parameter (N,).
        epsilon: added to the variance.
    """

    mean: str
    variance: str
    weight: str
    bias: str
    epsilon: float = 1e-5


class DecoderLayer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """activation(norm(x · weightᵀ + bias)).

    Mish is x · tanh(ln(1 + eˣ)).

    Args:
        weight: parameter (N, K).
        bias: parameter (N,).
        norm: between the layer and its activation; None for none.
        activation: of each output.
    """

    weight: str
    bias: str
    norm: BatchNorm | None = None
    activation: Activation = "none"

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters it reads."""
        norm = self.norm
        own = () if norm is None else (norm.mean, norm.variance, norm.weight, norm.bias)
        return (self.weight, self.bias, *own)


class Decoded(ComputedTable, frozen=True, tag="decoded"):
    """A deep hash embedding: a small network applied to the codes of an id.

    Args:
        codes: of an id; k is the first layer's number of inputs.
        layers: at least one; the last has d outputs.
    """

    codes: Codes
    layers: tuple[DecoderLayer, ...]

    def __post_init__(self) -> None:
        ComputedTable.__post_init__(self)
        if not self.layers:
            raise ModelError(f"computed table {self.name!r} has no layer; it needs at least one")

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters it reads."""
        return tuple(name for layer in self.layers for name in layer.parameter_names)


class HashedRows(ComputedTable, frozen=True, tag="hashed_rows"):
    """The hash trick: row `buckets(id)` of a table with fewer rows than ids.

    The bucket is ⌊mix(id ^ s) · rows / 2^32⌋ with s the mixed seed, see `core.hashing.buckets`.

    Args:
        table: parameter (rows, d).
        seed: of the hash.
    """

    table: str
    seed: int = 0

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters it reads."""
        return (self.table,)


class QuotientRemainder(ComputedTable, frozen=True, tag="quotient_remainder"):
    """Row id // R of one table combined with row id mod R of another: no two ids are alike.

    Args:
        quotient: parameter (at least ⌈num_ids / R⌉, d).
        remainder: parameter (R, d).
        num_remainders: R.
        combine: how, column by column.
    """

    quotient: str
    remainder: str
    num_remainders: int
    combine: Combination = "multiply"

    def __post_init__(self) -> None:
        ComputedTable.__post_init__(self)
        if self.num_remainders < 1:
            raise ModelError(
                f"computed table {self.name!r} has {self.num_remainders} remainders, needs 1"
            )

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters it reads."""
        return (self.quotient, self.remainder)


AnyComputed = Decoded | HashedRows | QuotientRemainder
