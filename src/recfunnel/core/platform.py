"""A machine that stages run on, real or simulated."""

from abc import abstractmethod

from recfunnel.core.registry import Registry
from recfunnel.core.spec import Value


class Platform(Value, frozen=True):
    """What the planner needs to know of a machine.

    Args:
        name: such as `cpu`.
        description: the processor's own name.
        memory_bytes: what models may occupy.
        bandwidth_bytes_per_s: streaming read.
        compute_flops_per_s: fp32, all cores.
        launch_overhead_s: of one model call.
        num_cores: cores that servers and threads share.
        simulated: true when no such machine is at hand; its figures are labelled so.
        on_chip_bytes: a cache, or memory beside the cores; 0 where it is not counted.
        on_chip_bandwidth_bytes_per_s: of that memory; above 0 where there is one.
        access_bytes: least that one read of the memory moves, such as a cache line; 1 where that
            is not counted.
    """

    name: str
    description: str
    memory_bytes: int
    bandwidth_bytes_per_s: float
    compute_flops_per_s: float
    launch_overhead_s: float
    num_cores: int
    simulated: bool = False
    on_chip_bytes: int = 0
    on_chip_bandwidth_bytes_per_s: float = 0.0
    access_bytes: int = 1


class PlatformSpec:
    """Role of a spec that describes a platform; see `recfunnel.hardware`."""

    __slots__ = ()

    @abstractmethod
    def build(self) -> Platform:
        """Describe the machine; a real one is looked at, not assumed."""


platforms: Registry[PlatformSpec] = Registry(PlatformSpec, "recfunnel.hardware")
"""Kinds of platform, one file each in `recfunnel.hardware`."""
