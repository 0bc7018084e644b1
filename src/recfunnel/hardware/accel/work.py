"""What a query asks of an accelerator, stage by stage.

Letters: S stages, T tables of a stage, v bytes of a table's vector.
"""

from itertools import pairwise

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.memory.checks import COUNT, check
from recfunnel.hardware.systolic.network import Layer, NetworkShape, dlrm_shape
from recfunnel.hardware.systolic.sizes import checked

ID_BYTES = 8
"""Of a row id that comes over PCIe."""

DENSE_BYTES = 4
"""Of a dense feature that comes over PCIe."""

ANSWER_BYTES = 8
"""Of a candidate that goes back: its number and its score."""

SCORE_BYTES = 4
"""Of a score that goes back alone, where the host sorts."""


class StageWork(Value, frozen=True):
    """One stage's network, and what it reads for a candidate.

    Args:
        shape: layers and interaction.
        num_tables: T, one row of each is read for a candidate.
        vector_bytes: v.
        num_out: candidates that are wanted of this stage.
        num_dense: dense features of a candidate.
    """

    shape: NetworkShape
    num_tables: int
    vector_bytes: int
    num_out: int
    num_dense: int = 0

    def __post_init__(self) -> None:
        check("tables of a stage", self.num_tables, (0, 2**20, ""))
        check("bytes of a vector", self.vector_bytes, COUNT)
        check("dense features of a candidate", self.num_dense, (0, 2**20, ""))
        checked("candidates that a stage keeps", self.num_out)

    @property
    def input_bytes(self) -> int:
        """What a candidate brings over PCIe."""
        return ID_BYTES * self.num_tables + DENSE_BYTES * self.num_dense

    def weight_bytes(self, word_bytes: int) -> int:
        """Of all its layers."""
        return self.shape.num_weights * word_bytes

    def widest(self) -> int:
        """Words that a candidate needs at most at once: inputs and outputs of one layer."""
        return max((each.num_inputs + each.num_outputs for each in self.shape.layers), default=1)


class QueryWork(Value, frozen=True):
    """A query's stages, first to last.

    Args:
        num_in: candidates that the first stage reads.
        stages: 1 to 8.
    """

    num_in: int
    stages: tuple[StageWork, ...]

    def __post_init__(self) -> None:
        checked("candidates of a query", self.num_in)
        if not 1 <= len(self.stages) <= 8:
            raise StudyError(f"{len(self.stages)} stages; give 1 to 8")
        for number, (read, kept) in enumerate(pairwise(self.kept)):
            if kept > read:
                raise StudyError(
                    f"stage {number + 1} is to keep {kept} of {read} candidates; "
                    "it cannot keep more than it reads"
                )

    @property
    def kept(self) -> tuple[int, ...]:
        """(S + 1,), candidates in front of each stage and behind the last, filters exact."""
        return (self.num_in, *(stage.num_out for stage in self.stages))


def dlrm_work(
    bottom: tuple[int, ...],
    top: tuple[int, ...],
    num_tables: int,
    num_out: int,
    *,
    word_bytes: int = 4,
) -> StageWork:
    """A stage that is a DLRM with dot interaction.

    Args:
        bottom: sizes from the dense features to the width of a vector.
        top: sizes of the last network's layers, without its inputs.
        num_tables: T.
        num_out: candidates wanted.
        word_bytes: of an embedding's number.

    Returns:
        Its work.

    Raises:
        StudyError: too few sizes, or one below 1.
    """
    return StageWork(
        shape=dlrm_shape(bottom, top, num_tables),
        num_tables=num_tables,
        vector_bytes=bottom[-1] * word_bytes,
        num_out=num_out,
        num_dense=bottom[0],
    )


def tower_work(
    widths: tuple[int, ...], num_tables: int, vector_bytes: int, num_out: int
) -> StageWork:
    """A stage of layers one behind the other, on vectors that are set side by side.

    Args:
        widths: from the inputs of the first layer to the outputs of the last.
        num_tables: T.
        vector_bytes: v.
        num_out: candidates wanted.

    Returns:
        Its work.

    Raises:
        StudyError: fewer than two widths, or one below 1.
    """
    if len(widths) < 2:
        raise StudyError(f"a network of widths {widths}; give those of inputs and outputs")
    layers = tuple(Layer(num_inputs=k, num_outputs=n) for k, n in pairwise(widths))
    return StageWork(
        shape=NetworkShape(layers=layers),
        num_tables=num_tables,
        vector_bytes=vector_bytes,
        num_out=num_out,
    )
