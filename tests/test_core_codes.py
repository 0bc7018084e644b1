"""Codes of ids: the numbers that are agreed on, how they spread, and which ids share them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.core.codes import Codes, MultiplyShift, PrimeModulus
from recfunnel.core.errors import InvalidInput
from recfunnel.core.hashing import buckets, is_prime, mix, mixed_seed, next_prime

MASK = 0xFFFFFFFF
MILLION = 10**6
GOLDEN_SHIFT = [[75, 43, 6], [110, 124, 152], [232, 201, 139], [203, 176, 187]]
GOLDEN_SHARED = [
    [179298, 249557, 784963],
    [371895, 926676, 728617],
    [9222, 387564, 446333],
    [708411, 486957, 591396],
]
GOLDEN_RANDOM = [
    [484114, 252587, 604501],
    [678039, 218411, 548596],
    [423281, 94106, 56067],
    [788654, 96600, 469731],
]


def mix_in_python(word: int) -> int:
    """Murmur3's finaliser in integers of any size."""
    word ^= word >> 16
    word = word * 0x85EBCA6B & MASK
    word ^= word >> 13
    word = word * 0xC2B2AE35 & MASK
    return word ^ word >> 16


def code_in_python(identifier: int, j: int, num_bits: int, seed: int) -> int:
    """The documented formula of `MultiplyShift`."""
    s = mix_in_python((seed * 0x9E3779B9 + 1) & MASK)
    a = mix_in_python((s + 2 * j + 2) & MASK) | 1
    b = mix_in_python((s + 2 * j + 3) & MASK)
    return ((a * mix_in_python(identifier ^ s) + b) & MASK) >> (32 - num_bits)


@given(
    identifier=st.integers(0, MASK),
    j=st.integers(0, 40),
    num_bits=st.integers(1, 16),
    seed=st.integers(0, 10**12),
)
def test_multiply_shift_is_its_formula(identifier: int, j: int, num_bits: int, seed: int) -> None:
    family = MultiplyShift(num_codes=j + 1, num_bits=num_bits, seed=seed)

    codes = family.codes(np.array([identifier]))

    assert codes[0, j] == code_in_python(identifier, j, num_bits, seed)


@given(
    identifier=st.integers(0, MASK),
    seed=st.integers(0, 10**12),
    prime=st.sampled_from(["shared", "random"]),
)
def test_prime_modulus_does_not_overflow(identifier: int, seed: int, prime: str) -> None:
    family = PrimeModulus(num_codes=3, prime=prime, seed=seed, num_buckets=1 << 24)  # type: ignore[arg-type]
    a, b, p = family.coefficients().tolist()

    codes = family.codes(np.array([identifier]))

    expected = [(a[j] * identifier + b[j]) % p[j] % (1 << 24) for j in range(3)]
    assert codes[0].tolist() == expected
    assert all(is_prime(number) and number >= 1 << 24 for number in p)


def test_codes_stay_what_they_were() -> None:
    """A trained decoder is worth nothing with other codes."""
    ids = np.array([0, 1, 77, MASK])

    assert MultiplyShift(num_codes=3, seed=9).codes(ids).tolist() == GOLDEN_SHIFT
    assert PrimeModulus(num_codes=3, prime="shared").codes(ids).tolist() == GOLDEN_SHARED
    assert PrimeModulus(num_codes=3).codes(ids).tolist() == GOLDEN_RANDOM


def num_distinct(family: Codes, ids: np.ndarray) -> int:
    """How many different lists of codes some ids have."""
    packed = np.concatenate([family.codes(part) for part in np.array_split(ids, 50)])
    rows = np.ascontiguousarray(packed.astype(np.uint32)).view(f"V{4 * family.num_codes}")
    return int(np.unique(rows).size)


@pytest.mark.parametrize("num_codes", [8, 32])
def test_a_million_ids_have_a_million_lists_of_codes(num_codes: int) -> None:
    """64 bits of code already: 5e11 pairs meet with a chance of 2.7e-8."""
    assert num_distinct(MultiplyShift(num_codes=num_codes), np.arange(MILLION)) == MILLION


def test_few_bits_of_code_collide_as_often_as_chance() -> None:
    """2^24 lists, a million ids: n - m (1 - e^(-n/m)) = 29,400 fewer lists, 170 one deviation."""
    found = num_distinct(MultiplyShift(num_codes=3), np.arange(MILLION))

    expected = (1 << 24) * -np.expm1(-MILLION / (1 << 24))
    assert abs(found - expected) < 6 * 170


