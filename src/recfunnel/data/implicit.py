"""From a log of ratings to an implicit-feedback data set.

Letters: U users, I items, N ratings, Q queries.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray, Ragged
from recfunnel.core.dataset import Dataset, Interactions, Provenance, QuerySet
from recfunnel.core.errors import DataError
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.keys import among, distinct
from recfunnel.data.rating_features import (
    RatingLog,
    SideTable,
    context_features,
    item_features,
    schema_for,
)
from recfunnel.data.splitting import TEST, TRAIN, VALIDATION

Gain = Literal["binary", "rating"]


def interactions(log: RatingLog, min_rating: float) -> Interactions:
    """Training interactions: every rating, labelled 1 where it reaches `min_rating`."""
    label = (log.rating >= min_rating).astype(np.float32)
    return Interactions(log.users, log.items, label, log.rating.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What counts as right.

    Args:
        min_rating: a held-out rating at or above it makes its item relevant.
        gain: of a relevant item: 1, or its rating.
    """

    min_rating: float
    gain: Gain = "binary"


def full_ranking(
    schema: FeatureSchema,
    context: Features,
    items: Features,
    seen: RatingLog,
    held_out: RatingLog,
    judgement: Judgement,
) -> QuerySet:
    """Rank every item the user has not seen; one query a user with something relevant.

    A pair that was already seen is no longer asked for; of a pair held out twice the higher
    rating counts.

    Args:
        schema: of both sides.
        context: of U users.
        items: of I items.
        seen: ratings whose items are excluded.
        held_out: ratings to be found.
        judgement: what counts as right.

    Returns:
        Queries in user order, relevant columns rising.

    Raises:
        DataError: nobody has a relevant item.
    """
    num_users, num_items = len(context), len(items)
    seen_keys = distinct(seen.users * num_items + seen.items)
    keys, rating = _best_of_pairs(held_out, num_items)
    keep = (rating >= judgement.min_rating) & ~among(keys, seen_keys)
    keys, rating = keys[keep], rating[keep]
    if not keys.size:
        raise DataError(
            f"none of {len(held_out.users)} held-out ratings is at least {judgement.min_rating:g} "
            "and of an unseen item, so there is no query; lower min_rating or hold out more"
        )
    gains = np.ones_like(rating) if judgement.gain == "binary" else rating
    relevance = Ragged.from_pairs(keys // num_items, keys % num_items, num_users, gains)
    excluded = Ragged.from_pairs(seen_keys // num_items, seen_keys % num_items, num_users)
    queries = np.flatnonzero(relevance.lengths)
    return QuerySet(
        schema,
        context.take(queries),
        items,
        None,
        excluded.take(queries),
        relevance.take(queries),
    )


def _best_of_pairs(log: RatingLog, num_items: int) -> tuple[IntArray, FloatArray]:
    keys = log.users * num_items + log.items
    order = np.lexsort((-log.rating, keys))
    pairs, first = np.unique(keys[order], return_index=True)
    return pairs, log.rating[order][first].astype(np.float32)


def full_ranking_dataset(
    name: str,
    log: RatingLog,
    parts: IntArray,
    sides: tuple[SideTable, SideTable],
    judgement: Judgement,
    provenance: Provenance,
) -> Dataset:
    """Split a log by `parts` and rank the whole catalogue minus what was seen.

    At validation the training items are excluded, at test the validation items too; features and
    history come from training ratings alone.

    Args:
        name: of the data set.
        log: all N ratings.
        parts: (N,), the part of each.
        sides: users and items.
        judgement: what counts as right.
        provenance: where it comes from.

    Returns:
        The data set.

    Raises:
        DataError: a part is empty or holds nothing relevant.
    """
    for part, what in ((TRAIN, "train"), (VALIDATION, "validation"), (TEST, "test")):
        if not np.any(parts == part):
            raise DataError(
                f"{name}: the {what} split is empty ({len(parts)} ratings in all); "
                "give more data or other fractions"
            )
    users, items = sides
    train = log.take(np.flatnonzero(parts == TRAIN))
    schema = schema_for(users, items)
    context, catalogue = context_features(users, train), item_features(items, train)
    validation, test = (
        full_ranking(
            schema,
            context,
            catalogue,
            log.take(np.flatnonzero(parts < part)),
            log.take(np.flatnonzero(parts == part)),
            judgement,
        )
        for part in (VALIDATION, TEST)
    )
    return Dataset(
        name=name,
        task="implicit",
        schema=schema,
        context=context,
        items=catalogue,
        train=interactions(train, judgement.min_rating),
        validation=validation,
        test=test,
        provenance=provenance,
        context_keys=users.keys,
        item_keys=items.keys,
    )
