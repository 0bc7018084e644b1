"""AOTInductor: torch's module compiled ahead of time to a library of its own."""

import shutil
from pathlib import Path
from typing import Any

from recfunnel.bench.model import BenchModel
from recfunnel.bench.peer import LoadedPeer, Peer
from recfunnel.bench.queries import FlatQuery
from recfunnel.bench.results import Precision
from recfunnel.bench.shapes import DLRMShape
from recfunnel.core.arrays import FloatArray
from recfunnel.core.errors import StudyError
from recfunnel.core.storage import content_hash, replacing_file

MOST_CANDIDATES = 1 << 17


class AOTInductor(Peer):
    """Compiled with frozen weights; tables stay inputs and are shared."""

    name = "AOTInductor"
    precision: Precision = "float32"
    modules = ("torch",)
    slow_to_build = True

    def takes(self, model: BenchModel) -> bool:
        """DLRMs only: a NeuMF is all matrix products, which it leaves to the same library."""
        return isinstance(model.shape, DLRMShape)

    def load(self, model: BenchModel, num_threads: int, cache: Path) -> LoadedPeer:
        """Compile, or take what was compiled before.

        Raises:
            StudyError: there is no C++ compiler.
        """
        import torch

        torch.set_num_threads(num_threads)
        package = _package(model, num_threads, cache)
        compiled = torch._inductor.aoti_load_package(str(package))
        table = torch.from_numpy(model.table)

        def prepare(query: FlatQuery) -> Any:
            dense, rows = query.dense, query.rows
            if len(rows) == 1:  # it was compiled for two candidates at least
                dense, rows = dense.repeat(2, 0), rows.repeat(2, 0)
            return torch.from_numpy(dense), torch.from_numpy(rows), table, len(query.rows)

        def run(ready: Any) -> FloatArray:
            dense, rows, shared, size = ready
            with torch.inference_mode():
                scores: FloatArray = compiled(dense, rows, shared)[:size].numpy()
            return scores

        return LoadedPeer(prepare, run)


def _package(model: BenchModel, num_threads: int, cache: Path) -> Path:
    import torch

    from recfunnel.bench.peer_modules import FusedDLRM

    weights = {
        name: float(array.sum())
        for name, array in sorted(model.parameters.items())
        if not name.startswith("tables.")
    }
    key = content_hash([model.table.shape, weights, num_threads, str(torch.__version__)])
    package = cache / f"{model.name}-{num_threads}-{key}.pt2"
    if package.exists():
        return package
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        raise StudyError("needs a C++ compiler, such as g++")
    example = torch.randn(64, 13), torch.zeros(64, len(model.cardinalities), dtype=torch.long)
    size = torch.export.Dim("candidates", min=2, max=MOST_CANDIDATES)
    program = torch.export.export(
        FusedDLRM(model).eval(),
        (*example, torch.from_numpy(model.table)),
        dynamic_shapes={"dense": {0: size}, "rows": {0: size}, "table": None},
    )
    with replacing_file(package) as temporary, torch.no_grad():
        made = temporary.with_suffix(".pt2")
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(made), inductor_configs={"freezing": True}
        )
        made.rename(temporary)
    return package
