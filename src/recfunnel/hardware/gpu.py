"""A GPU of this machine."""

import math

from recfunnel.core.errors import StudyError
from recfunnel.core.platform import Platform, PlatformSpec, platforms
from recfunnel.core.spec import Spec
from recfunnel.hardware.nvml import gpu_facts


@platforms.register
class Gpu(Spec, PlatformSpec, frozen=True, tag="gpu"):
    """One NVIDIA GPU, its peaks as clocks and widths give them.

    A GPU counts as one core: calls take turns, each uses all of it. Service times on it are
    measured, so its peaks serve reports and rough bounds only.

    Args:
        name: short, for reports.
        number: which GPU, in the driver's order.
        launch_overhead_s: of one model call, for bounds: two transfers, a launch and a wait.
    """

    name: str = "gpu"
    number: int = 0
    launch_overhead_s: float = 30e-6

    def __post_init__(self) -> None:
        if self.number < 0 or not 0 <= self.launch_overhead_s < math.inf:
            raise StudyError(
                f"platform {self.name!r}: number and launch_overhead_s must be 0 or more"
            )

    def build(self) -> Platform:
        """Ask the driver.

        Raises:
            StudyError: there is no driver, or no such GPU.
        """
        facts = gpu_facts(self.number)
        return Platform(
            name=self.name,
            description=facts.name,
            memory_bytes=facts.memory_bytes,
            bandwidth_bytes_per_s=facts.bandwidth_bytes_per_s,
            compute_flops_per_s=facts.compute_flops_per_s,
            launch_overhead_s=self.launch_overhead_s,
            num_cores=1,
        )
