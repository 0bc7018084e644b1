"""Reading a finished model's graph and parameters, without the framework it was trained in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recfunnel.compile.id_counts import IdCounts, load_id_counts
from recfunnel.compile.safetensors import map_safetensors
from recfunnel.compile.widths import Parameters, node_widths
from recfunnel.core.errors import InvalidInput, ModelError, StorageError
from recfunnel.core.features import FeatureSchema
from recfunnel.core.graph import GRAPH_FILE, PARAMETERS_FILE, RankingGraph
from recfunnel.core.spec import convert
from recfunnel.core.storage import FORMAT_VERSION, MANIFEST, read_json


@dataclass(frozen=True, eq=False, slots=True)
class StoredGraph:
    """A finished model as its folder describes it.

    Args:
        name: in the study.
        graph: what it computes.
        parameters: by name, memory-mapped and read-only.
        schema: features it is called with.
        score_inputs: names of the models whose scores it reads, in the order of `Given`.
        id_counts: of a window of queries; None where none was counted.
    """

    name: str
    graph: RankingGraph
    parameters: Parameters
    schema: FeatureSchema
    score_inputs: tuple[str, ...]
    id_counts: IdCounts | None = None


def load_graph(folder: Path) -> StoredGraph:
    """Read a finished model's graph and map its parameters.

    Args:
        folder: `models/NAME` of a run folder.

    Raises:
        ModelError: the model has no graph (a user's own network, say).
        StorageError: missing, damaged, of another version, or saved before graphs were.
    """
    manifest = read_json(folder / MANIFEST, dict[str, Any])
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise StorageError(
            f"{folder} has format version {version}, this recfunnel reads {FORMAT_VERSION}; "
            "use a fresh run folder"
        )
    _check_graph(folder, manifest)
    try:
        schema = convert(manifest["schema"], FeatureSchema, name="schema")
        name, score_inputs = str(manifest["name"]), tuple(manifest["score_inputs"])
    except (InvalidInput, KeyError, TypeError) as error:
        raise StorageError(f"{folder / MANIFEST} is damaged: {error}; train it again") from error
    graph = read_json(folder / GRAPH_FILE, RankingGraph)
    parameters = map_safetensors(folder / PARAMETERS_FILE)
    try:
        node_widths(graph, parameters)
    except ModelError as error:
        raise StorageError(
            f"{folder}: {GRAPH_FILE} and {PARAMETERS_FILE} do not belong together ({error}); "
            "train the model again"
        ) from error
    counts = load_id_counts(folder) if graph.computed else None
    return StoredGraph(name, graph, parameters, schema, score_inputs, counts)


def _check_graph(folder: Path, manifest: dict[str, Any]) -> None:
    """Say why there is no graph, where there is none."""
    if (folder / GRAPH_FILE).exists():
        return
    name = manifest.get("name", folder.name)
    kind = manifest.get("spec", {}).get("kind", "")
    if "has_graph" not in manifest:
        raise StorageError(
            f"{name!r} was trained by an earlier version of recfunnel, which stored no graph; "
            "train it again in a fresh run folder"
        )
    if manifest["has_graph"]:
        raise StorageError(f"{folder / GRAPH_FILE} does not exist; train the model again")
    raise ModelError(
        f"{name!r} (kind {kind!r}) has no graph, so it cannot be compiled; use the runtime 'torch'"
    )
