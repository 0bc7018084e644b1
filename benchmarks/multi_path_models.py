"""What `multi_path_serving.py` serves: networks over several representations of the same ids.

The world is a generated click log of Criteo's shape, whose queries are blocks of rows. The small
network ranks worse and costs a fraction; the large ones differ in what makes vectors of ids alone.
"""

from dataclasses import dataclass
from pathlib import Path as Folder

from recfunnel.compile.id_counts import count_ids, save_id_counts
from recfunnel.compile.load import load_graph
from recfunnel.core.codes import MultiplyShift
from recfunnel.core.pipeline import Mapping, Path, Station, base_name, pipeline_of
from recfunnel.core.progress import Progress
from recfunnel.data.ctr import Blocks
from recfunnel.data.synthetic_ctr import SyntheticCtr
from recfunnel.models.dlrm import DLRM
from recfunnel.models.embeddings.dhe import DHE, Decoder
from recfunnel.models.embeddings.hybrid import Hybrid
from recfunnel.recipes.entries import bce
from recfunnel.runtime.messages import ServingSetup
from recfunnel.runtime.native import Native
from recfunnel.study.run_folder import RunFolder
from recfunnel.study.steps import Steps
from recfunnel.study.study import Study
from recfunnel.train.base import ModelEntry

MOST_CANDIDATES = 1024
"""Of a query; lognormal sizes of mean 128 pass it once in 1,000 times and are cut."""

NUM_OUT = 16
KEPT = 64
"""Candidates that the small network hands on in the path of two stages."""

HOT_BYTES = 1_000_000
"""Of the hybrid's frequent rows that are kept while the others are computed."""

LEARNING_RATE = 2e-3

_COMPUTED = DHE(codes=MultiplyShift(num_codes=256), decoder=Decoder(hidden=(128,)))
_BOTTOM, _TOP = (512, 256, 64), (512, 256)

NETWORKS = {
    "small": DLRM(embedding_dim=4, bottom=(128,), top=(128,)),
    "table": DLRM(bottom=_BOTTOM, top=_TOP),
    "dhe": DLRM(bottom=_BOTTOM, top=_TOP, embedding=_COMPUTED),
    "hybrid": DLRM(bottom=_BOTTOM, top=_TOP, embedding=Hybrid(second=_COMPUTED)),
}
"""MP-Rec's network for Criteo Kaggle with each of its representations, and a small one; decoders
are smaller than the paper's."""

RUNTIMES = {
    "stored": Native(catalogue="hoisted", num_candidates=128),
    "computed": Native(catalogue="hoisted", num_candidates=128, largest_computed_bytes=0),
    "hot": Native(
        catalogue="hoisted",
        num_candidates=128,
        largest_computed_bytes=0,
        hot_store_bytes=HOT_BYTES,
    ),
}
"""Item features come with the request, so nothing of an item is computed in advance."""


@dataclass(frozen=True, slots=True)
class Served:
    """One way to serve: the models of its stages, as `model@runtime`."""

    name: str
    stages: tuple[str, ...]

    def path(self, num_servers: int) -> Path:
        """What is executed: all stages in one server."""
        kept = (KEPT,) * (len(self.stages) - 1)
        pipeline = pipeline_of(self.stages, (MOST_CANDIDATES, *kept, NUM_OUT))
        station = Station(platform="cpu", num_stages=len(self.stages), num_servers=num_servers)
        runtimes = tuple((model, model.partition("@")[2]) for model in self.stages)
        return Path(pipeline=pipeline, mapping=Mapping(stations=(station,)), runtimes=runtimes)

    @property
    def models(self) -> tuple[str, ...]:
        """Fitted models, by stage."""
        return tuple(map(base_name, self.stages))


SERVED = (
    Served("small", ("small@stored",)),
    Served("table", ("table@stored",)),
    Served("dhe computed", ("dhe@computed",)),
    Served("hybrid computed", ("hybrid@computed",)),
    Served("hybrid hot", ("hybrid@hot",)),
    Served("hybrid stored", ("hybrid@stored",)),
    Served("small, then hybrid", ("small@stored", "hybrid@stored")),
)


def study(num_rows: int, seed: int) -> Study:
    """The click log and its models."""
    training = bce(LEARNING_RATE, 1, batch_queries=1024)
    return Study(
        name="multi-path serving",
        dataset=SyntheticCtr(
            num_rows=num_rows, signal=2.5, queries=Blocks(num_candidates=MOST_CANDIDATES)
        ),
        models={n: ModelEntry(model=network, training=training) for n, network in NETWORKS.items()},
        seed=seed,
    )


def train(folder: Folder, num_rows: int, seed: int, progress: Progress) -> None:
    """Data and fitted models in a run folder; what is there already stays.

    Frequent ids are counted on the validation queries.
    """
    with RunFolder(folder) as place:
        steps = Steps(study(num_rows, seed), place, progress)
        steps.train()
        window = steps.queries("validation")
        assert window.candidates is not None, "a click log's queries name their rows"
        graph = load_graph(steps.models_folder / "hybrid").graph
        counts = count_ids(graph, window.context, window.items, window.candidates)
        save_id_counts(steps.models_folder / "hybrid", counts)


def setup_of(folder: Folder) -> ServingSetup:
    """What an engine needs of a run folder that is trained."""
    return ServingSetup(
        runtimes=RUNTIMES,
        models_folder=folder / "models",
        dataset_folder=folder / "data",
        score_inputs={model: () for served in SERVED for model in served.stages},
    )
