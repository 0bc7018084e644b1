"""Codes of ids: many hash functions of one id, the input of a deep hash embedding's decoder.

A family of functions is a small value; the integers it gives are the same on every device, so that
a decoder trained on one can be run on another. Nothing of it is learned.

Letters: n ids, k functions (codes of an id), m values a code can take.
"""

from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput
from recfunnel.core.hashing import MASK, drawn_words, mixed_ids, next_prime

MOST_VALUES = 1 << 24
"""Codes are exact in float32 up to here."""

LEAST_PRIME = 1 << 30
"""Primes drawn for a function lie from here (or m, where that is more) to 2^31."""

CodeValues = Literal["uniform", "gaussian"]


class CodeFamily(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """What all families of codes share.

    Args:
        num_codes: k, even for `gaussian`.
        values: what a code c counts as. `uniform` is 2c / (m - 1) - 1, from -1 to 1. `gaussian` is
            standard normal, by Box and Muller: two neighbouring codes with u = (c + 1/2) / m become
            √(-2 ln u₁) cos 2πu₂ and √(-2 ln u₁) sin 2πu₂.
        seed: which of many families; seeds that agree modulo 2^32 give the same.
    """

    num_codes: int
    values: CodeValues = "uniform"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_codes < 1:
            raise InvalidInput(f"num_codes is {self.num_codes}, must be at least 1")
        if self.values == "gaussian" and self.num_codes % 2:
            raise InvalidInput(
                f"num_codes is {self.num_codes}, but gaussian values are made of pairs of codes; "
                "take an even number or values 'uniform'"
            )

    def counted_as(self, codes: IntArray, num_values: int) -> DoubleArray:
        """What codes (n, k) of m values count as: (n, k)."""
        if self.values == "uniform":
            return np.asarray(codes * (2.0 / (num_values - 1)) - 1.0, np.float64)
        uniform = (codes + 0.5) / num_values
        radius = np.sqrt(-2.0 * np.log(uniform[:, 0::2]))
        angle = 2.0 * np.pi * uniform[:, 1::2]
        normal = np.empty(codes.shape, np.float64)
        normal[:, 0::2], normal[:, 1::2] = radius * np.cos(angle), radius * np.sin(angle)
        return normal


class MultiplyShift(CodeFamily, frozen=True, tag="multiply_shift"):
    """The upper bits of an odd multiple of the mixed id; all arithmetic modulo 2^32.

    code_j = (a_j · mix(id ^ s) + b_j) >> (32 - num_bits), where s is the mixed seed, a_j =
    mix(s + 2j + 2) | 1 and b_j = mix(s + 2j + 3). Ids are 0 to 2^32 - 1. Mixing is a bijection, so
    that two ids share all codes only where all k multiples of two different words agree in their
    upper bits.

    Source: M. Dietzfelbinger et al., A reliable randomized algorithm for the closest-pair problem,
    1997, for the multiplication; the mixing before it is ours.

    Args:
        num_bits: of a code, 1 to 16; m = 2^num_bits.
    """

    num_bits: int = 8

    def __post_init__(self) -> None:
        CodeFamily.__post_init__(self)
        if not 1 <= self.num_bits <= 16:
            raise InvalidInput(f"num_bits is {self.num_bits}, must be 1 to 16")

    @property
    def num_values(self) -> int:
        """m."""
        return 1 << self.num_bits

    def coefficients(self) -> NDArray[np.uint32]:
        """(2, k), a and b of each function."""
        drawn = drawn_words(self.seed, 2 * self.num_codes)
        return np.stack([drawn[0::2] | np.uint32(1), drawn[1::2]])

    def codes(self, ids: IntArray) -> IntArray:
        """(n, k) codes of ids (n,), 0 to m - 1.

        Raises:
            InvalidInput: an id outside 0 to 2^32 - 1.
        """
        a, b = self.coefficients()
        words = a * mixed_ids(ids, self.seed)[:, None] + b
        codes: IntArray = (words >> np.uint32(32 - self.num_bits)).astype(np.int64)
        return codes

    def encode(self, ids: IntArray) -> DoubleArray:
        """(n, k) what the codes of ids (n,) count as."""
        return self.counted_as(self.codes(ids), self.num_values)


class PrimeModulus(CodeFamily, frozen=True, tag="prime_modulus"):
    """((a id + b) mod p) mod m in 64-bit integers, as the published deep hash embeddings.

    a_j is 1 to p_j - 1, b_j 0 to p_j - 1. With `shared`, p is the first prime from m on for every
    function, which is what MP-Rec's code does: ids p apart then share all their codes, so that a
    feature has at most p different vectors. With `random`, each function has a prime of its own, as
    in KDD'21.

    Sources: J. L. Carter and M. N. Wegman, Universal classes of hash functions, 1979; W.-C. Kang et
    al., Learning to embed categorical features without embedding tables, KDD 2021, which asks for
    p ≥ m; ours are at least 2^30 as well, so that no two ids of a feature are p apart.

    Args:
        num_buckets: m, 2 to 2^24.
        prime: one for all functions, or one each.
    """

    num_buckets: int = 1_000_000
    prime: Literal["shared", "random"] = "random"

    def __post_init__(self) -> None:
        CodeFamily.__post_init__(self)
        if not 2 <= self.num_buckets <= MOST_VALUES:
            raise InvalidInput(f"num_buckets is {self.num_buckets}, must be 2 to {MOST_VALUES:,}")

    @property
    def num_values(self) -> int:
        """m."""
        return self.num_buckets

    def coefficients(self) -> IntArray:
        """(3, k), a, b and p of each function; each below 2^31."""
        return _prime_coefficients(self)

    def codes(self, ids: IntArray) -> IntArray:
        """(n, k) codes of ids (n,), 0 to m - 1.

        Raises:
            InvalidInput: an id outside 0 to 2^32 - 1.
        """
        if ids.size and (ids.min() < 0 or ids.max() > MASK):
            raise InvalidInput(
                f"ids from {ids.min()} to {ids.max()} have no codes: they must be 0 to 2^32 - 1"
            )
        a, b, p = self.coefficients()
        codes: IntArray = (a * ids[:, None] + b) % p % self.num_buckets
        return codes

    def encode(self, ids: IntArray) -> DoubleArray:
        """(n, k) what the codes of ids (n,) count as."""
        return self.counted_as(self.codes(ids), self.num_values)


Codes = MultiplyShift | PrimeModulus


@lru_cache(maxsize=64)
def _prime_coefficients(family: PrimeModulus) -> IntArray:
    drawn = drawn_words(family.seed, 3 * family.num_codes).astype(np.int64)
    if family.prime == "shared":
        primes = np.full(family.num_codes, next_prime(family.num_buckets))
    else:
        least = max(family.num_buckets, LEAST_PRIME)
        span = (1 << 31) - least - 1  # the last candidate reaches the prime 2^31 - 1
        primes = np.array([next_prime(least + int(word) % span) for word in drawn[2::3]])
    found = np.stack([1 + drawn[0::3] % (primes - 1), drawn[1::3] % primes, primes])
    found.setflags(write=False)
    return found
