"""The machine recfunnel runs on."""

import math

from recfunnel.core.errors import StudyError
from recfunnel.core.platform import Platform, PlatformSpec, platforms
from recfunnel.core.spec import Spec
from recfunnel.hardware.limits import allowed_memory_bytes, num_allowed_cores
from recfunnel.hardware.peaks import bandwidth_bytes_per_s, compute_flops_per_s
from recfunnel.hardware.processor import processor_name, vector_instructions


@platforms.register
class Cpu(Spec, PlatformSpec, frozen=True, tag="cpu"):
    """This machine's processor, within what the process is allowed of it.

    Service times of models on it are measured, so its peaks serve reports and rough bounds only.

    Args:
        name: short, for reports.
        num_cores: use at most so many; all that are allowed when None.
        measure_seconds: spent on each of the two peaks by every `build`. Keep the platform, not
            the spec, where a build must not be repeated.
        launch_overhead_s: of one model call, for bounds; a framework's usual dispatch.
    """

    name: str = "cpu"
    num_cores: int | None = None
    measure_seconds: float = 0.15
    launch_overhead_s: float = 20e-6

    def __post_init__(self) -> None:
        if self.num_cores is not None and self.num_cores < 1:
            raise StudyError(f"platform {self.name!r}: num_cores is {self.num_cores}, at least 1")
        if not 0 <= self.measure_seconds < math.inf or not 0 <= self.launch_overhead_s < math.inf:
            raise StudyError(
                f"platform {self.name!r}: measure_seconds and launch_overhead_s must be 0 or more"
            )

    def build(self) -> Platform:
        """Look at the machine: its cores, memory, name and measured peaks.

        Raises:
            StudyError: more cores are asked for than the process may use.
        """
        allowed = num_allowed_cores()
        cores = allowed if self.num_cores is None else self.num_cores
        if cores > allowed:
            raise StudyError(
                f"platform {self.name!r} asks for {cores} cores, this process may use {allowed}; "
                f"set num_cores to at most {allowed}"
            )
        instructions = " ".join(vector_instructions())
        return Platform(
            name=self.name,
            description=processor_name() + (f" ({instructions})" if instructions else ""),
            memory_bytes=allowed_memory_bytes(),
            bandwidth_bytes_per_s=bandwidth_bytes_per_s(cores, self.measure_seconds),
            compute_flops_per_s=compute_flops_per_s(cores, self.measure_seconds),
            launch_overhead_s=self.launch_overhead_s,
            num_cores=cores,
        )
