"""What became of one target."""

from typing import Literal

from recfunnel.core.spec import Value

Unit = Literal["x", "s", "items/s", "times", ""]
"""Of target and measured; `times` is a count, nothing an error."""


class Verdict(Value, frozen=True):
    """One cell: what was asked and what was found.

    Args:
        model: name of the shape, or the cascade.
        what: measured how, in words.
        unit: of target and measured.
        target: the number asked for.
        at_most: whether less is better.
        measured: None when not measured in this run.
        spread: least and most of the rounds; None where there is one number.
        beside: what a ratio is against, or more to know.
    """

    model: str
    what: str
    unit: Unit
    target: float
    at_most: bool = False
    measured: float | None = None
    spread: tuple[float, float] | None = None
    beside: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None when it was not measured."""
        if self.measured is None:
            return None
        return self.measured <= self.target if self.at_most else self.measured >= self.target
