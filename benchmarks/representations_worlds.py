"""What `representations_quality.py` trains: worlds, and each one's networks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from recfunnel.core.codes import MultiplyShift
from recfunnel.core.dataset import DatasetSpec
from recfunnel.data.ctr import Blocks
from recfunnel.data.movielens import MovieLens
from recfunnel.data.synthetic_ctr import CRITEO_CARDINALITIES, SyntheticCtr
from recfunnel.models.dlrm import DLRM
from recfunnel.models.embeddings.base import EmbeddingSpec
from recfunnel.models.embeddings.dhe import DHE, Decoder
from recfunnel.models.embeddings.hashed import Hashed
from recfunnel.models.embeddings.hybrid import Hybrid
from recfunnel.models.embeddings.per_feature import BySize
from recfunnel.models.embeddings.quotient_remainder import QuotientRemainderTables
from recfunnel.models.embeddings.table import Table
from recfunnel.recipes.entries import bce
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.study.study import Study
from recfunnel.train.base import ModelEntry
from recfunnel.train.bce import BCE

DIM = 16
NUM_ROWS = 2_050_000
MOST_IDS = 100_000
"""Of a generated feature: Criteo's larger ones are cut here."""

NUM_REMAINDERS = 256
"""Of the world `shared`: its largest features have 391 quotients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A data set and the models that are compared on it.

    Args:
        dataset: what is learned from and judged on.
        variants: networks by name; the first is what all are held against.
        controls: for a variant, those it has to beat for its claim to hold.
        training: at a learning rate.
        rates: learning rates tried for each variant.
    """

    dataset: DatasetSpec
    variants: Mapping[str, DLRM]
    controls: Mapping[str, tuple[str, ...]]
    training: Callable[[float], BCE]
    rates: tuple[float, ...]

    def entry(self, name: str, rate: float) -> ModelEntry:
        """A variant and how it is trained."""
        return ModelEntry(model=self.variants[name], training=self.training(rate))

    def study(self, seed: int, entries: Mapping[str, ModelEntry]) -> Study:
        """Some models of a data set with one seed."""
        return Study(
            name="representations",
            dataset=self.dataset,
            models=dict(entries),
            runtimes={"torch": TorchEager()},
            seed=seed,
        )

    def of(self, names: tuple[str, ...]) -> "World":
        """With only some variants, and the first."""
        kept = {n: m for n, m in self.variants.items() if n in (next(iter(self.variants)), *names)}
        controls = {
            name: tuple(other for other in others if other in kept)
            for name, others in self.controls.items()
        }
        return replace(self, variants=kept, controls=controls)


def networks(
    bottom: tuple[int, ...], dhe: DHE, hashed_rows: int, remainders: int
) -> dict[str, DLRM]:
    """A DLRM for each representation; only what makes vectors of ids differs."""

    def dlrm(embedding: EmbeddingSpec, dim: int = DIM) -> DLRM:
        return DLRM(embedding_dim=dim, bottom=bottom, top=(64,), embedding=embedding)

    return {
        "table": dlrm(Table()),
        "dhe": dlrm(dhe),
        "select": dlrm(BySize(large=dhe)),
        "hybrid": dlrm(Hybrid(second=dhe)),
        "two tables": dlrm(Hybrid(second=Table())),
        "table of twice the width": dlrm(Table(), 2 * DIM),
        "table + hash trick": dlrm(Hybrid(second=Hashed(num_rows=hashed_rows))),
        "hash trick": dlrm(Hashed(num_rows=hashed_rows)),
        "quotient-remainder": dlrm(QuotientRemainderTables(num_remainders=remainders)),
        "quotient-remainder sum": dlrm(
            QuotientRemainderTables(num_remainders=remainders, combine="add")
        ),
    }


CONTROLS = {"hybrid": ("two tables", "table of twice the width", "table + hash trick")}


def movielens(data: Path | None, *, quick: bool) -> World:
    """MovieLens-1M, full-catalogue ranking, NDCG@64."""
    if data is None:
        raise SystemExit("ml-1m needs --data FOLDER with ratings.dat, users.dat and movies.dat")
    dhe = DHE(codes=MultiplyShift(num_codes=256), decoder=Decoder(hidden=(128,)))
    epochs = 1 if quick else 4
    return World(
        dataset=MovieLens(path=str(data)),
        variants=networks((64,), dhe, hashed_rows=500, remainders=16),
        controls=CONTROLS,
        training=lambda rate: bce(rate, epochs),
        rates=(5e-3, 1e-2),
    )


def generated(num_remainders: int, *, quick: bool) -> World:
    """A generated click log of Criteo's shape."""
    dhe = DHE(codes=MultiplyShift(num_codes=256), decoder=Decoder(hidden=(128, 64)))
    return World(
        dataset=SyntheticCtr(
            num_rows=NUM_ROWS // 10 if quick else NUM_ROWS,
            cardinalities=tuple(min(count, MOST_IDS) for count in CRITEO_CARDINALITIES),
            num_remainders=num_remainders,
            queries=Blocks(num_candidates=256),
        ),
        variants=networks((64,), dhe, hashed_rows=10_000, remainders=NUM_REMAINDERS),
        controls=CONTROLS,
        training=lambda rate: bce(rate, 1, batch_queries=1024),
        rates=(2e-3, 5e-3),
    )


WORLDS: dict[str, Callable[..., World]] = {
    "ml-1m": movielens,
    "generated": lambda _, *, quick: generated(0, quick=quick),
    "shared": lambda _, *, quick: generated(NUM_REMAINDERS, quick=quick),
}
"""Makers of a world, from the data folder and whether a quick look is wanted."""
