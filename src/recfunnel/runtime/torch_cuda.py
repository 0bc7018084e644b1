"""torch on a GPU, arranged for one query at a time: items stay there, calls are recorded.

Everything is computed from a model's graph. What depends on an item alone is computed once and kept
on the device. A call sends the context and the rows of its candidates in one transfer, its work is
a CUDA graph recorded for calls of its size, and one transfer brings the scores back.
"""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from recfunnel.compile.budget import NO_LIMIT, Budget
from recfunnel.compile.hoist import hoist
from recfunnel.compile.load import load_graph
from recfunnel.compile.rewrite import View
from recfunnel.compile.store_computed import store_computed
from recfunnel.core.errors import MissingExtraError, ModelError, StudyError
from recfunnel.core.features import Features
from recfunnel.core.graph import GRAPH_FILE
from recfunnel.core.spec import Spec
from recfunnel.runtime.base import RuntimeSpec, runtimes

if TYPE_CHECKING:  # torch is optional: nothing here is imported until a model is loaded
    from recfunnel.runtime.gpu.model import TorchGpuModel
    from recfunnel.runtime.gpu.resident import DeviceMemory

GIB = 1 << 30


@runtimes.register
class TorchCuda(Spec, RuntimeSpec, frozen=True, tag="torch_cuda"):
    """torch on one GPU, for models that have a graph.

    Item states of the whole catalogue, the tables a context reads and the layers stay on the
    device. float32 is full float32: products are not rounded to TF32.

    Args:
        device: torch's name of it: `cuda`, or `cuda:1` for the second; `cpu` runs the same code
            without graphs and transfers, to test it.
        dtype: of item states and of the layers and dots of pairs. bfloat16 halves the memory of the
            items and ranks slightly differently, so that its scores are not exact.
        cuda_graphs: record the work of each size of call; false starts every kernel anew.
        prepare_up_to: record calls of up to so many candidates while loading, instead of each size
            when it is first asked for, which takes that call some tenths of a second.
        kernels: `triton` computes the end of a graph with one hidden layer in one kernel of ours;
            `auto` does where Triton is installed and a recorded call proves faster with it.
    """

    device: str = "cuda"
    dtype: Literal["float32", "bfloat16"] = "float32"
    cuda_graphs: bool = True
    prepare_up_to: int = 0
    kernels: Literal["auto", "torch", "triton"] = "auto"

    def __post_init__(self) -> None:
        if self.device != "cpu" and self.device.partition(":")[0] != "cuda":
            raise StudyError(
                f"torch_cuda runs on 'cuda', 'cuda:1', ... and 'cpu', not on {self.device!r}"
            )
        if self.prepare_up_to < 0:
            raise StudyError(f"prepare_up_to is {self.prepare_up_to}, must be 0 or more")

    @property
    def exact(self) -> bool:
        """Whether scores are float32 throughout."""
        return self.dtype == "float32"

    def refusal(self, folder: Path) -> str:
        """Why it cannot run a finished model: no graph, no torch, or no such GPU."""
        if not (folder / GRAPH_FILE).exists():
            return (
                f"{folder.name!r} has no graph, so it cannot be compiled; "
                "use the runtime 'torch' with device 'cuda'"
            )
        if importlib.util.find_spec("torch") is None:
            return str(MissingExtraError("torch", "train"))
        if self.kernels == "triton" and importlib.util.find_spec("triton") is None:
            return "kernels 'triton' need the package 'triton', which is not installed"
        return _missing_device(self.device)

    def load(self, folder: Path, items: Features, *, num_threads: int = 1) -> "TorchGpuModel":
        """Read a finished model, compute its items' states and put all on the device.

        Raises:
            StorageError: the folder is missing, damaged or of another version.
            MissingExtraError: torch is not installed.
            StudyError: there is no such device.
            ModelError: it has no graph, or does not fit into the device's memory.
        """
        try:
            import torch
        except ImportError as error:
            raise MissingExtraError("torch", "train") from error
        from recfunnel.runtime.gpu.calls import Device
        from recfunnel.runtime.gpu.model import TorchGpuModel
        from recfunnel.runtime.gpu.resident import Resident, needed_bytes

        stored = load_graph(folder)
        if missing := _missing_device(self.device):
            raise StudyError(missing)
        torch.set_num_threads(num_threads)
        torch.set_float32_matmul_precision("highest")
        whole = store_computed(stored.graph, stored.parameters, budget=Budget(NO_LIMIT))
        view, low = View(*hoist(*whole)), not self.exact
        needed, has = needed_bytes(view, len(items), low=low), free_bytes(self.device)
        if needed.total_bytes > has:
            raise ModelError(self._does_not_fit(stored.name, needed, has))
        device = Device(self.device, records=self.cuda_graphs, kernels=self.kernels)
        try:
            with torch.inference_mode():
                resident = Resident(view, items, self.device, low=low)
            model = TorchGpuModel(stored, resident, device)
            if self.prepare_up_to:
                model.prepare(self.prepare_up_to)
        except torch.OutOfMemoryError as error:
            raise ModelError(self._does_not_fit(stored.name, needed, has)) from error
        return model

    def _does_not_fit(self, name: str, needed: "DeviceMemory", has: int) -> str:
        smaller = "dtype 'bfloat16', " if self.exact else ""
        return (
            f"{name!r} does not fit on {self.device!r}: needs {needed.total_bytes / GIB:.2f} GiB "
            f"(tables {needed.table_bytes / GIB:.2f}, items {needed.item_bytes / GIB:.2f}) and "
            f"room to work in, has {has / GIB:.2f} GiB free; try {smaller}a smaller embedding "
            "dimension, fewer items, or the runtime 'native'"
        )


def _missing_device(device: str) -> str:
    """Why a device is not there, in words; empty when it is."""
    if device == "cpu":
        return ""
    import torch

    if not torch.cuda.is_available():
        built = "" if torch.version.cuda else " (this torch is built without CUDA)"
        return f"torch finds no CUDA device here{built}; use the runtime 'torch' or 'native'"
    number = int(device.partition(":")[2] or 0)
    if number >= torch.cuda.device_count():
        return f"there is no {device!r}; torch finds {torch.cuda.device_count()} CUDA devices"
    return ""


def free_bytes(device: str) -> int:
    """Memory of a device that nobody uses."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().available)
    import torch

    return int(torch.cuda.mem_get_info(torch.device(device))[0])
