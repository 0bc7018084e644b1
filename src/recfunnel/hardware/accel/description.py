"""An accelerator, its use and its queries in one description, as a person writes them in a file."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value, convert
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import Design, StageUse
from recfunnel.hardware.accel.rows import RowRates
from recfunnel.hardware.accel.work import QueryWork, StageWork, dlrm_work, tower_work
from recfunnel.hardware.systolic.sharing import Sharing


class StageDescription(Value, frozen=True):
    """One stage: its network, its part of the chip, and what its caches hold.

    Args:
        use: its part of the chip.
        num_out: candidates wanted of it.
        num_tables: rows looked up for a candidate.
        bottom: of a DLRM, sizes from the dense features to the width of a vector.
        top: of a DLRM, sizes of the last network without its inputs.
        widths: of any other network, from inputs to outputs; then `vector_bytes` is needed.
        vector_bytes: of a table's vector; of a DLRM its width in words of 4 bytes.
        hit_rate: share of the different rows that the static cache holds.
        different: different rows of a sub-batch for each lookup.
        ssd_share: of the rows fetched, those on the SSD.
        trace: file of row ids that the stage looks up, counted instead of the rates; relative to
            the description.
        profile: file of row ids by which static rows are chosen; the first half of the trace else.
        dram_rows: with a trace, rows that DRAM holds; others are on the SSD.
    """

    use: StageUse
    num_out: int
    num_tables: int
    bottom: tuple[int, ...] = ()
    top: tuple[int, ...] = ()
    widths: tuple[int, ...] = ()
    vector_bytes: int | None = None
    hit_rate: float = 0.0
    different: float = 1.0
    ssd_share: float = 0.0
    trace: str | None = None
    profile: str | None = None
    dram_rows: int | None = None

    def __post_init__(self) -> None:
        if bool(self.widths) == bool(self.bottom or self.top):
            raise StudyError(
                "a stage needs either bottom and top of a DLRM, or widths of a network"
            )
        if self.widths and self.vector_bytes is None:
            raise StudyError(
                "a stage of given widths needs vector_bytes, those of a table's vector"
            )
        if self.trace is None and (self.profile or self.dram_rows):
            raise StudyError("profile and dram_rows say how a trace is counted; give the trace too")
        if self.trace is not None and (self.hit_rate or self.different != 1 or self.ssd_share):
            raise StudyError("rates of rows and a trace to count them on; give one of both")

    @property
    def work(self) -> StageWork:
        """What it asks of the chip."""
        if self.bottom or self.top:
            dlrm = dlrm_work(self.bottom, self.top, self.num_tables, self.num_out)
            size = self.vector_bytes
            return dlrm if size is None else replace(dlrm, vector_bytes=size)
        assert self.vector_bytes is not None
        return tower_work(self.widths, self.num_tables, self.vector_bytes, self.num_out)

    @property
    def rates(self) -> RowRates:
        """What its sub-batches fetch, as far as no trace says."""
        return RowRates(
            num_tables=self.num_tables,
            hit_rate=self.hit_rate,
            different=self.different,
            ssd_share=self.ssd_share,
        )


class AccelDescription(Value, frozen=True):
    """A chip, how it is used, and what for.

    Args:
        num_in: candidates of a query.
        stages: first to last.
        chip: what is built.
        sub_batches: see `Design`, as the following.
        weights_preloaded: overlap of loading weights.
        look_ahead: overlap of fetching rows.
        pipelined: overlap of stages.
        dram: shared or partitioned.
    """

    num_in: int
    stages: tuple[StageDescription, ...]
    chip: Chip = Chip()
    sub_batches: int = 1
    weights_preloaded: bool = True
    look_ahead: bool = True
    pipelined: bool = True
    dram: Sharing = "shared"

    @property
    def work(self) -> QueryWork:
        """What a query asks."""
        return QueryWork(num_in=self.num_in, stages=tuple(stage.work for stage in self.stages))

    @property
    def design(self) -> Design:
        """How the chip is used."""
        return Design(
            stages=tuple(stage.use for stage in self.stages),
            sub_batches=self.sub_batches,
            weights_preloaded=self.weights_preloaded,
            look_ahead=self.look_ahead,
            pipelined=self.pipelined,
            dram=self.dram,
        )


def described(plain: Mapping[str, Any], name: str) -> AccelDescription:
    """Build a description from plain data, checking every key.

    Args:
        plain: as read from TOML or JSON.
        name: what to call it in an error.

    Raises:
        StudyError: an unknown key (with a suggestion), a wrong type, or a broken rule.
    """
    return convert(plain, AccelDescription, name=name)
