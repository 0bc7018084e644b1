"""The measured models as torch modules, for the libraries that start from one.

Letters: B candidates, F categorical features, V vectors a candidate, d their length.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from recfunnel.bench.model import BenchModel, Layers
from recfunnel.bench.shapes import DLRMShape, NeuMFShape


def network(layers: Layers, *, end_with_relu: bool) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    parts: list[nn.Module] = []
    for weight, bias in layers:
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
        parts += [layer, nn.ReLU()]
    return nn.Sequential(*(parts if end_with_relu else parts[:-1])).requires_grad_(False)


class FusedDLRM(nn.Module):
    """A DLRM with one gather from all tables and one product for all dots.

    Args:
        model: its parameters.
    """

    below: Tensor

    def __init__(self, model: BenchModel) -> None:
        super().__init__()
        assert isinstance(model.shape, DLRMShape)
        self.bottom = network(model.layers("bottom"), end_with_relu=True)
        self.top = network(model.layers("top"), end_with_relu=False)
        num_vectors = len(model.cardinalities) + 1
        row, column = torch.tril_indices(num_vectors, num_vectors, -1)
        self.register_buffer("below", row * num_vectors + column)

    def forward(self, dense: Tensor, rows: Tensor, table: Tensor) -> Tensor:
        """Scores (B, 1) of dense features (B, D) and table rows (B, F)."""
        x = self.bottom(dense)
        vectors = torch.cat([x.unsqueeze(1), functional.embedding(rows, table)], dim=1)
        return self.interact(x, vectors)

    def interact(self, x: Tensor, vectors: Tensor) -> Tensor:
        """Scores (B, 1) of the bottom network's (B, d) and all vectors (B, V, d)."""
        products = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)
        scores: Tensor = self.top(torch.cat([x, products.index_select(1, self.below)], dim=1))
        return scores


class PlainNeuMF(nn.Module):
    """A NeuMF as its paper has it, users and items paired up.

    Args:
        model: its parameters.
    """

    def __init__(self, model: BenchModel) -> None:
        super().__init__()
        assert isinstance(model.shape, NeuMFShape)
        self.tables = nn.ParameterDict(
            {
                name.replace(".", "_"): nn.Parameter(
                    torch.from_numpy(model.parameters[name]), requires_grad=False
                )
                for name in ("user.short", "user.long", "item.short", "item.long")
            }
        )
        self.tower = network(model.layers("tower"), end_with_relu=True)
        self.head = network(model.layers("head"), end_with_relu=False)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores (B, 1) of pairs of ids (B,)."""
        tables = self.tables
        look_up = functional.embedding
        product = look_up(users, tables["user_short"]) * look_up(items, tables["item_short"])
        pairs = [look_up(users, tables["user_long"]), look_up(items, tables["item_long"])]
        scores: Tensor = self.head(torch.cat([product, self.tower(torch.cat(pairs, 1))], 1))
        return scores
