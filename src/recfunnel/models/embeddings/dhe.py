"""Deep hash embeddings: vectors computed from many hashes of an id by a small network.

Letters: n ids, k codes, d dimensions.
"""

from itertools import pairwise
from math import sqrt
from typing import Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from recfunnel.core.codes import Codes, MultiplyShift, PrimeModulus
from recfunnel.core.computed import Activation, BatchNorm, Decoded, DecoderLayer
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature
from recfunnel.core.graph import Norm
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.hashing import MASK
from recfunnel.core.seeds import seed_for
from recfunnel.core.spec import Spec, Value
from recfunnel.models.embeddings.base import (
    FLOAT_BYTES,
    EmbeddingCost,
    EmbeddingSpec,
    add_rows,
    check_ids,
    embeddings,
)
from recfunnel.models.embeddings.batch_norm import BatchNorm as BatchNormModule
from recfunnel.models.embeddings.codes import MIX_OPERATIONS, CodeValues

Paper = Literal["kdd21", "mprec"]


class Decoder(Value, frozen=True):
    """The network of a deep hash embedding: layers on the codes, the last giving the vector.

    Args:
        hidden: widths of the hidden layers; none for a single layer.
        activation: of hidden layers.
        output: of the last layer.
        batch_norm: between each hidden layer and its activation.
    """

    hidden: tuple[int, ...] = (512, 256)
    activation: Literal["relu", "mish"] = "relu"
    output: Literal["none", "sigmoid", "mish"] = "none"
    batch_norm: bool = False

    def __post_init__(self) -> None:
        if self.hidden and min(self.hidden) < 1:
            raise StudyError(f"dhe: hidden widths are {self.hidden}, each must be at least 1")


DECODERS: dict[Paper, Decoder] = {
    "kdd21": Decoder(hidden=(1800,) * 5, activation="mish", batch_norm=True),
    "mprec": Decoder(hidden=(512, 256), activation="relu", output="sigmoid"),
}
"""As the papers have them: Kang et al. (KDD 2021), and the code of Hsia et al. (MP-Rec, ASPLOS
2023), whose batch norm, off by default, would follow the last activation."""

CODES: dict[Paper, Codes] = {
    "kdd21": PrimeModulus(num_codes=1024, prime="random"),
    "mprec": PrimeModulus(num_codes=2048, prime="shared"),
}
"""As the papers have them."""


