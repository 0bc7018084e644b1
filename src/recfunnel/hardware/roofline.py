"""A machine that is described, not looked at."""

from recfunnel.core.errors import StudyError
from recfunnel.core.platform import Platform, PlatformSpec, platforms
from recfunnel.core.spec import Spec

_ABOVE_ZERO = (
    "memory_bytes",
    "bandwidth_bytes_per_s",
    "compute_flops_per_s",
    "num_cores",
    "access_bytes",
)


@platforms.register
class Roofline(Spec, PlatformSpec, frozen=True, tag="roofline"):
    """A machine known by its peak figures; every result on it is labelled simulated.

    Args:
        name: short, for reports.
        description: whose figures these are, such as `datasheet of ...`.
        memory_bytes: what models may occupy.
        bandwidth_bytes_per_s: streaming read.
        compute_flops_per_s: all cores, in the precision that models run in.
        launch_overhead_s: of one model call.
        num_cores: cores (or independent engines) that servers and threads share.
        on_chip_bytes: a cache, or memory beside the cores, that holds weights first and then as
            much of the tables as is left; 0 leaves it out.
        on_chip_bandwidth_bytes_per_s: of that memory.
        access_bytes: least that one read moves; short rows cost as much.
        compute_efficiency: share of the peak that is reached, an assumption; 1 is a bound.
        bandwidth_efficiency: likewise, of both bandwidths.
    """

    name: str
    description: str
    memory_bytes: int
    bandwidth_bytes_per_s: float
    compute_flops_per_s: float
    launch_overhead_s: float = 0.0
    num_cores: int = 1
    on_chip_bytes: int = 0
    on_chip_bandwidth_bytes_per_s: float = 0.0
    access_bytes: int = 1
    compute_efficiency: float = 1.0
    bandwidth_efficiency: float = 1.0

    def __post_init__(self) -> None:
        for field in _ABOVE_ZERO:
            self._hold(field, getattr(self, field) > 0, "must be above 0")
        for field in ("launch_overhead_s", "on_chip_bytes"):
            self._hold(field, getattr(self, field) >= 0, "must be 0 or more")
        for field in ("compute_efficiency", "bandwidth_efficiency"):
            self._hold(field, 0 < getattr(self, field) <= 1, "must be above 0 and up to 1")
        if self.on_chip_bytes:
            faster = self.on_chip_bandwidth_bytes_per_s >= self.bandwidth_bytes_per_s
            self._hold(
                "on_chip_bandwidth_bytes_per_s",
                faster,
                f"must be at least the memory's {self.bandwidth_bytes_per_s:g}",
            )

    def _hold(self, field: str, holds: bool, rule: str) -> None:
        if not holds:
            raise StudyError(f"platform {self.name!r}: {field} is {getattr(self, field)}, {rule}")

    def build(self) -> Platform:
        """The machine as described, its peaks reduced to what is assumed to be reached."""
        return Platform(
            name=self.name,
            description=self.description,
            memory_bytes=self.memory_bytes,
            bandwidth_bytes_per_s=self.bandwidth_efficiency * self.bandwidth_bytes_per_s,
            compute_flops_per_s=self.compute_efficiency * self.compute_flops_per_s,
            launch_overhead_s=self.launch_overhead_s,
            num_cores=self.num_cores,
            simulated=True,
            on_chip_bytes=self.on_chip_bytes,
            on_chip_bandwidth_bytes_per_s=(
                self.bandwidth_efficiency * self.on_chip_bandwidth_bytes_per_s
            ),
            access_bytes=self.access_bytes,
        )
