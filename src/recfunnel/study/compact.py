"""Which features of a trained model can do with a smaller representation: measured, then chosen.

The model is trained again for every feature that a compact representation would make smaller, with
only that feature changed, several times each: what another training seed changes is often more than
what a feature does. Quality is compared on validation queries. The best choice under a budget of
bytes is exact for the measured changes, which it adds up; the chosen model is then trained as well,
so that what the features cost together is measured too.

Letters: R repeats, J validation queries (or rows of a click log).
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import pipeline_of
from recfunnel.core.results import Estimate
from recfunnel.core.spec import Value, to_builtins
from recfunnel.core.storage import content_hash
from recfunnel.models.embeddings.base import EmbeddingSpec
from recfunnel.models.embeddings.per_feature import PerFeature
from recfunnel.models.embeddings.within_quality import Option, best_within_bytes
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.probability import log_losses, marked_rows
from recfunnel.quality.score import score_queries
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.study.steps import Steps
from recfunnel.train.base import ModelEntry


class FeatureChoice(Value, frozen=True):
    """What was found of one feature.

    Args:
        feature: name.
        num_ids: different ids.
        saved_bytes: by the compact representation.
        change: of quality when this feature alone has it, over repeats and validation queries.
        is_compact: whether it was chosen.
    """

    feature: str
    num_ids: int
    saved_bytes: int
    change: Estimate
    is_compact: bool


class CompactChoice(Value, frozen=True):
    """A model with fewer bytes.

    Args:
        model: as it was trained.
        metric: higher is better.
        quality: of the model as it was.
        size_bytes: of its parameters as it was.
        chosen_bytes: of those of the chosen one.
        features: that the compact representation makes smaller, largest saving first.
        together: change of quality of the chosen model; exact 0 where nothing was changed.
        embedding: of the chosen model.
    """

    model: str
    metric: str
    quality: Estimate
    size_bytes: int
    chosen_bytes: int
    features: tuple[FeatureChoice, ...]
    together: Estimate
    embedding: EmbeddingSpec


def choose_compact(
    steps: Steps, name: str, compact: EmbeddingSpec, max_bytes: int, *, num_repeats: int = 3
) -> CompactChoice:
    """Choose the features of a model that get a compact representation.

    Every model that is trained for it is kept in the run folder as `NAME with FEATURE compact`,
    those of further repeats with their number.

    Args:
        steps: of the study that has the model; it is trained first where it is not.
        name: of the model.
        compact: representation, of as many vectors an id as the model's own.
        max_bytes: of all the model's parameters.
        num_repeats: R, how often each is trained, each time with a seed of its own.

    Raises:
        ModelError: a model learned nothing with a feature compact.
        StudyError: no repeat, no such model, one without representations of ids, a compact one
            with another number of vectors, or nothing that fits.
    """
    if num_repeats < 1:
        raise StudyError(f"num_repeats is {num_repeats}, must be at least 1")
    known = steps.study.models
    if name not in known:
        raise StudyError(
            f"no model {name!r} in study {steps.study.name!r}; known: {', '.join(known)}"
        )
    entry = known[name]
    features = {f.name: f for f in steps.data().schema.features if f.kind != "dense"}
    saved = _savings(steps, entry, name, features, compact)
    size = _size(entry, steps)
    room = max_bytes - (size - sum(saved.values()))
    if room < 0:
        raise StudyError(
            f"{name!r} takes {max_bytes - room:,} bytes at least, {max_bytes:,} are allowed; make "
            "the compact representation smaller, or leave features out"
        )

    def quality(chosen: tuple[Feature, ...]) -> DoubleArray:
        repeats = range(1, num_repeats + 1)
        return np.stack([_quality(steps, entry, name, chosen, compact, r) for r in repeats])

    before = quality(())
    changes = {f: _estimate(quality((features[f],)) - before) for f in saved}
    options = {
        f: (Option(size_bytes=saved[f], quality=0.0), Option(size_bytes=0, quality=change.mean))
        for f, change in changes.items()
    }
    places = best_within_bytes(options, room)
    chosen = tuple(features[f] for f, place in places.items() if place)
    final = _changed(entry, name, chosen, compact)
    together = quality(chosen) - before
    return CompactChoice(
        model=name,
        metric="minus log loss" if steps.data().task == "ctr" else f"NDCG@{_num_answers(steps)}",
        quality=_estimate(before),
        size_bytes=size,
        chosen_bytes=_size(final, steps),
        features=tuple(
            FeatureChoice(
                feature=f,
                num_ids=features[f].cardinality,
                saved_bytes=saved[f],
                change=changes[f],
                is_compact=bool(places[f]),
            )
            for f in sorted(saved, key=lambda f: -saved[f])
        ),
        together=_estimate(together) if chosen else Estimate.exact(0.0),
        embedding=_embedding(final, name),
    )


def _estimate(values: DoubleArray) -> Estimate:
    """Mean of (R, J), its error that of repeats and that of queries; of queries alone where R is 1.

    Repeats have the same queries, whose error does not fall with R.
    """
    num_repeats, num_queries = values.shape
    of_queries = Estimate.of(values.mean(axis=0))
    of_repeats = values.mean(axis=1).std(ddof=1) / num_repeats**0.5 if num_repeats > 1 else 0.0
    stderr = float(np.hypot(of_queries.stderr, of_repeats))
    return Estimate(mean=of_queries.mean, stderr=stderr, num_samples=num_queries)


def _savings(
    steps: Steps,
    entry: ModelEntry,
    name: str,
    features: Mapping[str, Feature],
    compact: EmbeddingSpec,
) -> dict[str, int]:
    """Bytes of each feature that the compact representation makes smaller."""
    _embedding(entry, name)
    size = _size(entry, steps)
    saved = {
        f: size - _size(_changed(entry, name, (feature,), compact), steps)
        for f, feature in features.items()
    }
    return {f: less for f, less in saved.items() if less > 0}


def _embedding(entry: ModelEntry, name: str) -> EmbeddingSpec:
    """A model's representation of ids."""
    own = getattr(entry.model, "embedding", None)
    if not isinstance(own, EmbeddingSpec):
        raise StudyError(f"{name!r} has no representation of ids to choose; dlrm and neumf have")
    return own


