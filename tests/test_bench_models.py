"""The measured models: every library computes the same scores as float64 numpy."""

from pathlib import Path

import numpy as np
import pytest

from recfunnel.bench import memory
from recfunnel.bench.backend import error_of, exact_scores
from recfunnel.bench.model import BenchModel, build_model
from recfunnel.bench.peer import Peer
from recfunnel.bench.peer_torch import DLRMLayout
from recfunnel.bench.peers import PEERS, peers_named, usable_peers
from recfunnel.bench.queries import (
    Draw,
    Workload,
    catalogue_items,
    catalogue_workload,
    flat_queries,
    plain_workload,
    zipf_ids,
)
from recfunnel.bench.shapes import CARDINALITIES, SHAPES, Setting, cardinalities, shape_named
from recfunnel.compile.evaluate import evaluate
from recfunnel.core.errors import StudyError

NUM_CANDIDATES = 24
DRAW = Draw(NUM_CANDIDATES, num_pairs=1000, seed=1)
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.05, "int8": 0.2}


def small(name: str) -> BenchModel:
    return build_model(shape_named(name), num_rows=5000, seed=1)


def workload(model: BenchModel, setting: Setting) -> Workload:
    if setting == "plain":
        return plain_workload(model, DRAW)
    return catalogue_workload(model, catalogue_items(model, 300, 1), DRAW)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
@pytest.mark.parametrize("name", ["RM_small", "NeuMF_large"])
def test_a_library_computes_the_same_scores(peer: Peer, name: str, tmp_path: Path) -> None:
    model = small(name)
    usable, missing = usable_peers([peer], model, quick=True)
    if not usable:
        pytest.skip(missing[0].why if missing else "does not run this model")
    settings: list[Setting] = ["catalogue"] if name.startswith("NeuMF") else ["plain", "catalogue"]
    for setting in settings:
        work = workload(model, setting)
        loaded = peer.load(model, 1, tmp_path)
        for number, query in enumerate(flat_queries(model, work, 2)):
            expected = evaluate(
                model.graph(setting),
                model.parameters,
                work.context.row(number),
                work.items,
                work.candidates[number : number + 1],
            )[0]
            found = loaded.run(loaded.prepare(query)).reshape(-1)
            assert found.shape == (NUM_CANDIDATES,)
            assert np.abs(found - expected).max() < TOLERANCE[peer.precision] * expected.std()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_features_obey_the_schema(shape: object) -> None:
    model = small(getattr(shape, "name"))  # noqa: B009 - a union of shapes
    settings: list[Setting] = ["catalogue"]
    if not model.name.startswith("NeuMF"):
        settings.append("plain")
    for setting in settings:
        work, schema = workload(model, setting), model.schema(setting)
        work.context.check(schema, "context")
        work.items.check(schema, "candidate")
        assert work.candidates.max() < len(work.items)


def test_the_full_tables_are_those_of_criteo_kaggle() -> None:
    assert sum(CARDINALITIES) == 33_762_577
    assert cardinalities(None) == CARDINALITIES
    assert cardinalities(10**9) == CARDINALITIES


def test_smaller_tables_keep_their_proportions() -> None:
    sizes = cardinalities(1_000_000)
    assert 0.9e6 < sum(sizes) < 1.1e6
    assert max(sizes) == sizes[CARDINALITIES.index(max(CARDINALITIES))]
    assert min(sizes) >= 3


@pytest.mark.parametrize("num_rows", [0, -5, 25])
def test_too_few_rows_are_refused(num_rows: int) -> None:
    with pytest.raises(StudyError, match="give at least"):
        cardinalities(num_rows)


def test_zipf_ids_follow_zipfs_law() -> None:
    ids = zipf_ids(1000, 200_000, np.random.default_rng(0))
    counts = np.sort(np.bincount(ids, minlength=1000))[::-1]
    # Rank 1 against rank 10: 10 to the 1.05 is 11.2, less what continuous ranks flatten (about 12 %
    # here); the counts' own error is 2 %.
    assert 8 < counts[0] / counts[9] < 12
    assert ids.min() >= 0
    assert ids.max() < 1000


