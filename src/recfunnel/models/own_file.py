"""Models that users bring as files: how they are kept, and called as a network.

Letters: Q queries, C columns, n candidates, S score inputs.
"""

import functools
import hashlib
import shutil
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recfunnel.core.arrays import FloatArray, Ragged
from recfunnel.core.errors import StorageError
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.model import ModelCost, check_scores
from recfunnel.core.own_file import FileCall
from recfunnel.core.own_inputs import FileInputs, Rows
from recfunnel.core.spec import Spec
from recfunnel.core.storage import content_hash
from recfunnel.models.base import ModelSpec, TensorFeatures
from recfunnel.models.vectors import feature_bytes

FLOAT_BYTES = 4

Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]
"""The file's output for arrays by input."""


class OwnFile(Spec, ModelSpec, frozen=True):
    """Base of the kinds of file a user may bring: it scores the candidates of one query.

    It is kept as it is (`training = { kind = "stored" }`). Ids are recfunnel's own, so the model is
    trained on the features of a prepared data set.

    Args:
        file: the user's file.
        inputs: features of each input, see `FileCall`.
        scores_input: the input that takes the scores of `score_inputs`.
        output: name of the scores, where the file has several outputs.
        output_column: which column of an (n, classes) output is the score.
        probability: whether scores are probabilities.
        context: `repeated` gives context features once for each candidate, `once` as one row.
        flops_per_item: work for each candidate; None counts 2 FLOPs for every 4 bytes of the file,
            only an indication. What counts is what is measured.
        read_bytes_per_item: bytes read for each candidate; None counts the features alone.
    """

    file: str
    inputs: dict[str, str | tuple[str, ...]] = {}  # noqa: RUF012 - msgspec copies the default
    scores_input: str = ""
    output: str = ""
    output_column: int | None = None
    probability: bool = False
    context: Literal["repeated", "once"] = "repeated"
    flops_per_item: float | None = None
    read_bytes_per_item: float | None = None

    def __post_init__(self) -> None:
        self.call()  # refuses what makes no sense

    def __hash__(self) -> int:
        return hash(content_hash(msgspec.to_builtins(self)))

    @property
    @abstractmethod
    def stored_name(self) -> str:
        """What the file is called in a finished model's folder."""

    @abstractmethod
    def opened(self, file: Path, schema: FeatureSchema, num_score_inputs: int) -> "FileNetwork":
        """The file as a network, its inputs held against the schema.

        Raises:
            StorageError: it is missing or damaged.
            StudyError: its inputs do not fit the features.
        """

    def open(self, file: Path, schema: FeatureSchema, num_score_inputs: int) -> "FileNetwork":
        """The file as a network, checked and tried out.

        Args:
            file: the user's, or the copy in a finished model's folder.
            schema: features it is called with.
            num_score_inputs: S.

        Returns:
            The network.

        Raises:
            MissingExtraError: a library that reads the file is not installed.
            StorageError: it is missing or damaged.
            StudyError: its inputs do not fit the features.
            ModelError: it fails on a query of which nothing is known.
        """
        network = self.opened(file, schema, num_score_inputs)
        network.try_out(schema, num_score_inputs)
        return network

    @property
    def source(self) -> Path:
        """The user's file."""
        return Path(self.file).expanduser()

    def call(self) -> FileCall:
        """How the file is called."""
        return FileCall(
            inputs=self.inputs,
            scores_input=self.scores_input,
            output=self.output,
            output_column=self.output_column,
            probability=self.probability,
            context=self.context,
        )

    def build(self, schema: FeatureSchema, num_score_inputs: int = 0) -> nn.Module:
        """The user's file as a network."""
        return self.open(self.source, schema, num_score_inputs)

    def store(self, folder: Path) -> None:
        """Copy the user's file into a finished model's folder."""
        shutil.copyfile(self.source, folder / self.stored_name)

    def fingerprint(self) -> str:
        """Of the file's content: another file makes another model."""
        return content_of(self.source)

    def cost(self, schema: FeatureSchema, num_score_inputs: int = 0) -> ModelCost:
        """What is stated, else an indication; all parameters are taken to lie in the file.

        Raises:
            StorageError: the file is missing.
        """
        del num_score_inputs
        try:
            size_bytes = self.source.stat().st_size
        except OSError as error:
            raise StorageError(f"{self.source} cannot be read: {error}") from error
        flops, read = self.flops_per_item, self.read_bytes_per_item
        return ModelCost(
            flops_per_query=0.0,
            flops_per_item=2.0 * size_bytes / FLOAT_BYTES if flops is None else flops,
            read_bytes_per_item=float(feature_bytes(schema, "candidate", ()))
            if read is None
            else read,
            parameter_bytes=size_bytes,
        )


