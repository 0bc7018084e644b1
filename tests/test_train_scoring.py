"""Scoring outside training: what is scored does not depend on how it is cut, nor does memory."""

import numpy as np
import pytest
import torch
from torch import Tensor

from recfunnel.core.features import Features
from recfunnel.data.ctr import Blocks
from recfunnel.data.synthetic_ctr import SyntheticCtr
from recfunnel.models.base import TensorFeatures, to_tensors
from recfunnel.models.dlrm import DLRM
from recfunnel.train import scoring
from recfunnel.train.scoring import score_features

LOG = SyntheticCtr(
    num_rows=600, cardinalities=(7, 40), num_dense=2, queries=Blocks(num_candidates=20)
)


def test_a_click_log_encodes_the_rows_it_ranks_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = LOG.prepare(seed=0)
    queries = dataset.validation
    assert queries.candidates is not None
    network = DLRM(embedding_dim=4, bottom=(8,), top=(8,)).build(dataset.schema)
    encoded: list[int] = []
    encode = network.encode_items

    def counted(items: TensorFeatures) -> tuple[Tensor, ...]:
        encoded.append(len(items))
        return encode(items)

    monkeypatch.setattr(network, "encode_items", counted)
    monkeypatch.setattr(scoring, "MAX_PAIRS", 40)  # two queries a piece
    found = score_features("dlrm", network, queries.context, queries.items, queries.candidates)
    assert sum(encoded) == queries.candidates.size
    assert max(encoded) <= 40

    monkeypatch.undo()
    with torch.inference_mode():
        whole = network(
            to_tensors(Features.empty(len(queries))),
            to_tensors(queries.items),
            torch.from_numpy(np.ascontiguousarray(queries.candidates)),
        )
    assert found == pytest.approx(whole.numpy(), abs=1e-6)
