"""What nobody published and a service time needs all the same, each with a thinkable range."""

from collections.abc import Sequence

import msgspec

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value, convert, to_builtins


class Assumptions(Value, frozen=True):
    """How real software on real hardware differs from its roofline.

    Args:
        cpu_efficiency: share of the CPU's arithmetic peak that an eager framework reaches.
        chip_efficiency: likewise, of a GPU, TPU or IPU at these sizes of layers.
        bandwidth_efficiency: share of every bandwidth.
        operator_s: dispatch of one operator of an eager framework, CPU and GPU.
        host_call_s: added to each call of a TPU or IPU, compiled into one, beyond the datasheet.
        encoder_cycles: of one CPU core for one hash, two 64-bit remainders as published.
        item_bytes: sent to a GPU, TPU or IPU for each candidate.
        link_bytes_per_s: between host and such a chip.
        tail_over_median: of service times.
        size_sigma: standard deviation of the logarithm of a query's size.
    """

    cpu_efficiency: float = 0.6
    chip_efficiency: float = 0.4
    bandwidth_efficiency: float = 0.7
    operator_s: float = 5e-6
    host_call_s: float = 300e-6
    encoder_cycles: float = 20.0
    item_bytes: float = 26 * 8 + 13 * 4
    link_bytes_per_s: float = 12e9
    tail_over_median: float = 1.3
    size_sigma: float = 0.7

    def __post_init__(self) -> None:
        for name in ("cpu_efficiency", "chip_efficiency", "bandwidth_efficiency"):
            if not 0 < getattr(self, name) <= 1:
                raise StudyError(f"{name} is {getattr(self, name)}, must be above 0 and up to 1")
        for name in ("operator_s", "host_call_s", "encoder_cycles", "item_bytes", "size_sigma"):
            if not getattr(self, name) >= 0:
                raise StudyError(f"{name} is {getattr(self, name)}, must be 0 or more")
        if not self.link_bytes_per_s > 0 or not self.tail_over_median >= 1:
            raise StudyError("link_bytes_per_s must be above 0, tail_over_median 1 or more")


BOUND = Assumptions(
    cpu_efficiency=1.0,
    chip_efficiency=1.0,
    bandwidth_efficiency=1.0,
    operator_s=0.0,
    host_call_s=0.0,
    encoder_cycles=0.0,
    item_bytes=0.0,
    tail_over_median=1.0,
)
"""Nothing but the rooflines and one launch a call."""

RANGES: dict[str, tuple[float, float, str]] = {
    "cpu_efficiency": (0.2, 1.0, ""),
    "chip_efficiency": (0.1, 1.0, ""),
    "bandwidth_efficiency": (0.4, 1.0, ""),
    "operator_s": (0.0, 30e-6, "s"),
    "host_call_s": (0.0, 2e-3, "s"),
    "encoder_cycles": (0.0, 40.0, ""),
    "link_bytes_per_s": (2e9, 60e9, "bytes/s"),
    "size_sigma": (0.2, 1.0, ""),
}
"""Lowest and highest value that is thinkable, and the unit."""


def changed(assumptions: Assumptions, name: str, value: float) -> Assumptions:
    """The same with one of them changed."""
    found: Assumptions = msgspec.structs.replace(assumptions, **{name: value})
    return found


def assumptions_of(changes: Sequence[str]) -> Assumptions:
    """The usual assumptions with some of them changed.

    Args:
        changes: each `name=value`.

    Raises:
        StudyError: no such assumption (with a suggestion), no number, or a value out of range.
    """
    values: dict[str, float] = {}
    for change in changes:
        name, sign, text = change.partition("=")
        try:
            values[name.strip()] = float(text)
        except ValueError as error:
            wrong = "has no value" if not sign else f"is {text!r}, not a number"
            raise StudyError(f"assumption {name!r} {wrong}; write NAME=NUMBER") from error
    return convert({**to_builtins(Assumptions()), **values}, Assumptions, name="assumptions")
