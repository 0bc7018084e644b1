"""What a streaming top-k filter is made of, and what it does where it runs out of room."""

import math
from itertools import pairwise
from typing import Literal

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.topk.bins import check_bins, check_range

Overflow = Literal["spill", "raise", "drop"]
"""What happens to a score that finds the buffer full.

`spill`: it goes to DRAM and comes back to be passed on; nothing is lost.
`raise`: entries below the threshold so far are thrown out, as they can no longer be among the best;
where there are none, the last of the lowest bin has to go.
`drop`: it is lost.
"""

Truncate = Literal["none", "arrival", "bins", "exact"]
"""What is passed on of all scores at or above the threshold's bin.

`none`: all. `arrival`: the first k. `bins`: all above that bin, then the first of it until there
are k. `exact`: the best k by score as the filter holds it, which needs a sorter.
"""

Policy = Literal["global", "quota", "running"]
"""How sub-batches share k: `global` waits for the last one; with `quota` each passes k / m of its
own; with `running` each passes what is above the threshold of all that were seen so far."""

Drain = Literal["scan", "linked"]
"""How the buffer is read: every entry in turn, or a list for each bin, so only what is passed."""


class TopKFilter(Value, frozen=True):
    """A filter in its three phases: count and buffer, walk the bins from the top, pass on.

    Args:
        edges: between bins, rising or equal; see `bins`.
        low: least score that can be told apart.
        high: end of the scores; those outside are held at either end.
        score_bits: of a score in the filter, 1 to 24.
        lanes: scores taken or entries read each cycle.
        min_score: scores not above it are never buffered; None keeps all.
        buffer_entries: room for scores; None for as many as there are candidates.
        overflow: what happens when it is full.
        truncate: whether more than k may be passed on.
        sub_batches: m, runs of equal length that arrive one after another.
        policy: how they share k.
        margin: of `running`: a sub-batch that ends after s of n candidates walks to
            min(k, margin k s / n). Infinite walks to k each time: all of the best k pass.
        drain: how the buffer is read.
    """

    edges: tuple[float, ...]
    low: float = 0.0
    high: float = 1.0
    score_bits: int = 16
    lanes: int = 1
    min_score: float | None = None
    buffer_entries: int | None = None
    overflow: Overflow = "spill"
    truncate: Truncate = "none"
    sub_batches: int = 1
    policy: Policy = "global"
    margin: float = 1.0
    drain: Drain = "scan"

    def __post_init__(self) -> None:
        check_bins(self.num_bins)
        check_range(self.low, self.high)
        if any(not lower <= upper for lower, upper in pairwise(self.edges)):
            raise StudyError("edges of a filter's bins must not fall")
        if not self.low <= self.edges[0] <= self.edges[-1] <= self.high:
            raise StudyError(
                f"edges from {self.edges[0]:g} to {self.edges[-1]:g} in a range of scores from "
                f"{self.low:g} to {self.high:g}; widen the range"
            )
        if not 1 <= self.score_bits <= 24:
            raise StudyError(f"scores of {self.score_bits} bits; a filter holds 1 to 24")
        if min(self.lanes, self.sub_batches) < 1:
            raise StudyError(
                f"{self.lanes} lanes and {self.sub_batches} sub-batches; both must be 1 or more"
            )
        if self.buffer_entries is not None and self.buffer_entries < 1:
            raise StudyError(f"a buffer of {self.buffer_entries} entries; it needs 1 or more")
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise StudyError(f"the least score is {self.min_score}, it must be finite")
        if not self.margin > 0:
            raise StudyError(f"margin is {self.margin:g}, must be above 0")
        if self.policy == "running" and self.truncate in ("bins", "exact"):
            raise StudyError(
                f"truncate {self.truncate!r} needs the last threshold before it can pass anything; "
                "with policy 'running' use 'none' or 'arrival'"
            )

    @property
    def num_bins(self) -> int:
        """B."""
        return len(self.edges) + 1

    def counter_bits(self, num_candidates: int) -> int:
        """Registers of all counters, each of which may have to count every candidate."""
        return self.num_bins * num_candidates.bit_length()

    def buffer_bits(self, num_candidates: int) -> int:
        """Memory of the buffer: a score and a candidate's number each."""
        entries = self.buffer_entries or num_candidates
        return entries * (self.score_bits + max(1, (num_candidates - 1).bit_length()))
