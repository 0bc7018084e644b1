"""The simulated accelerator as a machine that a plan's stations share."""

import math
from typing import Literal

from recfunnel.core.errors import StudyError
from recfunnel.core.platform import Platform, PlatformSpec, platforms
from recfunnel.core.spec import Spec
from recfunnel.core.storage import content_hash
from recfunnel.hardware.accel.chip import Chip

Variant = Literal["prior_art", "filter", "fission"]
"""`prior_art`: one array, and the host sorts. `filter`: one array with a filter on the chip.
`fission`: blocks with a filter each, of which stations get as many as they have cores."""


@platforms.register
class RPAccel(Spec, PlatformSpec, frozen=True, tag="rpaccel"):
    """RPAccel of RecPipe, or what it is compared with; every result on it is simulated.

    The array's equal blocks are its cores: a server with n threads has n blocks ganged into one
    sub-array, and that part of the SRAM and of the bandwidth of DRAM.

    Args:
        name: short, for reports.
        variant: what is built.
        num_blocks: of `fission`, a power of two whose blocks are whole blocks of the array; the
            others have one.
        chip: array, memories, link, and the host that sorts.
    """

    name: str = "rpaccel"
    variant: Variant = "fission"
    num_blocks: int = 64
    chip: Chip = Chip()

    def __post_init__(self) -> None:
        least = self.chip.array.block
        if self.num_blocks < 1 or self.num_blocks & (self.num_blocks - 1):
            raise StudyError(
                f"platform {self.name!r}: num_blocks is {self.num_blocks}, must be a power of two"
            )
        rows, cols = self.sub_array(1)
        if rows % least or cols % least or min(rows, cols) < least:
            raise StudyError(
                f"platform {self.name!r}: {self.num_blocks} blocks of {rows} x {cols} elements "
                f"are no whole blocks of {least} x {least}; take fewer"
            )

    @property
    def num_cores(self) -> int:
        """Blocks that stations share."""
        return self.num_blocks if self.variant == "fission" else 1

    def sub_array(self, num_threads: int) -> tuple[int, int]:
        """Rows and columns of so many blocks side by side: a square, or two.

        Raises:
            StudyError: no power of two, or more than there are.
        """
        if not 1 <= num_threads <= self.num_cores or num_threads & (num_threads - 1):
            raise StudyError(
                f"{num_threads} blocks of platform {self.name!r} in one sub-array; blocks form a "
                f"rectangle, so space.thread_counts must be powers of two up to {self.num_cores}"
            )
        cuts = int(math.log2(self.num_cores // num_threads))
        array = self.chip.array
        return array.rows >> ((cuts + 1) // 2), array.cols >> (cuts // 2)

    def build(self) -> Platform:
        """Its peaks, for reports; models on it are priced layer by layer, not by them."""
        chip, words = self.chip, self.variant.replace("_", " ")
        blocks = f" in {self.num_cores} blocks" if self.num_cores > 1 else ""
        return Platform(
            name=self.name,
            description=f"simulated: {words}, {chip.array.rows} x {chip.array.cols} at "
            f"{chip.clock_hz / 1e9:g} GHz{blocks} [{content_hash(self)}]",
            memory_bytes=int(chip.dram.capacity_bytes),
            bandwidth_bytes_per_s=chip.dram.bandwidth_bytes_per_s,
            compute_flops_per_s=2.0 * chip.array.num_elements * chip.clock_hz,
            launch_overhead_s=2 * chip.pcie.latency_s,
            num_cores=self.num_cores,
            simulated=True,
        )