def test_popular_ids_lie_apart() -> None:
    ids = zipf_ids(100_000, 10_000, np.random.default_rng(0))
    popular = np.argsort(np.bincount(ids, minlength=100_000))[::-1][:8]
    assert np.diff(np.sort(popular)).min() > 100


def test_candidates_of_a_query_are_different_items() -> None:
    model = small("RM_small")
    for num_items in (NUM_CANDIDATES, 50, 3000):
        work = catalogue_workload(model, catalogue_items(model, num_items, 1), DRAW)
        assert all(len(set(row)) == NUM_CANDIDATES for row in work.candidates.tolist())


def test_more_candidates_than_items_are_refused() -> None:
    model = small("RM_small")
    with pytest.raises(StudyError, match="24 candidates of 10 items"):
        catalogue_workload(model, catalogue_items(model, 10, 1), DRAW)


def test_the_same_seed_gives_the_same_model_and_queries() -> None:
    first, second = small("RM_small"), small("RM_small")
    assert np.array_equal(first.table, second.table)
    assert np.array_equal(
        workload(first, "plain").items.dense, workload(second, "plain").items.dense
    )


def test_tables_that_do_not_fit_are_refused_with_both_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 1 << 30)
    with pytest.raises(StudyError, match=r"needs 4\.4 GiB, has 1\.0 GiB; take fewer rows"):
        build_model(shape_named("RM_large"), num_rows=None, seed=1)


CHECKOUT = """
import mlperf_logger
import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

def network(widths):
    pairs = zip(widths[:-1], widths[1:])
    layers = [part for k, n in pairs for part in (torch.nn.Linear(int(k), int(n)), torch.nn.ReLU())]
    return torch.nn.Sequential(*layers)

class DLRM_Net(torch.nn.Module):
    def __init__(self, m_spa, ln_emb, ln_bot, ln_top, **others):
        super().__init__()
        bags = [torch.nn.EmbeddingBag(int(n), m_spa, mode="sum") for n in ln_emb]
        self.emb_l = torch.nn.ModuleList(bags)
        self.bot_l, self.top_l = network(ln_bot), network(ln_top)

    def forward(self, dense, offsets, ids):
        x = self.bot_l(dense)
        vectors = [bag(ids[k], offsets[k]) for k, bag in enumerate(self.emb_l)]
        stacked = torch.stack([x, *vectors], 1)
        row, column = np.tril_indices(stacked.shape[1], -1)
        return self.top_l(torch.cat([x, (stacked @ stacked.mT)[:, row, column]], 1))
"""


def test_a_checkout_of_dlrm_is_used_where_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    (tmp_path / "dlrm_s_pytorch.py").write_text(CHECKOUT)
    monkeypatch.setenv("RECFUNNEL_DLRM", str(tmp_path))
    peer = DLRMLayout()
    assert peer.name == "facebookresearch/dlrm"
    model = small("RM_small")
    work = workload(model, "plain")
    query = next(flat_queries(model, work, 1))
    loaded = peer.load(model, 1, tmp_path)
    found = loaded.run(loaded.prepare(query)).reshape(-1)
    assert error_of(found, exact_scores(model, work)) < 1e-5


def test_a_folder_that_is_no_checkout_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("RECFUNNEL_DLRM", str(tmp_path))
    with pytest.raises(StudyError, match=r"has no dlrm_s_pytorch\.py"):
        DLRMLayout().load(small("RM_small"), 1, tmp_path)


def test_names_are_suggested() -> None:
    with pytest.raises(StudyError, match="did you mean 'RM_small'"):
        shape_named("RM_smal")
    with pytest.raises(StudyError, match="did you mean 'OpenVINO'"):
        peers_named(["OpenVIN"])
    assert peers_named(["none"]) == ()


def test_what_is_not_installed_is_listed() -> None:
    class Absent(Peer):
        name = "absent"
        precision = "float32"
        modules = ("no_such_library",)

    usable, missing = usable_peers([Absent()], small("RM_small"), quick=False)
    assert usable == ()
    assert missing[0].why == "no_such_library is not installed"
