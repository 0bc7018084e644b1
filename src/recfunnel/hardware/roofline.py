"""A machine that is described, not looked at."""

from recfunnel.core.errors import StudyError
from recfunnel.core.platform import Platform, PlatformSpec, platforms
from recfunnel.core.spec import Spec


@platforms.register
class Roofline(Spec, PlatformSpec, frozen=True, tag="roofline"):
    """A machine known by its peak figures; every result on it is labelled simulated.

    Args:
        name: short, for reports.
        description: whose figures these are, such as `datasheet of ...`.
        memory_bytes: what models may occupy.
        bandwidth_bytes_per_s: streaming read.
        compute_flops_per_s: fp32, all cores.
        launch_overhead_s: of one model call.
        num_cores: cores (or independent engines) that servers and threads share.
    """

    name: str
    description: str
    memory_bytes: int
    bandwidth_bytes_per_s: float
    compute_flops_per_s: float
    launch_overhead_s: float = 0.0
    num_cores: int = 1

    def __post_init__(self) -> None:
        for field in ("memory_bytes", "bandwidth_bytes_per_s", "compute_flops_per_s", "num_cores"):
            if not getattr(self, field) > 0:
                raise StudyError(
                    f"platform {self.name!r}: {field} is {getattr(self, field)}, must be above 0"
                )
        if not self.launch_overhead_s >= 0:
            raise StudyError(
                f"platform {self.name!r}: launch_overhead_s is {self.launch_overhead_s}, "
                "must be 0 or more"
            )

    def build(self) -> Platform:
        """The machine as described."""
        return Platform(
            name=self.name,
            description=self.description,
            memory_bytes=self.memory_bytes,
            bandwidth_bytes_per_s=self.bandwidth_bytes_per_s,
            compute_flops_per_s=self.compute_flops_per_s,
            launch_overhead_s=self.launch_overhead_s,
            num_cores=self.num_cores,
            simulated=True,
        )
