"""Which features can keep their tables within a budget of bytes."""

from recfunnel.core.errors import StudyError
from recfunnel.core.features import FeatureSchema
from recfunnel.models.embeddings.base import EmbeddingSpec
from recfunnel.models.embeddings.dhe import DHE
from recfunnel.models.embeddings.per_feature import PerFeature
from recfunnel.models.embeddings.table import Table


def within_bytes(
    schema: FeatureSchema,
    dim: int,
    max_bytes: int,
    *,
    wanted: EmbeddingSpec | None = None,
    compact: EmbeddingSpec | None = None,
) -> PerFeature:
    """Give as few features as possible the compact representation, so that all fit.

    Those go first whose bytes it saves most, which no other choice of as many can better; among
    equals the earlier feature. A feature that it would not make smaller keeps what is wanted.

    Args:
        schema: all features with ids take part.
        dim: length of a vector.
        max_bytes: of all representations together.
        wanted: what a feature has while there is room; a table when None.
        compact: what it has otherwise; a deep hash embedding when None.

    Returns:
        A representation for each feature by name.

    Raises:
        StudyError: not even all compact ones fit.
    """
    wanted, compact = wanted or Table(), compact or DHE()
    features = [feature for feature in schema.features if feature.kind != "dense"]
    large, small = (
        {f.name: spec.cost(f, dim).parameter_bytes for f in features} for spec in (wanted, compact)
    )
    total = sum(large.values())
    of: dict[str, EmbeddingSpec] = {}
    for name in sorted(large, key=lambda name: small[name] - large[name]):
        if total <= max_bytes or small[name] >= large[name]:
            break
        of[name] = compact
        total += small[name] - large[name]
    if total > max_bytes:
        raise StudyError(
            f"the representations of {len(features)} features take {total:,} bytes at least, "
            f"{max_bytes:,} are allowed; make the compact one smaller, or leave features out"
        )
    return PerFeature(default=wanted, of=of)
