"""One study seed, one independent random stream for each named piece of work."""

import hashlib

import numpy as np


def seed_for(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on the study's seed and the work's name, and on nothing else."""
    text = "\x1f".join([str(seed), *map(str, names)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def rng_for(seed: int, *names: str | int) -> np.random.Generator:
    """The random stream of one piece of work, the same in any order and any process."""
    return np.random.default_rng(seed_for(seed, *names))
