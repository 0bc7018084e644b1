"""What a measurement of the engine found, as values to store and to draw."""

from typing import Literal

from recfunnel.bench.process_results import Resident, Steadiness
from recfunnel.bench.shapes import Setting
from recfunnel.core.spec import Value

Precision = Literal["float32", "bfloat16", "int8"]

Way = Literal["plain", "hoisted", "compiled", "library"]
"""How candidates are scored: ours with every feature a candidate's own, with the context's work
done once a query, on a compiled catalogue; or by another library."""


ON_ONE_CORE = ", one core"
"""Ends the name of a back-end that uses one core where the others use more."""

SIDE_BY_SIDE = ", a query a core"
"""Ends the name of a back-end whose cores have a query of their own each."""

STAGES = (", stage 1", ", stage 2")
"""End the names of back-ends that run one stage of a cascade."""

CASCADE = "small → large"
"""The model of a group whose queries go through RM_small and then through RM_large."""

_SHORT: dict[Precision, str] = {"float32": "fp32", "bfloat16": "bf16", "int8": "int8"}


def our_name(way: Way, precision: Precision) -> str:
    """What our back-end of that kind is called."""
    return f"ours, {way}, {_SHORT[precision]}"


def our_scan(precision: Precision) -> str:
    """What ours is called where it scans a whole catalogue and keeps its best."""
    return f"ours, scan, {_SHORT[precision]}"


def our_cascade(way: Way, first: Precision, second: Precision) -> str:
    """What our cascade is called whose stages have these precisions."""
    name = our_name(way, first)
    return name if first == second else f"{name}/{_SHORT[second]}"


class Timing(Value, frozen=True):
    """Time of one call, back-ends taking turns.

    Args:
        rounds_s: median of each round.
        p99_s: over all calls.
        num_calls: in all rounds.
    """

    rounds_s: tuple[float, ...]
    p99_s: float
    num_calls: int

    @property
    def median_s(self) -> float:
        """Of the rounds' medians."""
        return middle(self.rounds_s)


class Ratio(Value, frozen=True):
    """How many times faster than another, round by round.

    Args:
        over: the name of the other.
        rounds: of each round.
    """

    over: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of all rounds."""
        return middle(self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """Least and most of any round."""
        return min(self.rounds), max(self.rounds)


class BackendResult(Value, frozen=True):
    """One back-end on one workload.

    Args:
        name: of the back-end.
        way: how it scores.
        precision: of its arithmetic.
        timing: of its calls.
        error: largest difference of a score to float64, over the largest score.
        roof_share: least possible time by this machine's peaks over the median, 0 to 1; None
            where it is not known.
    """

    name: str
    way: Way
    precision: Precision
    timing: Timing
    error: float
    roof_share: float | None = None


class GroupResult(Value, frozen=True):
    """Back-ends that took turns on the same queries.

    Args:
        model: name of the shape.
        setting: whose the features are.
        num_candidates: of a query.
        num_items: of the catalogue; 0 without one.
        largest: on the largest catalogue of the run.
        num_threads: cores a call may use.
        backends: all of them.
        foreign_share: of the machine, used by other programs meanwhile.
        steal_share: of the machine, kept by its hypervisor.
    """

    model: str
    setting: Setting
    num_candidates: int
    num_items: int
    largest: bool
    num_threads: int
    backends: tuple[BackendResult, ...]
    foreign_share: float
    steal_share: float

    def backend(self, name: str) -> BackendResult | None:
        """The back-end of that name; None when it was not there."""
        return next((b for b in self.backends if b.name == name), None)

    def fastest_library(self, precisions: tuple[Precision, ...] = ()) -> BackendResult | None:
        """The library of the shortest median.

        Args:
            precisions: look only among these; empty for all.

        Returns:
            It, or None when no library was there.
        """
        libraries = [
            b
            for b in self.backends
            if b.way == "library" and (not precisions or b.precision in precisions)
        ]
        return min(libraries, key=lambda b: b.timing.median_s, default=None)

    def items_per_s(self, backend: BackendResult) -> float:
        """Candidates scored a second."""
        return self.num_candidates / backend.timing.median_s


class Missing(Value, frozen=True):
    """A back-end that was not measured.

    Args:
        name: of the back-end.
        why: in words.
    """

    name: str
    why: str


class Machine(Value, frozen=True):
    """Where it was measured.

    Args:
        processor: its name.
        instructions: vector instructions that matter.
        num_cores: this process may use.
        compute_flops_per_s: measured, fp32, one core.
        bandwidth_bytes_per_s: measured, streaming, one core.
        versions: of the libraries.
    """

    processor: str
    instructions: tuple[str, ...]
    num_cores: int
    compute_flops_per_s: float
    bandwidth_bytes_per_s: float
    versions: dict[str, str]


class EngineResult(Value, frozen=True):
    """All that was measured.

    Args:
        machine: where.
        num_rows: of a DLRM's tables.
        num_items: of the usual catalogue.
        quick: with small tables, for a first look.
        groups: in the order of measuring.
        missing: back-ends that were left out.
        steadiness: of each model's calls.
        resident: memory of a process that serves each model.
    """

    machine: Machine
    num_rows: int
    num_items: int
    quick: bool
    groups: tuple[GroupResult, ...]
    missing: tuple[Missing, ...]
    steadiness: tuple[Steadiness, ...] = ()
    resident: tuple[Resident, ...] = ()


def ratio(ours: BackendResult, other: BackendResult) -> Ratio:
    """How many times faster ours is, in each round."""
    pairs = zip(other.timing.rounds_s, ours.timing.rounds_s, strict=True)
    return Ratio(over=other.name, rounds=tuple(theirs_s / ours_s for theirs_s, ours_s in pairs))


def middle(values: tuple[float, ...]) -> float:
    """Median; the mean of the two in the middle of an even number."""
    ordered, half = sorted(values), len(values) // 2
    if len(values) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2