def test_with_one_prime_for_all_functions_ids_that_far_apart_are_the_same() -> None:
    """What the published code does: a feature of ten million ids has a million vectors."""
    shared = PrimeModulus(num_codes=64, prime="shared")
    own = PrimeModulus(num_codes=64, prime="random")
    ids = np.arange(0, 10**7, 4001)

    assert (shared.codes(ids) == shared.codes(ids + 1_000_003)).all()
    assert (own.codes(ids) == own.codes(ids + 1_000_003)).mean() < 1e-4


@pytest.mark.parametrize("seed", [0, 3])
def test_every_code_is_as_likely_as_another(seed: int) -> None:
    """Chi squared of 256 values stays below its mean by 8 deviations, for consecutive ids too."""
    codes = MultiplyShift(num_codes=4, seed=seed).codes(np.arange(200_000))

    for column in codes.T:
        counts = np.bincount(column, minlength=256)
        chi = ((counts - 200_000 / 256) ** 2 / (200_000 / 256)).sum()
        assert chi < 255 + 8 * np.sqrt(2 * 255)


def test_codes_of_different_functions_and_ids_are_not_alike() -> None:
    """The mean product of two centred codes is 0 to within 6 deviations of its estimate."""
    values = MultiplyShift(num_codes=16).encode(np.arange(20_000))
    values /= values.std()

    products = values.T @ values / len(values) - np.eye(16)
    assert np.abs(products).max() < 6 / np.sqrt(len(values))
    neighbours = (values[1:] * values[:-1]).mean()
    assert abs(neighbours) < 6 / np.sqrt(values.size)


@pytest.mark.parametrize("family", [MultiplyShift(num_codes=2), PrimeModulus(num_codes=2)])
def test_uniform_values_span_minus_one_to_one(family: Codes) -> None:
    last = family.num_values - 1

    values = family.counted_as(np.array([[0, last]]), family.num_values)

    assert values.tolist() == [pytest.approx([-1.0, 1.0], abs=1e-15)]


def test_gaussian_values_are_standard_normal() -> None:
    """Mean, variance and fourth moment of 400,000 numbers, each within 6 deviations."""
    values = PrimeModulus(num_codes=4, values="gaussian").encode(np.arange(100_000))

    n = values.size
    assert abs(values.mean()) < 6 / np.sqrt(n)
    assert abs((values**2).mean() - 1) < 6 * np.sqrt(2 / n)
    assert abs((values**4).mean() - 3) < 6 * np.sqrt(96 / n)


@pytest.mark.parametrize("num_buckets", [1, 7, 1000])
def test_buckets_are_filled_evenly(num_buckets: int) -> None:
    counts = np.bincount(buckets(np.arange(100_000), num_buckets, seed=2), minlength=num_buckets)

    mean = 100_000 / num_buckets
    assert counts.size == num_buckets
    assert np.abs(counts - mean).max() <= 6 * np.sqrt(mean) * (num_buckets > 1)


def test_mixing_loses_nothing_and_seeds_differ() -> None:
    words = np.arange(MILLION, dtype=np.uint32)

    assert np.unique(mix(words)).size == MILLION
    assert len({mixed_seed(seed) for seed in range(1000)}) == 1000


@given(st.integers(0, 10**5))
def test_primes_are_those_without_divisors(number: int) -> None:
    divisors = [d for d in range(2, int(number**0.5) + 1) if number % d == 0]

    assert is_prime(number) == (number > 1 and not divisors)


def test_the_next_prime_is_mp_recs() -> None:
    assert next_prime(10**6) == 1_000_003
    assert next_prime((1 << 31) - 2) == (1 << 31) - 1


@pytest.mark.parametrize("family", [MultiplyShift(num_codes=2), PrimeModulus(num_codes=2)])
@pytest.mark.parametrize("identifier", [-1, 1 << 32])
def test_ids_outside_32_bits_are_refused(family: Codes, identifier: int) -> None:
    with pytest.raises(InvalidInput, match="2\\^32 - 1"):
        family.codes(np.array([identifier]))


def test_families_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInput, match="num_codes is 0"):
        MultiplyShift(num_codes=0)
    with pytest.raises(InvalidInput, match="num_bits is 17, must be 1 to 16"):
        MultiplyShift(num_codes=1, num_bits=17)
    with pytest.raises(InvalidInput, match="num_buckets is 1, must be 2"):
        PrimeModulus(num_codes=1, num_buckets=1)
    with pytest.raises(InvalidInput, match="pairs of codes"):
        PrimeModulus(num_codes=3, values="gaussian")
