"""A fitted model as a folder: parameters (safetensors, never pickle) and what they belong to.

models/NAME/manifest.json            what was built and how it was fitted
models/NAME/parameters.safetensors   parameters by name
models/NAME/graph.json               what is computed from them, where a graph can say it
models/NAME/model.*                  a user's own file, where the model is one
"""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recfunnel.core.errors import InvalidInput, StorageError
from recfunnel.core.features import FeatureSchema
from recfunnel.core.graph import GRAPH_FILE, PARAMETERS_FILE
from recfunnel.core.spec import convert, to_builtins
from recfunnel.core.storage import (
    FORMAT_VERSION,
    MANIFEST,
    read_json,
    replacing_folder,
    write_json,
)
from recfunnel.models.base import ModelSpec, models
from recfunnel.models.own_file import OwnFile

PARAMETERS = PARAMETERS_FILE

MAPPED_BYTES = 16 * 2**20
"""Parameters at least this large stay mapped to the file: servers on one machine share them."""


@dataclass(frozen=True, eq=False, slots=True)
class Checkpoint:
    """A fitted model as read from its folder.

    Args:
        name: in the study.
        spec: what was built.
        schema: features it is called with.
        score_inputs: names of the models whose scores it reads.
        module: the network with its fitted parameters, in evaluation mode.
        manifest: everything else that was stored: cost, fit report, versions.
    """

    name: str
    spec: ModelSpec
    schema: FeatureSchema
    score_inputs: tuple[str, ...]
    module: nn.Module
    manifest: Mapping[str, Any]


def save_checkpoint(
    folder: Path,
    spec: ModelSpec,
    schema: FeatureSchema,
    module: nn.Module,
    *,
    name: str,
    score_inputs: Sequence[str] = (),
    report: Mapping[str, Any] | None = None,
) -> None:
    """Store a fitted model; the folder appears whole or not at all.

    Args:
        folder: final place; replaced when it exists.
        spec: what was built.
        schema: features it was built for.
        module: the fitted network.
        name: in the study.
        score_inputs: names of the models whose scores it reads.
        report: plain data on how it was fitted.

    Raises:
        StorageError: no space, no permission.
    """
    graph = spec.graph(schema, len(score_inputs))
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": name,
        "spec": to_builtins(spec),
        "schema": to_builtins(schema),
        "score_inputs": list(score_inputs),
        "cost": to_builtins(spec.cost(schema, len(score_inputs))),
        "report": dict(report or {}),
        "has_graph": graph is not None,
        "versions": {p: _version(p) for p in ("recfunnel", "torch")},
    }
    with replacing_folder(folder) as temporary:
        write_tensors(temporary / PARAMETERS, _parameters(module))
        if graph is not None:
            write_json(temporary / GRAPH_FILE, graph)
        if isinstance(spec, OwnFile):
            spec.store(temporary)
        write_json(temporary / MANIFEST, manifest)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a checkout, never installed
        return "not installed"


def write_tensors(
    file: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors, and a few words about them, as safetensors.

    Raises:
        StorageError: no space, no permission; the library hides the system's own error.
    """
    try:
        save_file(tensors, file, metadata=metadata)
    except SafetensorError as error:
        raise StorageError(
            f"{file.parent} cannot be written ({error}); free some space or choose another folder, "
            "and run the same command again"
        ) from error


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        StorageError: missing, damaged, or of another version.
    """
    manifest = read_json(folder / MANIFEST, dict[str, Any])
    version = manifest.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise StorageError(
            f"{folder} has format version {version}, this recfunnel reads {FORMAT_VERSION}; "
            "use a fresh run folder"
        )
    try:
        spec = models.parse(manifest.pop("spec"))
        schema = convert(manifest.pop("schema"), FeatureSchema, name="schema")
        name, score_inputs = str(manifest.pop("name")), tuple(manifest.pop("score_inputs"))
    except (InvalidInput, KeyError, TypeError) as error:
        raise StorageError(f"{folder / MANIFEST} is damaged: {error}; train it again") from error
    if isinstance(spec, OwnFile):
        module: nn.Module = spec.open(folder / spec.stored_name, schema, len(score_inputs))
    else:
        module = _build(spec, schema, len(score_inputs))
        _fill(module, folder / PARAMETERS)
    return Checkpoint(name, spec, schema, score_inputs, module.eval(), manifest)


def _parameters(module: nn.Module) -> dict[str, Tensor]:
    """Everything to store, by name; tensors that share memory are stored each."""
    stored: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in module.state_dict().items():
        plain = tensor.detach().cpu().contiguous()
        stored[name] = plain.clone() if plain.data_ptr() in seen else plain
        seen.add(plain.data_ptr())
    return stored


def _build(spec: ModelSpec, schema: FeatureSchema, num_score_inputs: int) -> nn.Module:
    """The network, without disturbing the caller's random numbers."""
    with torch.random.fork_rng(devices=[]):
        return spec.build(schema, num_score_inputs)


def _fill(module: nn.Module, file: Path) -> None:
    """Put stored parameters into a network of the same shape.

    Raises:
        StorageError: the file is missing, damaged, or another network's.
    """
    try:
        stored = load_file(file)
        small = {k: v.clone() for k, v in stored.items() if v.nbytes < MAPPED_BYTES}
        module.load_state_dict(stored | small, assign=True)
    except FileNotFoundError as error:
        raise StorageError(f"{file} does not exist; train the model again") from error
    except (SafetensorError, RuntimeError, OSError) as error:
        raise StorageError(f"{file} is damaged: {error}; train the model again") from error