def _changed(
    entry: ModelEntry, name: str, features: tuple[Feature, ...], compact: EmbeddingSpec
) -> ModelEntry:
    """The model with some features compact."""
    model: Any = entry.model
    own = _embedding(entry, name)
    for feature in features:
        counts = own.num_vectors(feature), compact.num_vectors(feature)
        if counts[0] != counts[1]:
            raise StudyError(
                f"{name!r} has {counts[0]} vectors an id of {feature.name!r}, the compact "
                f"representation {counts[1]}; they must agree, for layers change with them"
            )
    if not features:
        return entry
    if isinstance(own, PerFeature):
        of = own.of | {feature.name: compact for feature in features}
        embedding = PerFeature(default=own.default, of=of)
    else:
        embedding = PerFeature(default=own, of={feature.name: compact for feature in features})
    return msgspec.structs.replace(entry, model=msgspec.structs.replace(model, embedding=embedding))


def _size(entry: ModelEntry, steps: Steps) -> int:
    return entry.model.cost(steps.data().schema, len(entry.score_inputs)).parameter_bytes


def _quality(
    steps: Steps,
    entry: ModelEntry,
    name: str,
    features: tuple[Feature, ...],
    compact: EmbeddingSpec,
    repeat: int,
) -> DoubleArray:
    """(J,), quality of one training of the model with some features compact."""
    changed_entry = _changed(entry, name, features, compact)
    own = _variant_name(name, features, changed_entry) + (f" {repeat}" if repeat > 1 else "")
    models = {**steps.study.models, own: changed_entry}
    study = msgspec.structs.replace(steps.study, models=models)
    changed = Steps(study, steps.folder, steps.progress)
    changed.train((own,))
    queries = changed.queries("validation")
    model = TorchEager().load(changed.models_folder / own, queries.items)
    given = [changed.score("validation")[n] for n in entry.score_inputs]
    table = score_queries(model, queries, given, steps.progress)
    if changed.data().task == "ctr":
        allowed, labels = marked_rows(queries)
        return -log_losses(table.scores[allowed], labels[allowed])
    alone = pipeline_of((own,), (queries.num_columns, _num_answers(steps)))
    book = ScoreBook(queries, [ScoreTable(own, table.scores)], k=alone.num_out)
    return np.asarray(book.ndcg(alone), np.float64)


def _variant_name(name: str, features: tuple[Feature, ...], changed: ModelEntry) -> str:
    """What a model is called in the run folder with some features compact."""
    if not features:
        return name
    if len(features) == 1:
        return f"{name} with {features[0].name} compact"
    return f"{name} with {len(features)} features compact {content_hash(changed.model)[:8]}"


def _num_answers(steps: Steps) -> int:
    return min(steps.study.space.num_answers, steps.data().validation.num_columns)


def as_toml(spec: EmbeddingSpec) -> str:
    """A representation in one line, as a study has it."""
    return _inline(to_builtins(spec))


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(k)} = {_inline(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_inline(part) for part in value)}]"
    return json.dumps(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
