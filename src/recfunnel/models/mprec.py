"""The DLRMs of MP-Rec (Hsia et al., ASPLOS 2023), as its published artifact configures them.

Their embedding is exchanged with `msgspec.structs.replace(MPREC["kaggle"], embedding=...)`.
"""

from recfunnel.models.dlrm import DLRM
from recfunnel.models.embeddings.base import EmbeddingSpec
from recfunnel.models.embeddings.dhe import DHE
from recfunnel.models.embeddings.hybrid import Hybrid
from recfunnel.models.embeddings.per_feature import BySize
from recfunnel.models.embeddings.table import Table

MPREC = {
    "kaggle": DLRM(embedding_dim=16, bottom=(512, 256, 64), top=(512, 256), interaction="concat"),
    "terabyte": DLRM(
        embedding_dim=64, bottom=(512, 256), top=(512, 512, 256), interaction="concat"
    ),
}
"""By data set. Its bottom networks, 13-512-256-64-16 and 13-512-256-64, end in the dimension."""

OF_MPREC = DHE(codes="mprec", decoder="mprec")

REPRESENTATIONS: dict[str, EmbeddingSpec] = {
    "table": Table(),
    "dhe": OF_MPREC,
    "select": BySize(large=OF_MPREC, min_ids=2_000_000),
    "hybrid": Hybrid(second=OF_MPREC),
}
"""The four the paper serves. *select* computes the five largest features; two million ids divide
them from the rest in either data set."""
