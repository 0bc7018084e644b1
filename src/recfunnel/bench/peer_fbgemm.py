"""fbgemm's table-batched embeddings with torch around them, as torchrec serves."""

from pathlib import Path
from typing import Any

import numpy as np

from recfunnel.bench.model import BenchModel
from recfunnel.bench.peer import LoadedPeer, Peer
from recfunnel.bench.queries import FlatQuery
from recfunnel.bench.results import Precision
from recfunnel.bench.shapes import DLRMShape
from recfunnel.core.arrays import FloatArray

ROWS_AT_ONCE = 1 << 20


class Fbgemm(Peer):
    """One call for all tables, in float32. It keeps a copy of the tables."""

    name = "fbgemm + torch"
    precision: Precision = "float32"
    modules = ("torch", "fbgemm_gpu")

    def takes(self, model: BenchModel) -> bool:
        """DLRMs only."""
        return isinstance(model.shape, DLRMShape)

    def load(self, model: BenchModel, num_threads: int, cache: Path) -> LoadedPeer:
        """Copy the tables and build the rest."""
        del cache
        import torch
        from fbgemm_gpu.split_embedding_configs import SparseType
        from fbgemm_gpu.split_table_batched_embeddings_ops_common import (
            EmbeddingLocation,
            PoolingMode,
        )
        from fbgemm_gpu.split_table_batched_embeddings_ops_inference import (
            IntNBitTableBatchedEmbeddingBagsCodegen,
        )

        from recfunnel.bench.peer_modules import FusedDLRM

        torch.set_num_threads(num_threads)
        num_features, dim = len(model.cardinalities), model.table.shape[1]
        tables = IntNBitTableBatchedEmbeddingBagsCodegen(
            [
                ("", size, dim, SparseType.FP32, EmbeddingLocation.HOST)
                for size in model.cardinalities
            ],
            device="cpu",
            output_dtype=SparseType.FP32,
            pooling_mode=PoolingMode.SUM,
            row_alignment=1,
        )
        tables.initialize_weights()
        for feature, (bytes_of_rows, *_) in enumerate(tables.split_embedding_weights()):
            rows = torch.from_numpy(model.parameters[f"tables.{feature}"])
            for start in range(0, len(rows), ROWS_AT_ONCE):
                part = rows[start : start + ROWS_AT_ONCE].view(torch.uint8)
                bytes_of_rows[start : start + ROWS_AT_ONCE, : part.shape[1]].copy_(part)
        module = FusedDLRM(model).eval()

        def prepare(query: FlatQuery) -> Any:
            ids = torch.from_numpy(np.ascontiguousarray(query.ids.T, np.int32)).reshape(-1)
            return torch.from_numpy(query.dense), ids, torch.arange(ids.numel() + 1).int()

        def run(ready: Any) -> FloatArray:
            dense, ids, offsets = ready
            with torch.inference_mode():
                x = module.bottom(dense)
                rows = tables(ids, offsets)
                vectors = torch.cat([x, rows], 1).view(len(x), num_features + 1, dim)
                scores: FloatArray = module.interact(x, vectors).numpy()
            return scores

        return LoadedPeer(prepare, run)
