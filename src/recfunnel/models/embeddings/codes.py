"""Codes of ids in torch: the same integers as `core.codes`, on any device.

Words of 32 bits are int32 tensors, whose sums and products wrap around as unsigned ones do.

Letters: n ids, k codes.
"""

import numpy as np
import torch
from torch import Tensor, nn

from recfunnel.core.codes import Codes, MultiplyShift, PrimeModulus
from recfunnel.core.hashing import mixed_seed

MIX_OPERATIONS = 9
"""Integer operations of mixing one id: three shifts, four exclusive ors, two products."""


IDS_AT_ONCE = 128
"""Ids whose codes are made at once on a CPU: fresh pages for the steps between would cost more than
the arithmetic does."""


class CodeValues(nn.Module):
    """What the codes of ids count as; nothing of it is learned, or stored with a network.

    Args:
        family: of hash functions.
    """

    def __init__(self, family: Codes) -> None:
        super().__init__()
        self.family = family
        self._seed = mixed_seed(family.seed)
        found = family.coefficients()
        words = found.view(np.int32) if isinstance(family, MultiplyShift) else found
        self.coefficients: Tensor
        self.register_buffer("coefficients", torch.tensor(words), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Values (n, k), float32, of ids (n,)."""
        if torch.compiler.is_compiling() or ids.device.type != "cpu":
            return self._values(ids)
        values = torch.empty(ids.shape[0], self.family.num_codes)
        for start in range(0, ids.shape[0], IDS_AT_ONCE):
            values[start : start + IDS_AT_ONCE] = self._values(ids[start : start + IDS_AT_ONCE])
        return values

    def _values(self, ids: Tensor) -> Tensor:
        codes = self.codes(ids).to(torch.float32)
        m = self.family.num_values
        if self.family.values == "uniform":
            return codes.mul_(2.0 / (m - 1)).sub_(1.0)
        uniform = (codes + 0.5) / m
        radius = torch.sqrt(-2.0 * torch.log(uniform[:, 0::2]))
        angle = (2.0 * torch.pi) * uniform[:, 1::2]
        pairs = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=2)
        return pairs.flatten(1)

    def codes(self, ids: Tensor) -> Tensor:
        """Codes (n, k), integers from 0 on, of ids (n,)."""
        if isinstance(self.family, PrimeModulus):
            a, b, p = self.coefficients
            products: Tensor = a * ids.unsqueeze(1)
            return products.add_(b).remainder_(p).remainder_(self.family.num_buckets)
        a, b = self.coefficients
        words: Tensor = a * mixed_ids(ids, self._seed).unsqueeze(1)
        shift = 32 - self.family.num_bits
        return words.add_(b).bitwise_right_shift_(shift).bitwise_and_((1 << (32 - shift)) - 1)


def mixed_ids(ids: Tensor, seed: int) -> Tensor:
    """`core.hashing.mixed_ids` with a seed already mixed, as int32."""
    words = as_words(ids) ^ as_int32(seed)
    words = (words ^ shifted(words, 16)) * as_int32(0x85EBCA6B)
    words = (words ^ shifted(words, 13)) * as_int32(0xC2B2AE35)
    return words ^ shifted(words, 16)


def as_words(ids: Tensor) -> Tensor:
    """Ids 0 to 2^32 - 1 as 32-bit words."""
    return torch.where(ids >= 1 << 31, ids - (1 << 32), ids).to(torch.int32)


def as_int32(word: int) -> int:
    """The int32 with the bits of a word."""
    return word - (1 << 32) if word >= 1 << 31 else word


def shifted(words: Tensor, num_bits: int) -> Tensor:
    """Words shifted to the right, zeros coming in."""
    return (words >> num_bits) & ((1 << (32 - num_bits)) - 1)
