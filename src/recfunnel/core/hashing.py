"""Hashing of ids in 32-bit integers, the same numbers in numpy, torch and C++."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import InvalidInput

Words = NDArray[np.uint32]

GOLDEN_RATIO = 0x9E3779B9
MASK = 0xFFFFFFFF
MOST_IDS = 1 << 32
"""Ids are hashed as 32-bit words; two ids this far apart would be the same word."""

WITNESSES = (2, 3, 5, 7)
"""Bases for which the Miller-Rabin test is exact below 3,215,031,751."""


def mix(words: Words) -> Words:
    """Murmur3's finaliser: a bijection of 32-bit words that changes half the bits for each bit.

    Source: A. Appleby, MurmurHash3, `fmix32`.
    """
    words = words ^ (words >> np.uint32(16))
    words = words * np.uint32(0x85EBCA6B)
    words = words ^ (words >> np.uint32(13))
    words = words * np.uint32(0xC2B2AE35)
    return words ^ (words >> np.uint32(16))


def mixed_seed(seed: int) -> int:
    """A 32-bit word from a seed; seeds that agree modulo 2^32 give the same."""
    return mix_one(seed * GOLDEN_RATIO + 1)


def mix_one(word: int) -> int:
    """`mix` of one integer, taken modulo 2^32."""
    return int(mix(np.array([word & MASK], np.uint32))[0])


def mixed_ids(ids: IntArray, seed: int) -> Words:
    """`mix` of each id combined with a seed; different ids give different words.

    Args:
        ids: 0 to 2^32 - 1.
        seed: which of many mixings.

    Raises:
        InvalidInput: an id outside the range.
    """
    if ids.size and (ids.min() < 0 or ids.max() >= MOST_IDS):
        raise InvalidInput(
            f"ids from {ids.min()} to {ids.max()} cannot be hashed: they must be 0 to 2^32 - 1"
        )
    return mix(ids.astype(np.uint32) ^ np.uint32(mixed_seed(seed)))


def drawn_words(seed: int, count: int) -> Words:
    """`count` words drawn by a seed: mix(mixed_seed + 2), mix(mixed_seed + 3), ..."""
    start = np.uint32(mixed_seed(seed))
    return mix(start + np.arange(2, count + 2, dtype=np.uint32))


def buckets(ids: IntArray, num_buckets: int, seed: int) -> IntArray:
    """The bucket of each id: the upper half of mixed id times the number of buckets.

    Args:
        ids: any shape; 0 to 2^32 - 1.
        num_buckets: at most 2^32.
        seed: which of many hashings.

    Returns:
        The same shape, 0 to num_buckets - 1; each as likely as another up to num_buckets / 2^32.
    """
    wide = mixed_ids(ids, seed).astype(np.uint64) * np.uint64(num_buckets)
    return (wide >> np.uint64(32)).astype(np.int64)


@cache
def next_prime(least: int) -> int:
    """The first prime from `least` on, which must be at most 2^31."""
    number = max(2, least)
    while not is_prime(number):
        number += 1
    return number


def is_prime(number: int) -> bool:
    """Whether a number below 3,215,031,751 is prime, by the Miller-Rabin test."""
    if number < 2:
        return False
    for small in WITNESSES:
        if number % small == 0:
            return number == small
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_passes(number, base, odd, twos) for base in WITNESSES)


def _passes(number: int, base: int, odd: int, twos: int) -> bool:
    power = pow(base, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False
