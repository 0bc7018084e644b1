"""Small models as a user would bring them: a torch network, exported in every form."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.features import Features
from recfunnel.testing.model import fill_with_noise


class Tower(nn.Module):
    """Reads one id of each side, dense features of the item, and given scores."""

    def __init__(self, num_users: int, num_items: int, num_dense: int, num_scores: int) -> None:
        super().__init__()
        self.users = nn.Embedding(num_users, 4)
        self.items = nn.Embedding(num_items, 4)
        self.layer = nn.Linear(8 + num_dense + num_scores, 6)
        self.last = nn.Linear(6, 1)
        fill_with_noise(self)

    def forward(self, user: Tensor, item: Tensor, dense: Tensor, scores: Tensor) -> Tensor:
        parts = [self.users(user), self.items(item), dense, scores]
        out: Tensor = self.last(torch.relu(self.layer(torch.cat(parts, dim=1))))
        return out


NAMES = ("user", "item", "dense", "scores")
INPUTS = {"user": "user", "item": "item", "dense": ("year", "price")}
"""Of the example schema."""


def tower(num_scores: int = 2) -> Tower:
    return Tower(9, 15, 2, num_scores).eval()


def example(num_scores: int = 2, num_rows: int = 3) -> tuple[Tensor, ...]:
    users, items = (torch.zeros(num_rows, dtype=torch.int64) for _ in range(2))
    return users, items, torch.zeros(num_rows, 2), torch.zeros(num_rows, num_scores)


def save_onnx(network: nn.Module, file: Path, num_scores: int = 2) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            example(num_scores),
            str(file),
            input_names=list(NAMES),
            output_names=["score"],
            dynamic_axes={name: {0: "n"} for name in (*NAMES, "score")},
            dynamo=False,
        )
    return file


def save_torchscript(network: nn.Module, file: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(network), str(file))
    return file


def save_exported(network: nn.Module, file: Path) -> Path:
    n = torch.export.Dim("n", min=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(network, example(), dynamic_shapes=({0: n},) * 4)
        torch.export.save(program, str(file))
    return file


def tower_scores(
    network: nn.Module, context: Features, items: Features, candidates: IntArray, given: FloatArray
) -> FloatArray:
    """(Q, C), pair by pair, from the example schema's features."""
    found = np.empty(candidates.shape, np.float32)
    with torch.inference_mode():
        for query, rows in enumerate(candidates):
            user = torch.full(rows.shape, int(context.categorical[query, 0]))
            item = torch.from_numpy(items.categorical[rows, 0])
            dense, scores = torch.from_numpy(items.dense[rows]), torch.from_numpy(given[query])
            found[query] = network(user, item, dense, scores).squeeze(1).numpy()
    return found


def save_nodes(
    file: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[str, list[int | str]]],
    output: list[int | str],
) -> Path:
    """Any ONNX graph with one float32 output `score`."""
    described = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(d)), shape)
        for name, (d, shape) in inputs.items()
    ]
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, output)
    graph = helper.make_graph(nodes, "own", described, [score])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), file)
    return file
