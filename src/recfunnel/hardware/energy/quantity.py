"""A figure with the range it may lie in and where it is from."""

from typing import Literal

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value

Known = Literal["synthesis", "memory compiler", "CACTI", "recalled", "assumed"]
"""How a figure is known: the authors' reports, CACTI run or scaled, remembered of datasheets and
not read again, or set here."""

BAND = 2.5
"""Factor either way of a figure that nobody measured; CACTI's areas are 1.6 to 2.6 times below the
authors' macros."""


class Quantity(Value, frozen=True):
    """One figure, in the SI unit that its owner states.

    Args:
        value: used.
        low: least that is plausible.
        high: most that is plausible.
        known: how.
        source: what it was read in or made of.
    """

    value: float
    low: float
    high: float
    known: Known
    source: str

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.value <= self.high < float("inf"):
            raise StudyError(
                f"a figure of {self.value:g} between {self.low:g} and {self.high:g}; "
                "give 0 <= low <= value <= high"
            )


def banded(value: float, known: Known, source: str, factor: float = BAND) -> Quantity:
    """A figure that may be wrong by a factor either way."""
    return Quantity(
        value=value, low=value / factor, high=value * factor, known=known, source=source
    )


def exact(value: float, known: Known, source: str) -> Quantity:
    """A figure as its source has it, without a range."""
    return Quantity(value=value, low=value, high=value, known=known, source=source)
