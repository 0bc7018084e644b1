"""A DLRM laid out as facebookresearch/dlrm lays it out, where no checkout of it is at hand."""

import torch
from torch import Tensor, nn

from recfunnel.bench.model import BenchModel
from recfunnel.bench.peer_modules import network


class PerTableDLRM(nn.Module):
    """One bag of embeddings a table; pairs of vectors are listed in Python at every call.

    Args:
        model: its parameters; tables are shared.
    """

    def __init__(self, model: BenchModel) -> None:
        super().__init__()
        self.bags = nn.ModuleList(
            nn.EmbeddingBag.from_pretrained(
                torch.from_numpy(model.parameters[f"tables.{feature}"]), mode="sum"
            )
            for feature in range(len(model.cardinalities))
        )
        self.bottom = network(model.layers("bottom"), end_with_relu=True)
        self.top = network(model.layers("top"), end_with_relu=False)

    def forward(self, dense: Tensor, offsets: Tensor, ids: Tensor) -> Tensor:
        """Scores (B, 1) of dense features (B, D) and bags of one id each, (F, B)."""
        x = self.bottom(dense)
        vectors = [bag(ids[i], offsets[i]) for i, bag in enumerate(self.bags)]
        stacked = torch.cat([x, *vectors], dim=1).view(len(x), -1, x.shape[1])
        products = torch.bmm(stacked, stacked.transpose(1, 2))
        num_vectors = stacked.shape[1]
        row = torch.tensor([i for i in range(num_vectors) for _ in range(i)])
        column = torch.tensor([j for i in range(num_vectors) for j in range(i)])
        scores: Tensor = self.top(torch.cat([x, products[:, row, column]], dim=1))
        return scores
