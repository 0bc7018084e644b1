"""A made-up world of users and items whose true preferences are known.

Letters: U users, I items, B users of a block, d latent dimensions.

Affinity of user u for item i, variance `signal`²:

    signal · (√0.7 · p_u·q_i/√d  +  √0.3 · (1 - (price_i - budget_u)²/2) / √2)

Factors p and q are standard normal; a share of their variance is explained by the user's segment
and by the item's category and tags, the rest is noise that only behaviour reveals. The second term
is no inner product of few dimensions that ids alone would learn quickly; price and budget are given
as features.

A user meets item i with probability 1 - exp(-τ_u · popularity_i · exp(affinity)), independently,
with τ_u set so that the expected number of items met is the user's own. A meeting is rated by
utility = quality_i + generosity_u + affinity + logistic noise, cut into 1 to 5 stars.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray, FloatArray, IntArray, Ragged
from recfunnel.core.seeds import rng_for

USERS_A_BLOCK = 256
"""Users whose I probabilities are held in memory at a time."""

STAR_CUTS = (-3.0, -1.6, 0.0, 1.6)
"""Utility at which ratings 2, 3, 4 and 5 begin; a rating of 4 has even odds at utility 0."""


@dataclass(frozen=True, slots=True)
class WorldSize:
    """How large the world is, how skewed, and how much of it features explain.

    Args:
        num_users: U.
        num_items: I.
        mean_ratings: expected ratings a user.
        zipf_exponent: the k-th most popular item has popularity k^-exponent.
        latent_dim: d.
        signal: standard deviation of the affinity.
        feature_share: share of the factors' variance that features explain, 0 to 1.
        num_segments: of users.
        num_categories: of items.
        num_tags: of items, any number an item.
    """

    num_users: int
    num_items: int
    mean_ratings: float
    zipf_exponent: float
    latent_dim: int
    signal: float
    feature_share: float
    num_segments: int
    num_categories: int
    num_tags: int


@dataclass(frozen=True, eq=False, slots=True)
class World:
    """Everything true of users and items.

    Args:
        size: what it was drawn for.
        seed: what it was drawn from.
        segment: int64 (U,), 0 .. num_segments - 1.
        category: int64 (I,).
        tags: I rows of tag numbers, 1 to 4 each.
        budget: float64 (U,), standard normal.
        price: float64 (I,), standard normal.
        user_factors: float64 (U, d).
        item_factors: float64 (I, d).
        popularity: float64 (I,), Zipf.
        quality: float64 (I,), mean 0, standard deviation 0.7.
        generosity: float64 (U,), mean 0, standard deviation 0.5.
        expected_ratings: float64 (U,), lognormal with the stated mean.
    """

    size: WorldSize
    seed: int
    segment: IntArray
    category: IntArray
    tags: Ragged
    budget: DoubleArray
    price: DoubleArray
    user_factors: DoubleArray
    item_factors: DoubleArray
    popularity: DoubleArray
    quality: DoubleArray
    generosity: DoubleArray
    expected_ratings: DoubleArray


@dataclass(frozen=True, eq=False, slots=True)
class Truth:
    """Probabilities of B users.

    Args:
        met: float64 (B, I), that the user meets the item at all.
        utility: float64 (B, I), mean utility of a meeting.
    """

    met: DoubleArray
    utility: DoubleArray

    def reaches(self, cut: float) -> DoubleArray:
        """(B, I), the probability that a meeting's utility is at least `cut`."""
        return 1 / (1 + np.exp(cut - self.utility))


def draw_world(size: WorldSize, seed: int) -> World:
    """Draw users and items; the same size and seed give the same world."""
    rng = rng_for(seed, "synthetic", "world")
    d, share = size.latent_dim, size.feature_share
    segment = rng.integers(size.num_segments, size=size.num_users)
    category = rng.integers(size.num_categories, size=size.num_items)
    tags = _draw_tags(size, rng)
    segment_vectors = rng.standard_normal((size.num_segments, d))
    category_vectors = rng.standard_normal((size.num_categories, d))
    tag_vectors = rng.standard_normal((size.num_tags, d))
    tag_sum = np.zeros((size.num_items, d))
    np.add.at(tag_sum, tags.row_ids(), tag_vectors[tags.values])
    of_tags = tag_sum / np.sqrt(tags.lengths)[:, None]
    of_item = (category_vectors[category] + of_tags) / np.sqrt(2)
    ranks = (rng.permutation(size.num_items) + 1).astype(np.float64)
    return World(
        size=size,
        seed=seed,
        segment=segment,
        category=category,
        tags=tags,
        budget=rng.standard_normal(size.num_users),
        price=rng.standard_normal(size.num_items),
        user_factors=_mixed(segment_vectors[segment], share, rng),
        item_factors=_mixed(of_item, share, rng),
        popularity=np.power(ranks, -size.zipf_exponent),
        quality=0.7 * rng.standard_normal(size.num_items),
        generosity=0.5 * rng.standard_normal(size.num_users),
        expected_ratings=_draw_activity(size, rng),
    )


