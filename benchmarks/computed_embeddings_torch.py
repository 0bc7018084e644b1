"""The plain PyTorch implementation that deep hash embeddings are measured against.

A decoder a feature, run one after the other, as MP-Rec's artifact does: codes ((a x + b) mod p) mod
m in 64-bit integers, one float32 matrix of them, three layers. For fairness it is timed with our
hash as well, and with each id decoded once. Letters: B candidates, F features, k codes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recfunnel.bench.interleave import Call
from recfunnel.bench.model import BenchModel
from recfunnel.bench.queries import Workload
from recfunnel.core.codes import MultiplyShift, PrimeModulus
from recfunnel.core.computed import Decoded
from recfunnel.core.hashing import MASK, mixed_seed

NAMES = ("torch, published hash", "torch, our hash", "torch, our hash, each id once")
MOST_QUERIES = 64
"""Written out as tensors before the clock starts."""


class PlainDHE:
    """A DLRM whose embeddings are decoded with PyTorch.

    Args:
        model: networks.
        tables: decoders, one a feature.
        parameters: of the decoders.
    """

    def __init__(
        self,
        model: BenchModel,
        tables: Sequence[Any],
        parameters: dict[str, NDArray[Any]],
    ) -> None:
        self.bottom, self.top = (
            [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in model.layers(part)]
            for part in ("bottom", "top")
        )
        self.tables: tuple[Decoded, ...] = tuple(tables)
        self.decoders = [
            [
                (torch.from_numpy(parameters[x.weight]), torch.from_numpy(parameters[x.bias]))
                for x in table.layers
            ]
            for table in self.tables
        ]
        k = self.tables[0].codes.num_codes
        published = PrimeModulus(num_codes=k, prime="shared")
        self.published = [torch.from_numpy(each.copy()) for each in published.coefficients()]
        self.ours = [_coefficients(table.codes) for table in self.tables]
        self.low = torch.tril_indices(len(tables) + 1, len(tables) + 1, -1)

    def calls(self, workload: Workload) -> Iterator[tuple[str, Call]]:
        """Each way, on queries that are tensors already."""
        given = [tensors(workload, row) for row in range(min(MOST_QUERIES, workload.num_queries))]
        for name in NAMES:
            ours, dedup = name != NAMES[0], name == NAMES[2]

            def call(number: int, ours: bool = ours, dedup: bool = dedup) -> Tensor:
                return self.run(*given[number % len(given)], ours=ours, dedup=dedup)

            yield name, call

    def scores(self, workload: Workload, row: int, *, dedup: bool) -> NDArray[np.float32]:
        """(1, B), scores of a query with our hash."""
        found: NDArray[np.float32] = self.run(
            *tensors(workload, row), ours=True, dedup=dedup
        ).numpy()
        return found[None]

    @torch.inference_mode()
    def run(self, dense: Tensor, ids: Tensor, *, ours: bool, dedup: bool) -> Tensor:
        """(B,), scores of B candidates with ids (F, B)."""
        x = _network(self.bottom, dense, ends_with_relu=True)
        vectors = [x]
        for feature, own in enumerate(ids):
            if dedup:
                different, place = torch.unique(own, return_inverse=True)
                vectors.append(self.decoded(feature, different, ours=ours)[place])
            else:
                vectors.append(self.decoded(feature, own, ours=ours))
        stacked = torch.stack(vectors, 1)
        dots = torch.bmm(stacked, stacked.transpose(1, 2))[:, self.low[0], self.low[1]]
        return _network(self.top, torch.cat([x, dots], 1), ends_with_relu=False)[:, 0]

    def decoded(self, feature: int, ids: Tensor, *, ours: bool) -> Tensor:
        """Rows of ids of one feature."""
        if ours:
            a, b, seed, shift = self.ours[feature]
            codes, most = (a * _mixed(ids ^ seed)[:, None] + b & MASK) >> shift, 255
        else:
            a, b, p = self.published
            most = 999_999
            codes = (a * ids[:, None] + b) % p % (most + 1)
        x = codes.float() * (2 / most) - 1
        return torch.sigmoid(_network(self.decoders[feature], x, ends_with_relu=False))


def tensors(workload: Workload, row: int) -> tuple[Tensor, Tensor]:
    """Numbers (B, 13) and ids (F, B) of a query."""
    items = workload.items.take(workload.candidates[row])
    return torch.from_numpy(items.dense), torch.from_numpy(items.categorical.T.copy())


def _network(layers: list[tuple[Tensor, Tensor]], x: Tensor, *, ends_with_relu: bool) -> Tensor:
    for number, (weight, bias) in enumerate(layers):
        x = functional.linear(x, weight, bias)
        if ends_with_relu or number < len(layers) - 1:
            x = torch.relu(x)
    return x


def _coefficients(codes: Any) -> tuple[Tensor, Tensor, int, int]:
    assert isinstance(codes, MultiplyShift)
    a, b = (torch.from_numpy(each.astype(np.int64)) for each in codes.coefficients())
    return a, b, mixed_seed(codes.seed), 32 - codes.num_bits


def _mixed(x: Tensor) -> Tensor:
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & MASK
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & MASK
    return x ^ (x >> 16)
