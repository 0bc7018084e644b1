"""The native runtime keeps its contract for every representation, stored whole or computed."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from recfunnel.compile.id_counts import count_ids, save_id_counts
from recfunnel.compile.load import load_graph
from recfunnel.core.codes import MultiplyShift, PrimeModulus
from recfunnel.core.pipeline import pipeline_of
from recfunnel.models.base import ModelSpec
from recfunnel.models.dlrm import DLRM
from recfunnel.models.embeddings.dhe import DHE, Decoder
from recfunnel.models.embeddings.hashed import Hashed
from recfunnel.models.embeddings.hybrid import Hybrid
from recfunnel.models.embeddings.quotient_remainder import QuotientRemainderTables
from recfunnel.models.embeddings.table import Table
from recfunnel.models.neumf import NeuMF
from recfunnel.models.reranker import Reranker
from recfunnel.runtime.cascade import Cascade, OneByOne, Question
from recfunnel.runtime.native import Native
from recfunnel.runtime.native_stages import NativeStages, fused
from recfunnel.testing.runtime import RuntimeContract

SMALL = DHE(codes=MultiplyShift(num_codes=40), decoder=Decoder(hidden=(12, 9)))
KDD21 = DHE(
    codes=PrimeModulus(num_codes=34, values="gaussian"),
    decoder=Decoder(hidden=(8,), activation="mish", output="mish", batch_norm=True),
)
HYBRID = Hybrid(first=Table(), second=SMALL)


class Representations(RuntimeContract):
    """Models whose ids are represented in other ways than by one table."""

    specs: ClassVar[dict[str, tuple[ModelSpec, int]]] = {
        "dlrm_dhe": (DLRM(embedding_dim=4, bottom=(6,), top=(7,), embedding=SMALL), 0),
        "dlrm_kdd21": (DLRM(embedding_dim=4, bottom=(6,), top=(7,), embedding=KDD21), 0),
        "dlrm_hybrid": (DLRM(embedding_dim=4, bottom=(6,), top=(7,), embedding=HYBRID), 0),
        "neumf_dhe": (NeuMF(mf_dim=3, mlp_dim=4, hidden=(6, 5), embedding=SMALL), 0),
        "reranker_hashed": (
            Reranker(embedding_dim=4, hidden=(6, 5), use_history=True, embedding=Hashed()),
            2,
        ),
        "dlrm_qr": (
            DLRM(embedding_dim=4, bottom=(6,), top=(7,), embedding=QuotientRemainderTables()),
            0,
        ),
    }


class TestStoredWhole(Representations):
    runtime = Native()


class TestComputed(Representations):
    runtime = Native(largest_computed_bytes=0)


class TestComputedHoisted(Representations):
    runtime = Native(largest_computed_bytes=0, catalogue="hoisted")


class TestComputedInBFloat16(Representations):
    """Rounds weights and inputs to 8 bits."""

    runtime = Native(largest_computed_bytes=0, catalogue="hoisted", precision="bfloat16")
    tolerance: ClassVar[float] = 2e-2


CONTRACT = TestStoredWhole()


@pytest.mark.parametrize("name", ["dlrm_dhe", "dlrm_kdd21", "dlrm_hybrid", "dlrm_qr"])
def test_stored_whole_and_computed_agree_to_the_last_bit(tmp_path: Path, name: str) -> None:
    """The same function makes the rows; a DLRM's vectors meet no layer that could be folded."""
    folder = CONTRACT.save(tmp_path, name)
    model = load_graph(folder)
    candidates = CONTRACT.candidates()
    counts = count_ids(model.graph, CONTRACT.context(), CONTRACT.items(), candidates)
    save_id_counts(folder, counts)
    found = []
    for options in (
        {},
        {"largest_computed_bytes": 0},
        {"largest_computed_bytes": 0, "hot_store_bytes": 500},
        {"largest_computed_bytes": 0, "hot_store_bytes": 1 << 20},
    ):
        runtime = Native(catalogue="hoisted", **options)  # type: ignore[arg-type]
        for _ in range(2):  # made, then read from its files
            loaded = runtime.load(folder, CONTRACT.items())
            found.append(loaded.score(CONTRACT.context(), candidates))
    for scores in found[1:]:
        assert np.array_equal(scores, found[0])


def test_stages_that_compute_rows_run_behind_each_other(tmp_path: Path) -> None:
    names = ("dlrm_dhe", "dlrm_hybrid")
    runtime = Native(largest_computed_bytes=0, catalogue="hoisted")
    models = {name: runtime.load(CONTRACT.save(tmp_path, name), CONTRACT.items()) for name in names}
    num_items = len(CONTRACT.items())
    pipeline = pipeline_of(names, (num_items, 6, 3))
    cascade = Cascade(pipeline, models, num_items)
    one_by_one = OneByOne(cascade, (0, 1))
    together = fused(one_by_one)
    assert isinstance(together, NativeStages)
    for row in range(3):
        question = Question(CONTRACT.context().row(row), np.zeros(0, np.int64), None)
        expected, found = one_by_one.run(question, None), together.run(question, None)
        assert np.array_equal(found.columns, expected.columns)
        for name, scores in expected.scores.items():
            assert np.array_equal(found.scores[name], scores)