@embeddings.register
class DHE(Spec, EmbeddingSpec, frozen=True, tag="dhe"):
    """One decoder a feature on the codes of its ids: no row is stored.

    Codes of different features come from different functions. Weights and biases are drawn normal,
    with deviations √(2 / (inputs + outputs)) and √(1 / outputs), as in MP-Rec's code.

    Args:
        codes: hash functions of an id; `kdd21` and `mprec` are the papers' own, the second with the
            one prime by which ids 1,000,003 apart are the same. The default is 1,024 codes of 8
            bits by 32-bit arithmetic.
        decoder: the network; `kdd21` and `mprec` are the papers' own.
    """

    codes: MultiplyShift | PrimeModulus | Paper = MultiplyShift(num_codes=1024)
    decoder: Decoder | Paper = Decoder()

    def build(self, feature: Feature, dim: int) -> nn.Module:
        """The decoder of one feature."""
        return DecoderNetwork(self._codes(feature), self._decoder, feature.cardinality, dim)

    def cost(self, feature: Feature, dim: int) -> EmbeddingCost:
        """The layers of one decoder; weights are read once for many ids and do not count.

        Hashing a code counts as 3 integer operations (product, sum, shift) and one id's mixing, or
        4 for the published functions (product, sum, two remainders); a function keeps 8 bytes, or
        two 64-bit numbers.
        """
        codes, widths = self._codes(feature), self._widths(dim)
        weights = sum(i * o for i, o in pairwise(widths))
        norms = 4 * sum(widths[1:-1]) if self._decoder.batch_norm else 0
        shift = isinstance(codes, MultiplyShift)
        operations = MIX_OPERATIONS + 3 * codes.num_codes if shift else 4 * codes.num_codes
        parameter_bytes = FLOAT_BYTES * (weights + sum(widths[1:]) + norms)
        return EmbeddingCost(
            flops_per_lookup=2.0 * weights,
            read_bytes_per_lookup=0.0,
            parameter_bytes=parameter_bytes,
            weight_bytes=parameter_bytes,
            hash_operations_per_lookup=float(operations),
            hash_bytes=(8 if shift else 16) * codes.num_codes,
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
        """A lookup or pool of decoded rows."""
        num_hidden = len(self._decoder.hidden)
        table = Decoded(
            name=name,
            num_ids=feature.cardinality,
            dim=dim,
            codes=self._codes(feature),
            layers=tuple(self._layer(name, number) for number in range(num_hidden + 1)),
        )
        return add_rows(graph, feature, column, graph.compute(table), norm)

    @property
    def _decoder(self) -> Decoder:
        return DECODERS[self.decoder] if isinstance(self.decoder, str) else self.decoder

    def _codes(self, feature: Feature) -> Codes:
        """The family of one feature."""
        codes = CODES[self.codes] if isinstance(self.codes, str) else self.codes
        seed = seed_for(codes.seed, "dhe", feature.id_space) & MASK
        return msgspec.structs.replace(codes, seed=seed)

    def _widths(self, dim: int) -> tuple[int, ...]:
        codes = CODES[self.codes] if isinstance(self.codes, str) else self.codes
        return (codes.num_codes, *self._decoder.hidden, dim)

    def _layer(self, name: str, number: int) -> DecoderLayer:
        last = number == len(self._decoder.hidden)
        activation: Activation = self._decoder.output if last else self._decoder.activation
        norm = f"{name}.norms.{number}"
        named = BatchNorm(
            mean=f"{norm}.running_mean",
            variance=f"{norm}.running_variance",
            weight=f"{norm}.weight",
            bias=f"{norm}.bias",
        )
        return DecoderLayer(
            weight=f"{name}.layers.{number}.weight",
            bias=f"{name}.layers.{number}.bias",
            norm=named if self._decoder.batch_norm and not last else None,
            activation=activation,
        )


class DecoderNetwork(nn.Module):
    """The network of `DHE`.

    Every different id of a call is decoded once.

    Args:
        codes: of an id.
        decoder: the shape.
        num_ids: of the feature.
        dim: d.
    """

    def __init__(self, codes: Codes, decoder: Decoder, num_ids: int, dim: int) -> None:
        super().__init__()
        self.num_ids, self._decoder = num_ids, decoder
        self.encoder = CodeValues(codes)
        widths = (codes.num_codes, *decoder.hidden, dim)
        self.layers = nn.ModuleList(_drawn_layer(i, o) for i, o in pairwise(widths))
        hidden = decoder.hidden if decoder.batch_norm else ()
        self.norms = nn.ModuleList(BatchNormModule(width) for width in hidden)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (..., d) of ids (...)."""
        check_ids(ids, self.num_ids)
        if torch.compiler.is_compiling():  # how many ids differ must not shape an exported network
            flat = ids.flatten()
            vectors = self._decoded(flat, torch.ones_like(flat))
            return vectors.view(*ids.shape, vectors.shape[1])
        distinct, place, counts = torch.unique(ids, return_inverse=True, return_counts=True)
        vectors = self._decoded(distinct, counts).index_select(0, place.flatten())
        return vectors.view(*ids.shape, vectors.shape[1])

    def _decoded(self, ids: Tensor, counts: Tensor) -> Tensor:
        """(n, d) of ids (n,), which occur `counts` (n,) times each."""
        x: Tensor = self.encoder(ids)
        for number, layer in enumerate(self.layers[:-1]):
            x = layer(x)
            x = self.norms[number](x, counts) if self.norms else x
            x = functional.mish(x) if self._decoder.activation == "mish" else functional.relu(x)
        x = self.layers[-1](x)
        match self._decoder.output:
            case "sigmoid":
                return torch.sigmoid(x)
            case "mish":
                return functional.mish(x)
            case "none":
                return x


def _drawn_layer(num_inputs: int, num_outputs: int) -> nn.Linear:
    layer = nn.Linear(num_inputs, num_outputs)
    nn.init.normal_(layer.weight, std=sqrt(2 / (num_inputs + num_outputs)))
    nn.init.normal_(layer.bias, std=sqrt(1 / num_outputs))
    return layer