class FileNetwork(nn.Module):
    """A user's file, called as `RankingModel.forward` is.

    Args:
        name: what to call it in errors.
        call: how the file is called.
        inputs: makes its arrays.
        run: the file.
        fewest: candidates it can be called with; fewer are filled up.
    """

    def __init__(
        self, name: str, call: FileCall, inputs: FileInputs, run: Run, *, fewest: int = 1
    ) -> None:
        super().__init__()
        self._name, self._call, self._inputs = name, call, inputs
        self._run, self._fewest = run, fewest

    def forward(
        self,
        context: TensorFeatures,
        items: TensorFeatures,
        columns: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Tensor:
        """Scores (Q, C), query by query."""
        users, offered = _features(context), _features(items)
        num_columns = len(offered) if columns is None else columns.shape[1]
        scores = np.empty((len(users), num_columns), np.float32)
        for query in range(len(users)):
            rows = slice(0, num_columns) if columns is None else columns[query].cpu().numpy()
            of_query = None if given is None else given[query].cpu().numpy()
            scores[query] = self.score_rows(users.row(query), offered, rows, of_query)
        return torch.from_numpy(scores).to(context.categorical.device)

    def score_rows(
        self, context: Features, items: Features, rows: Rows, given: FloatArray | None
    ) -> FloatArray:
        """Scores (n,) of one query's candidates.

        Raises:
            ModelError: the file returned another shape.
        """
        picks = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        num_rows = picks.size
        if num_rows < self._fewest:
            filled = np.minimum(np.arange(self._fewest), num_rows - 1)
            picks, given = picks[filled], None if given is None else given[filled]
        arrays = self._inputs.arrays(context, items, picks, given)
        return self._call.scores(self._name, self._run(arrays), picks.size)[:num_rows]

    def try_out(self, schema: FeatureSchema, num_score_inputs: int) -> None:
        """Call the file on a query of which nothing is known.

        Raises:
            ModelError: it fails, returns another shape, or a value that is not finite.
        """
        nobody = Features.unknown(schema, "context", 1)
        nothing = Features.unknown(schema, "candidate", 3)
        given = np.zeros((3, num_score_inputs), np.float32) if num_score_inputs else None
        found = self.score_rows(nobody, nothing, slice(0, 3), given)
        check_scores(self._name, found, (3,))


def content_of(file: Path) -> str:
    """Hash of a file's content.

    Raises:
        StorageError: it is missing.
    """
    try:
        about = file.stat()
        return _content_hash(file, about.st_size, about.st_mtime_ns)
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error}") from error


@functools.lru_cache(maxsize=64)
def _content_hash(file: Path, size_bytes: int, changed_ns: int) -> str:
    del size_bytes, changed_ns  # an unchanged file is read once
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def _features(tensors: TensorFeatures) -> Features:
    """Tensors as numpy sees them; those on a CPU share their memory."""
    return Features(
        tensors.categorical.cpu().numpy(),
        tensors.dense.cpu().numpy(),
        tuple(
            Ragged(r.values.cpu().numpy(), r.offsets.cpu().numpy(), r.weights.cpu().numpy())
            for r in tensors.multi_valued
        ),
    )
