"""An id outside its feature is an error, whatever represents ids and whoever runs the model."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from native_machine_world import with_id
from recfunnel.core.errors import DataError
from recfunnel.core.features import Features
from recfunnel.models.base import ModelSpec
from recfunnel.models.dlrm import DLRM
from recfunnel.models.embeddings.base import EmbeddingSpec
from recfunnel.models.embeddings.dhe import DHE, Decoder
from recfunnel.models.embeddings.hashed import Hashed
from recfunnel.models.embeddings.hybrid import Hybrid
from recfunnel.models.embeddings.per_feature import BySize, PerFeature
from recfunnel.models.embeddings.quotient_remainder import QuotientRemainderTables
from recfunnel.models.embeddings.table import Table
from recfunnel.runtime.base import RuntimeSpec
from recfunnel.runtime.native import Native
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.testing.model import EXAMPLE_SCHEMA
from recfunnel.testing.runtime import NUM_ITEMS, RuntimeContract

SMALL = DHE(decoder=Decoder(hidden=(4,)))
SPECS: dict[str, EmbeddingSpec] = {
    "table": Table(),
    "hashed": Hashed(num_rows=3),
    "quotient_remainder": QuotientRemainderTables(num_remainders=3),
    "dhe": SMALL,
    "hybrid": Hybrid(second=SMALL),
    "by_size": BySize(large=Hashed(num_rows=2)),
    "per_feature": PerFeature(default=SMALL),
}
RUNTIMES: dict[str, RuntimeSpec] = {
    "stored": Native(),
    "computed": Native(largest_computed_bytes=0, catalogue="hoisted"),
    "torch": TorchEager(),
}


class World(RuntimeContract):
    """Features and storage of the contract; a DLRM of each representation."""

    specs: ClassVar[dict[str, tuple[ModelSpec, int]]] = {
        name: (DLRM(embedding_dim=4, bottom=(6,), top=(7,), embedding=spec), 0)
        for name, spec in SPECS.items()
    }


WORLD = World()


def with_listed(features: Features, value: int) -> Features:
    """The same features with another id at the end of the last list."""
    lists = features.multi_valued[0]
    values = lists.values.copy()
    values[-1] = value
    return replace(features, multi_valued=(replace(lists, values=values),))


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_id_outside_its_feature_is_refused(tmp_path: Path, name: str, runtime: str) -> None:
    """One past the last, and below 0: of a user, of an item, and in a list; then all goes on."""
    folder = WORLD.save(tmp_path, name)
    model = RUNTIMES[runtime].load(folder, WORLD.items())
    scores = model.score(WORLD.context(), None)
    users, lists = (EXAMPLE_SCHEMA.select("context", kind) for kind in KINDS)
    items = EXAMPLE_SCHEMA.select("candidate", "categorical")
    for below in (False, True):
        wrong = [
            with_id(WORLD.context(), 1, column, -1 if below else feature.cardinality)
            for column, feature in enumerate(users)
        ]
        wrong += [
            with_listed(WORLD.context(), -1 if below else feature.cardinality) for feature in lists
        ]
        for context in wrong:
            with pytest.raises(DataError, match=r"'(user|age|history)'"):
                model.score(context, None)
        for column, feature in enumerate(items):
            changed = with_id(WORLD.items(), 2, column, -1 if below else feature.cardinality)
            with pytest.raises(DataError, match="'item'"):
                RUNTIMES[runtime].load(folder, changed).score(WORLD.context(), None)
    assert np.array_equal(model.score(WORLD.context(), None), scores)
    assert scores.shape[1] == NUM_ITEMS


KINDS = ("categorical", "multi_valued")
