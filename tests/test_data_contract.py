"""Every built-in kind of data set keeps the contract."""

from pathlib import Path

import data_samples as samples
from recfunnel.core.dataset import DatasetSpec
from recfunnel.data.criteo import Criteo
from recfunnel.data.ctr import Blocks
from recfunnel.data.movielens import MovieLens
from recfunnel.data.synthetic import Synthetic
from recfunnel.data.synthetic_ctr import SyntheticCtr
from recfunnel.data.tabular import Tabular
from recfunnel.testing.dataset import DatasetContract

SMALL_BLOCKS = Blocks(num_candidates=10)


class TestSynthetic(DatasetContract):
    spec = Synthetic(num_users=80, num_items=60, mean_ratings=15)


class TestSyntheticCtr(DatasetContract):
    spec = SyntheticCtr(num_rows=600, cardinalities=(5, 50, 5000), queries=SMALL_BLOCKS)


class TestMovieLens1M(DatasetContract):
    def make_spec(self, folder: Path) -> DatasetSpec:
        return MovieLens(path=str(samples.write_ml_1m(folder / "raw")))


class TestMovieLens1MByTime(DatasetContract):
    seed_matters = False

    def make_spec(self, folder: Path) -> DatasetSpec:
        return MovieLens(path=str(samples.write_ml_1m(folder / "raw", gz=True)), split="time")


class TestMovieLens1MLeaveOneOut(DatasetContract):
    def make_spec(self, folder: Path) -> DatasetSpec:
        raw = samples.write_ncf(samples.write_ml_1m(folder / "raw"))
        return MovieLens(path=str(raw), split="leave_one_out")


class TestMovieLens100K(DatasetContract):
    def make_spec(self, folder: Path) -> DatasetSpec:
        return MovieLens(path=str(samples.write_ml_100k(folder / "raw")), gain="rating")


class TestCriteoDisjoint(DatasetContract):
    def make_spec(self, folder: Path) -> DatasetSpec:
        log = samples.write_criteo(folder / "log.txt.gz")
        return Criteo(path=str(log), queries=SMALL_BLOCKS)


class TestCriteoRecPipe(DatasetContract):
    seed_matters = False

    def make_spec(self, folder: Path) -> DatasetSpec:
        log = samples.write_criteo(folder / "log.txt")
        queries = Blocks(protocol="recpipe", num_candidates=15, num_queries=9)
        return Criteo(path=str(log), queries=queries, min_count=3)


class TestTabularImplicit(DatasetContract):
    def make_spec(self, folder: Path) -> DatasetSpec:
        return Tabular(path=str(samples.write_plays(folder)))


class TestTabularImplicitByTime(DatasetContract):
    seed_matters = False

    def make_spec(self, folder: Path) -> DatasetSpec:
        return Tabular(path=str(samples.write_plays(folder)), split="time")


class TestTabularListwise(DatasetContract):
    def make_spec(self, folder: Path) -> DatasetSpec:
        return Tabular(path=str(samples.write_clicks(folder)))


class TestTabularBlocks(DatasetContract):
    def make_spec(self, folder: Path) -> DatasetSpec:
        flat = samples.CLICKS_TOML.replace('query = "search"\n', "").replace(
            'side = "context"\n', ""
        )
        return Tabular(
            path=str(samples.write_clicks(folder, flat)), queries=Blocks(num_candidates=5)
        )