def _mixed(explained: DoubleArray, share: float, rng: np.random.Generator) -> DoubleArray:
    noise = rng.standard_normal(explained.shape)
    mixed: DoubleArray = np.sqrt(share) * explained + np.sqrt(1 - share) * noise
    return mixed


def _draw_tags(size: WorldSize, rng: np.random.Generator) -> Ragged:
    most = min(4, size.num_tags)
    lengths = rng.integers(1, most + 1, size=size.num_items)
    order = np.argsort(rng.random((size.num_items, size.num_tags)), axis=1)[:, :most]
    kept = order[np.arange(most) < lengths[:, None]]
    return Ragged(kept.astype(np.int64), np.concatenate([[0], np.cumsum(lengths)]))


def _draw_activity(size: WorldSize, rng: np.random.Generator) -> DoubleArray:
    spread = 0.7
    drawn = size.mean_ratings * np.exp(spread * rng.standard_normal(size.num_users) - spread**2 / 2)
    bounded: DoubleArray = np.clip(drawn, min(10.0, size.num_items / 4), size.num_items / 2)
    return bounded


def affinity(world: World, users: IntArray) -> DoubleArray:
    """(B, I), how much each user is drawn to each item; see the module's formula."""
    taste = world.user_factors[users] @ world.item_factors.T / np.sqrt(world.size.latent_dim)
    gap = world.price[None, :] - world.budget[users, None]
    price_fit = (1 - gap**2 / 2) / np.sqrt(2)
    both: DoubleArray = world.size.signal * (np.sqrt(0.7) * taste + np.sqrt(0.3) * price_fit)
    return both


def truth_of(world: World, users: IntArray) -> Truth:
    """Meeting probabilities and utilities of B users."""
    liking = affinity(world, users)
    weight = world.popularity[None, :] * np.exp(liking)
    rate = _rate_for(weight, world.expected_ratings[users])
    utility = world.quality[None, :] + world.generosity[users, None] + liking
    return Truth(-np.expm1(-rate[:, None] * weight), utility)


def _rate_for(weight: DoubleArray, expected: DoubleArray) -> DoubleArray:
    """τ (B,) so that the sum over items of 1 - exp(-τ · weight) is `expected`.

    Newton from below on a concave rising function never overshoots, so it always converges.
    """
    rate = expected / weight.sum(axis=1)
    for _ in range(60):
        left = np.exp(-rate[:, None] * weight)
        missing = expected - (1 - left).sum(axis=1)
        rate = rate + missing / (left * weight).sum(axis=1)
        if np.all(np.abs(missing) < 1e-9 * expected):
            break
    found: DoubleArray = rate
    return found


def user_blocks(num_users: int) -> Iterator[IntArray]:
    """User rows in blocks of `USERS_A_BLOCK`."""
    for start in range(0, num_users, USERS_A_BLOCK):
        yield np.arange(start, min(start + USERS_A_BLOCK, num_users), dtype=np.int64)


def draw_ratings(world: World, users: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Meet and rate; each block of users has its own random stream.

    Args:
        world: the truth.
        users: one block of `user_blocks`.

    Returns:
        User rows, item rows and ratings (1 to 5 stars), each (n,).
    """
    rng = rng_for(world.seed, "synthetic", "ratings", int(users[0]))
    truth = truth_of(world, users)
    rows, items = np.nonzero(rng.random(truth.met.shape) < truth.met)
    felt = truth.utility[rows, items] + rng.logistic(size=rows.size)
    stars = 1 + np.searchsorted(STAR_CUTS, felt, side="right")
    return users[rows], items.astype(np.int64), stars.astype(np.float32)
