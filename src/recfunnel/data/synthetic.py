"""Generated ratings with planted preferences: the default data set, always at hand.

Better models really score better here, and the best possible ranking is known: see
`planted_scores`.
"""

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray, Ragged
from recfunnel.core.dataset import Dataset, DatasetSpec, Provenance, datasets
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, Features
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.seeds import rng_for
from recfunnel.core.spec import Spec
from recfunnel.data.implicit import Judgement, full_ranking_dataset
from recfunnel.data.planted import (
    STAR_CUTS,
    World,
    WorldSize,
    draw_ratings,
    draw_world,
    truth_of,
    user_blocks,
)
from recfunnel.data.rating_features import RatingLog, SideTable
from recfunnel.data.splitting import (
    DEFAULT_FRACTIONS,
    Fractions,
    check_fractions,
    random_parts,
)

MIN_RATING = 4.0
"""A held-out rating at or above it is relevant."""


@datasets.register
class Synthetic(Spec, DatasetSpec, frozen=True, tag="synthetic"):
    """Users, items and ratings drawn from a world that is known; see `recfunnel.data.planted`.

    Args:
        num_users: how many.
        num_items: how many.
        mean_ratings: expected ratings a user; users differ (lognormal).
        zipf_exponent: skew of item popularity; 0 is none.
        latent_dim: dimensions of taste.
        signal: standard deviation of the planted affinity; 0 leaves only popularity and quality.
        feature_share: share of taste that user and item features explain, 0 to 1.
        num_segments: of users, a categorical feature.
        num_categories: of items, a categorical feature.
        num_tags: of items, a multi-valued feature.
        fractions: shares of train, validation and test ratings.
    """

    num_users: int = 3000
    num_items: int = 1500
    mean_ratings: float = 60.0
    zipf_exponent: float = 0.8
    latent_dim: int = 8
    signal: float = 1.2
    feature_share: float = 0.5
    num_segments: int = 12
    num_categories: int = 20
    num_tags: int = 40
    fractions: Fractions = DEFAULT_FRACTIONS

    def __post_init__(self) -> None:
        check_fractions(self.fractions)
        for name in ("num_users", "num_items", "latent_dim", "num_segments", "num_categories"):
            if getattr(self, name) < 1:
                raise StudyError(f"{name} is {getattr(self, name)}, must be at least 1")
        if self.num_tags < 1:
            raise StudyError(f"num_tags is {self.num_tags}, must be at least 1")
        if not 0 <= self.feature_share <= 1:
            raise StudyError(f"feature_share is {self.feature_share}, must be 0 to 1")
        if self.signal < 0 or self.zipf_exponent < 0:
            raise StudyError("signal and zipf_exponent must not be below 0")
        if not 0 < self.mean_ratings <= self.num_items / 2:
            raise StudyError(
                f"mean_ratings is {self.mean_ratings:g}, must be above 0 and at most "
                f"{self.num_items / 2:g}, half of num_items"
            )

    def prepare(self, *, seed: int, progress: Progress = SILENT) -> Dataset:
        """Draw the world, let users rate, and split.

        Raises:
            DataError: the sizes leave a split empty.
        """
        world = world_of(self, seed)
        log = _all_ratings(world, progress)
        rng = rng_for(seed, "synthetic", "split")
        shares = "/".join(f"{share:g}" for share in self.fractions)
        return full_ranking_dataset(
            "synthetic",
            log,
            random_parts(len(log.users), self.fractions, rng),
            (_user_side(world), _item_side(world)),
            Judgement(MIN_RATING),
            Provenance(
                source=f"generated: {self.num_users} users, {self.num_items} items, "
                f"{len(log.users)} ratings",
                licence="none needed, generated",
                split=f"each rating drawn to train/validation/test with probabilities {shares}",
                seed=seed,
                notes=("generated data: figures say nothing about any real audience",),
            ),
        )


def planted_scores(spec: Synthetic, seed: int, users: IntArray | None = None) -> FloatArray:
    """The best scores anyone who knows the world could rank the test queries by.

    Pairs are independent given the world, so ranking by the probability that a pair lies relevant
    in test, given that it is neither in train nor in validation, is optimal for expected DCG.

    Args:
        spec: what was generated.
        seed: the seed given to `prepare`.
        users: (B,), user rows; None means all. The user of a query is its user id - 1.

    Returns:
        float32 (B, I), probabilities.
    """
    world = world_of(spec, seed)
    rows = np.arange(spec.num_users, dtype=np.int64) if users is None else users
    scores = np.empty((rows.size, spec.num_items), np.float32)
    test = spec.fractions[2]
    for block in user_blocks(rows.size):
        truth = truth_of(world, rows[block])
        relevant = truth.reaches(STAR_CUTS[int(MIN_RATING) - 2])
        scores[block] = truth.met * relevant * test / (1 - truth.met * (1 - test))
    return scores


def world_of(spec: Synthetic, seed: int) -> World:
    """The world behind a spec and seed."""
    size = WorldSize(
        num_users=spec.num_users,
        num_items=spec.num_items,
        mean_ratings=spec.mean_ratings,
        zipf_exponent=spec.zipf_exponent,
        latent_dim=spec.latent_dim,
        signal=spec.signal,
        feature_share=spec.feature_share,
        num_segments=spec.num_segments,
        num_categories=spec.num_categories,
        num_tags=spec.num_tags,
    )
    return draw_world(size, seed)


def _all_ratings(world: World, progress: Progress) -> RatingLog:
    blocks = list(user_blocks(world.size.num_users))
    drawn = [draw_ratings(world, block) for block in progress.track(blocks, "generate ratings")]
    users, items, rating = (np.concatenate(column) for column in zip(*drawn, strict=True))
    return RatingLog(users, items, rating)


def _user_side(world: World) -> SideTable:
    features = (
        Feature(
            name="segment",
            side="context",
            kind="categorical",
            cardinality=world.size.num_segments + 1,
        ),
        Feature(name="budget", side="context", kind="dense"),
    )
    budget = world.budget[:, None].astype(np.float32)
    return SideTable(features, Features(world.segment[:, None] + 1, budget))


def _item_side(world: World) -> SideTable:
    size = world.size
    features = (
        Feature(
            name="category",
            side="candidate",
            kind="categorical",
            cardinality=size.num_categories + 1,
        ),
        Feature(name="price", side="candidate", kind="dense"),
        Feature(name="tags", side="candidate", kind="multi_valued", cardinality=size.num_tags + 1),
    )
    tags = Ragged(world.tags.values + 1, world.tags.offsets)
    price = world.price[:, None].astype(np.float32)
    return SideTable(features, Features(world.category[:, None] + 1, price, (tags,)))
