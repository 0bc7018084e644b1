"""torch, eager: one gather for all tables; and in the layout of facebookresearch/dlrm."""

import importlib
import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from recfunnel.bench.model import BenchModel
from recfunnel.bench.peer import LoadedPeer, Peer
from recfunnel.bench.queries import FlatQuery
from recfunnel.bench.results import Precision
from recfunnel.bench.shapes import DLRMShape
from recfunnel.core.arrays import FloatArray
from recfunnel.core.errors import StudyError

DLRM_VARIABLE = "RECFUNNEL_DLRM"
"""Environment variable that names a checkout of facebookresearch/dlrm."""


class TorchFused(Peer):
    """torch's own operators, as few of them as there can be; a NeuMF as its paper has it."""

    name = "torch eager"
    precision: Precision = "float32"
    modules = ("torch",)

    def load(self, model: BenchModel, num_threads: int, cache: Path) -> LoadedPeer:
        """Build the module around the shared tables."""
        del cache
        import torch

        from recfunnel.bench.peer_modules import FusedDLRM, PlainNeuMF

        torch.set_num_threads(num_threads)
        if isinstance(model.shape, DLRMShape):
            table = torch.from_numpy(model.table)
            module: torch.nn.Module = FusedDLRM(model).eval()
        else:
            module = PlainNeuMF(model).eval()

        def prepare(query: FlatQuery) -> Any:
            if isinstance(model.shape, DLRMShape):
                return torch.from_numpy(query.dense), torch.from_numpy(query.rows), table
            return tuple(torch.tensor(query.ids[:, i]) for i in range(2))

        def run(ready: Any) -> FloatArray:
            with torch.inference_mode():
                scores: FloatArray = module(*ready).numpy()
            return scores

        return LoadedPeer(prepare, run)


class DLRMLayout(Peer):
    """A table a feature, summed by its own call, and the list of pairs written anew every call.

    With RECFUNNEL_DLRM set to a checkout of facebookresearch/dlrm that class itself is used; else a
    module of the same structure.
    """

    modules = ("torch",)
    precision: Precision = "float32"

    @property
    def name(self) -> str:  # type: ignore[override]
        """Which of the two."""
        found = os.environ.get(DLRM_VARIABLE)
        return "facebookresearch/dlrm" if found else "dlrm layout, eager"

    def takes(self, model: BenchModel) -> bool:
        """DLRMs only."""
        return isinstance(model.shape, DLRMShape)

    def load(self, model: BenchModel, num_threads: int, cache: Path) -> LoadedPeer:
        """Build the module around the shared tables.

        Raises:
            StudyError: RECFUNNEL_DLRM names no checkout.
        """
        del cache
        import torch

        torch.set_num_threads(num_threads)
        checkout = os.environ.get(DLRM_VARIABLE)
        if checkout:
            module = _original(model, Path(checkout))
        else:
            from recfunnel.bench.peer_dlrm import PerTableDLRM

            module = PerTableDLRM(model)
        module.eval()
        num_features = len(model.cardinalities)

        def prepare(query: FlatQuery) -> Any:
            offsets = torch.arange(len(query.ids)).repeat(num_features, 1)
            ids = torch.from_numpy(np.ascontiguousarray(query.ids.T))
            return torch.from_numpy(query.dense), offsets, ids

        def run(ready: Any) -> FloatArray:
            with torch.inference_mode():
                scores: FloatArray = module(*ready).numpy()
            return scores

        return LoadedPeer(prepare, run)


def _original(model: BenchModel, checkout: Path) -> Any:
    """facebookresearch/dlrm's own class with this model's parameters."""
    import torch

    file = checkout / "dlrm_s_pytorch.py"
    if not file.is_file():
        raise StudyError(
            f"{DLRM_VARIABLE} is {str(checkout)!r}, which has no dlrm_s_pytorch.py; "
            "name a checkout of github.com/facebookresearch/dlrm, or unset it"
        )
    _stand_in("mlperf_logger")
    _stand_in("torch.utils.tensorboard", SummaryWriter=object)
    sys.path.insert(0, str(checkout))
    try:
        spec = importlib.util.spec_from_file_location("dlrm_s_pytorch", file)
        assert spec is not None
        assert spec.loader is not None
        source = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(source)
    finally:
        sys.path.remove(str(checkout))
    bottom, top = model.layers("bottom"), model.layers("top")
    module = source.DLRM_Net(
        m_spa=model.table.shape[1],
        ln_emb=np.full(len(model.cardinalities), 4),  # replaced below
        ln_bot=np.array([bottom[0][0].shape[1], *(len(bias) for _, bias in bottom)]),
        ln_top=np.array([top[0][0].shape[1], *(len(bias) for _, bias in top)]),
        arch_interaction_op="dot",
        sigmoid_bot=-1,
        sigmoid_top=-1,
    )
    for feature, bag in enumerate(module.emb_l):
        rows = torch.from_numpy(model.parameters[f"tables.{feature}"])
        bag.weight = torch.nn.Parameter(rows, requires_grad=False)
        bag.num_embeddings = len(rows)
    for network, layers in ((module.bot_l, bottom), (module.top_l, top)):
        for layer, (weight, bias) in enumerate(layers):
            network[2 * layer].weight.data = torch.tensor(weight)
            network[2 * layer].bias.data = torch.tensor(bias)
    # A ReLU ends its top network where no sigmoid does; ours are plain scores.
    module.top_l = module.top_l[:-1]
    return module


def _stand_in(name: str, **contents: object) -> None:
    """An empty module, where the checkout imports one only for logging."""
    try:
        importlib.import_module(name)
    except ImportError:
        module = types.ModuleType(name)
        vars(module).update(contents)
        sys.modules[name] = module
