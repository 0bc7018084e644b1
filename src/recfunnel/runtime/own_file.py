"""A finished model that is a user's ONNX file, in the hands of a library that runs ONNX."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import InvalidInput, StorageError
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.onnx_session import onnx_inputs
from recfunnel.core.own_file import STORED_ONNX, FileCall
from recfunnel.core.own_inputs import FileInputs, Rows
from recfunnel.core.spec import convert
from recfunnel.core.storage import FORMAT_VERSION, MANIFEST, read_json
from recfunnel.runtime.feeds import SideCheck
from recfunnel.runtime.one_query import OneQueryModel

Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]
"""The file's output for arrays by input."""


@dataclass(frozen=True, eq=False, slots=True)
class StoredFile:
    """A finished model that is an ONNX file.

    Args:
        name: in the study.
        file: the copy in the model's folder.
        call: how it is called.
        schema: features it is called with.
        score_inputs: names of the models whose scores it reads.
    """

    name: str
    file: Path
    call: FileCall
    schema: FeatureSchema
    score_inputs: tuple[str, ...]


def stored_file(folder: Path) -> StoredFile | None:
    """What a finished model's folder says of its ONNX file; None for any other model.

    Raises:
        StorageError: missing, damaged, or of another version.
    """
    manifest = read_json(folder / MANIFEST, dict[str, Any])
    spec = manifest.get("spec")
    if not isinstance(spec, dict) or spec.get("kind") != "onnx":
        return None
    if manifest.get("format_version") != FORMAT_VERSION:
        raise StorageError(
            f"{folder} has format version {manifest.get('format_version')}, this recfunnel reads "
            f"{FORMAT_VERSION}; use a fresh run folder"
        )
    try:
        fields = {key: value for key, value in spec.items() if key in FileCall.__struct_fields__}
        call = convert(fields, FileCall, name="spec")
        schema = convert(manifest["schema"], FeatureSchema, name="schema")
        name, score_inputs = str(manifest["name"]), tuple(manifest["score_inputs"])
    except (InvalidInput, KeyError, TypeError) as error:
        raise StorageError(f"{folder / MANIFEST} is damaged: {error}; train it again") from error
    return StoredFile(name, folder / STORED_ONNX, call, schema, score_inputs)


def own_model(
    stored: StoredFile, items: Features, build: Callable[[StoredFile], Run]
) -> OneQueryModel:
    """Make a user's file ready.

    Args:
        stored: a finished model.
        items: features of all items it will be asked about.
        build: loads the file into the library, once it has been checked.

    Returns:
        The loaded model.

    Raises:
        StudyError: its inputs do not fit the features.
        StorageError: the file is missing or damaged.
        DataError: items do not fit the schema.
    """
    items.check(stored.schema, "candidate")
    known = SideCheck(stored.schema, "context")
    wanted = onnx_inputs(stored.name, stored.file, stored.call.output)
    num_inputs = len(stored.score_inputs)
    inputs = FileInputs(stored.name, stored.call, wanted, stored.schema, num_inputs)

    run = build(stored)

    def score_rows(context: Features, rows: Rows, given: FloatArray | None) -> FloatArray:
        known.check(context)
        output = run(inputs.arrays(context, items, rows, given))
        return stored.call.scores(stored.name, output, _num_rows(rows))

    return OneQueryModel(stored.name, stored.score_inputs, len(items), score_rows)


def _num_rows(rows: IntArray | slice) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else rows.size
