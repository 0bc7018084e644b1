"""What a user's own model file wants, held against what it is to be given.

Letters: n candidates of one query, k features side by side, L values of the longest list, S given
scores.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.core.own_file import FileCall

IDS = ("int64", "int32", "float32", "float64")
NUMBERS = ("float32", "float64")
"""Element types in which ids and numbers are given where a file asks for them."""

PARTS = ("weights", "present")
"""What else than its ids can be read of a multi-valued feature."""


@dataclass(frozen=True, slots=True)
class FileInput:
    """What a file says of one of its inputs.

    Args:
        name: of the input.
        dtype: as numpy names it; empty where the file does not say.
        shape: None for a size that is free; None altogether where the file does not say.
    """

    name: str
    dtype: str = ""
    shape: tuple[int | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One feature, or a part of one.

    Args:
        feature: which.
        column: among those of its side and kind.
        part: of a multi-valued feature, else empty.
    """

    feature: Feature
    column: int
    part: str = ""

    @property
    def is_list(self) -> bool:
        """Whether it is multi-valued."""
        return self.feature.kind == "multi_valued"

    @property
    def is_id(self) -> bool:
        """Whether its values are ids."""
        return self.feature.kind != "dense" and not self.part


def source_of(model: str, input_name: str, name: str, schema: FeatureSchema) -> Source:
    """The feature an input reads.

    Args:
        model: its name, for errors.
        input_name: of the input, for errors.
        name: of a feature, or `NAME.weights`, `NAME.present`.
        schema: features there are.

    Raises:
        StudyError: there is no such feature, or it has no such part.
    """
    stem, _, part = name.rpartition(".")
    known = {feature.name: feature for feature in schema.features}
    if name in known:
        return Source(known[name], schema.column(name))
    if stem not in known or part not in PARTS:
        raise StudyError(
            f"input {input_name!r} of {model!r} reads {name!r}, {unknown(name, known)}"
        )
    if known[stem].kind != "multi_valued":
        raise StudyError(
            f"input {input_name!r} of {model!r} reads {name!r}, but {stem!r} is not multi-valued "
            "and has no such part"
        )
    return Source(known[stem], schema.column(stem), part)


def unknown(name: str, known: Iterable[str]) -> str:
    """`which is unknown`, with a suggestion or all there is."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    return f"which is unknown; {hint}"


def check_names(model: str, call: FileCall, wanted: Mapping[str, FileInput]) -> None:
    """Hold that every input of the file is said, and no other.

    Raises:
        StudyError: one is not.
    """
    said = [*call.inputs, *([call.scores_input] if call.scores_input else [])]
    for name in said:
        if name not in wanted:
            raise StudyError(
                f"the file of {model!r} has no input {name!r}; it has: {', '.join(wanted)}"
            )
    missing = [name for name in wanted if name not in said]
    if missing:
        raise StudyError(
            f"the file of {model!r} has an input {missing[0]!r} that no feature is given to; "
            "add it to 'inputs'"
        )


def check_score_inputs(model: str, call: FileCall, num_score_inputs: int) -> None:
    """Hold that scores of other models are given where they are read.

    Raises:
        StudyError: one without the other.
    """
    if bool(call.scores_input) != bool(num_score_inputs):
        raise StudyError(
            f"{model!r} has {num_score_inputs} score_inputs and scores_input = "
            f"{call.scores_input!r}: both or neither"
        )


def check_scores_shape(
    model: str, call: FileCall, wanted: Mapping[str, FileInput], num_score_inputs: int
) -> None:
    """Hold that the scores of other models fit.

    Raises:
        StudyError: the file wants another shape or element type.
    """
    if not call.scores_input:
        return
    what = f"input {call.scores_input!r} of {model!r}"
    check_shape(what, wanted[call.scores_input], num_score_inputs, is_once=False)
    shape, dtype = wanted[call.scores_input].shape, wanted[call.scores_input].dtype
    if shape is not None and len(shape) != 2:
        raise StudyError(f"{what} has {len(shape)} axes, scores are (n, {num_score_inputs})")
    if dtype and dtype not in NUMBERS:
        raise StudyError(f"{what} wants {dtype}, scores are given as {' or '.join(NUMBERS)}")


def rank_of(what: str, wanted: FileInput, features: str | tuple[str, ...], *, is_list: bool) -> int:
    """Axes of the array: as the file says, else one for a name and two for a list of names.

    Args:
        what: the input, for errors.
        wanted: what the file says.
        features: as they were named.
        is_list: whether it is one multi-valued feature.

    Raises:
        StudyError: the file wants another number of axes.
    """
    natural = 2 if is_list or not isinstance(features, str) else 1
    if wanted.shape is None:
        return natural
    rank, num_names = len(wanted.shape), 1 if isinstance(features, str) else len(features)
    if is_list and rank != 2:
        raise StudyError(f"{what} has {rank} axes; a multi-valued feature is (n, L)")
    if rank not in (1, 2) or (rank == 1 and num_names > 1):
        raise StudyError(
            f"{what} has shape {_words(wanted.shape)}; {num_names} features are given as "
            f"{'(n,) or (n, 1)' if num_names == 1 else f'(n, {num_names})'}"
        )
    return rank


def check_shape(what: str, wanted: FileInput, width: int | None, *, is_once: bool) -> None:
    """Hold rows and columns against what the file fixes.

    Args:
        what: the input, for errors.
        wanted: what the file says.
        width: columns that are given; None for as many as the file wants.
        is_once: whether a single row is given.

    Raises:
        StudyError: it fixes other sizes.
    """
    if not wanted.shape:
        return
    num_rows = wanted.shape[0]
    if num_rows is not None and not (is_once and num_rows == 1):
        raise StudyError(
            f"{what} has a fixed number of rows ({num_rows}), must take any; export it with a free "
            "first axis (dynamic_axes, dynamic_shapes)"
        )
    if len(wanted.shape) == 2 and width is not None and wanted.shape[1] not in {None, width}:
        raise StudyError(
            f"{what} wants {wanted.shape[1]} columns, is given {width}; name as many features"
        )


def dtype_of(what: str, wanted: FileInput, sources: Sequence[Source]) -> str:
    """The element type of the array: what the file wants, where that loses nothing.

    Raises:
        StudyError: the file wants a type in which the features cannot be given.
    """
    ids = all(source.is_id for source in sources)
    allowed = IDS if ids else NUMBERS
    natural = "int64" if ids else "float32"
    if not wanted.dtype:
        return natural
    if wanted.dtype not in allowed:
        names = ", ".join(repr(source.feature.name) for source in sources)
        raise StudyError(
            f"{what} wants {wanted.dtype}, but {names} can be given as {', '.join(allowed)} only"
        )
    return wanted.dtype


def _words(shape: Sequence[int | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"
