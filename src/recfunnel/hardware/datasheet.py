"""What is publicly known of one processor, each figure with where it comes from."""

from typing import Literal

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.roofline import Roofline

Provenance = Literal["found", "derived", "recalled", "assumed"]
"""How a figure is known: read in the source named, computed from figures that were, remembered
without a source at hand, or supposed because nothing is published."""

Precision = Literal["float32", "tensorfloat32", "float16", "bfloat16"]


class Figure(Value, frozen=True):
    """One figure.

    Args:
        value: in SI units.
        known: how it is known.
        source: where, or from what it was computed.
    """

    value: float
    known: Provenance
    source: str


class Peak(Value, frozen=True):
    """Arithmetic peak in one precision; a multiply-add is 2."""

    precision: Precision
    flops_per_s: Figure


class Datasheet(Value, frozen=True):
    """One chip, or one core of it that has its own memory.

    Args:
        name: short, such as `v100`.
        product: the maker's name for it.
        memory_bytes: where models lie.
        bandwidth_bytes_per_s: of that memory.
        peaks: by precision, the most exact first.
        on_chip_bytes: cache, or memory beside the cores.
        on_chip_bandwidth_bytes_per_s: of that memory.
        access_bytes: least that one read moves.
        launch_overhead_s: of one call.
    """

    name: str
    product: str
    memory_bytes: Figure
    bandwidth_bytes_per_s: Figure
    peaks: tuple[Peak, ...]
    on_chip_bytes: Figure
    on_chip_bandwidth_bytes_per_s: Figure
    access_bytes: Figure
    launch_overhead_s: Figure

    def figures(self) -> tuple[tuple[str, Figure], ...]:
        """Every figure by its name, for tables of sources."""
        names = (
            "memory_bytes",
            "bandwidth_bytes_per_s",
            "on_chip_bytes",
            "on_chip_bandwidth_bytes_per_s",
            "access_bytes",
            "launch_overhead_s",
        )
        peaks = [(f"{peak.precision} flops_per_s", peak.flops_per_s) for peak in self.peaks]
        return (*peaks, *((name, getattr(self, name)) for name in names))

    def peak(self, precision: Precision) -> Figure:
        """Arithmetic peak.

        Raises:
            StudyError: the processor has no arithmetic of that precision.
        """
        for peak in self.peaks:
            if peak.precision == precision:
                return peak.flops_per_s
        known = ", ".join(peak.precision for peak in self.peaks)
        raise StudyError(f"{self.product} has no {precision} arithmetic; known: {known}")

    def roofline(
        self,
        precision: Precision | None = None,
        *,
        num_chips: int = 1,
        memory_bytes: int | None = None,
        compute_efficiency: float = 1.0,
        bandwidth_efficiency: float = 1.0,
    ) -> Roofline:
        """The chip as a platform that can be priced.

        Several chips are one engine with all their arithmetic and memory: parameters are spread
        over them, and what they exchange is not charged, so the bound stays one.

        Args:
            precision: of the arithmetic; the most exact one when None.
            num_chips: that hold one model together.
            memory_bytes: allow models less than there is, all chips together.
            compute_efficiency: share of the peak assumed to be reached.
            bandwidth_efficiency: share of both bandwidths assumed to be reached.

        Raises:
            StudyError: no such precision, or fewer chips than 1.
        """
        if num_chips < 1:
            raise StudyError(f"{num_chips} chips of {self.product}, must be 1 or more")
        used = self.peaks[0].precision if precision is None else precision
        several = f"{num_chips} x " if num_chips > 1 else ""
        return Roofline(
            name=self.name if num_chips == 1 else f"{self.name} x{num_chips}",
            description=f"modelled: {several}{self.product} in {used}",
            memory_bytes=memory_bytes or num_chips * int(self.memory_bytes.value),
            bandwidth_bytes_per_s=num_chips * self.bandwidth_bytes_per_s.value,
            compute_flops_per_s=num_chips * self.peak(used).value,
            launch_overhead_s=self.launch_overhead_s.value,
            on_chip_bytes=num_chips * int(self.on_chip_bytes.value),
            on_chip_bandwidth_bytes_per_s=num_chips * self.on_chip_bandwidth_bytes_per_s.value,
            access_bytes=int(self.access_bytes.value),
            compute_efficiency=compute_efficiency,
            bandwidth_efficiency=bandwidth_efficiency,
        )
