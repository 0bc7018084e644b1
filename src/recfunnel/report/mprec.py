"""MP-Rec's figures beside ours, as one stored value."""

from typing import Literal

from recfunnel.core.spec import Value

Certainty = Literal["found", "recalled, sure", "recalled", "recalled, unsure", "derived"]
"""How a published figure is known: read, remembered (how surely), or computed from the read."""

Source = Literal["exact", "modelled", "simulated", "measured"]
"""Where one of our figures comes from: arithmetic, a roofline, simulation on modelled times, or a
measurement."""


Axis = Literal["query size", "target", "load"]
"""What a sweep varies."""


class Published(Value, frozen=True):
    """A figure of the paper.

    Args:
        value: in SI units; shares 0 to 1.
        known: how.
        source: where it was read, or what it is remembered of.
    """

    value: float
    known: Certainty
    source: str


class SizeRow(Value, frozen=True):
    """Memory and arithmetic of one representation.

    Args:
        network: data set.
        representation: name.
        published_bytes: None where nothing is known.
        parameter_bytes: ours, exact.
        flops_per_item: ours, exact.
        over_table: FLOPs over the table's.
    """

    network: str
    representation: str
    published_bytes: Published | None
    parameter_bytes: int
    flops_per_item: float
    over_table: float


class QualityRow(Value, frozen=True):
    """How well one representation predicts.

    Args:
        network: data set of the paper.
        representation: name.
        accuracy: the paper's.
        above_trivial: accuracy less that of the trivial predictor.
    """

    network: str
    representation: str
    accuracy: Published
    above_trivial: float


class MeasuredQuality(Value, frozen=True):
    """One variant of our own quality study.

    Args:
        world: data it was measured on.
        variant: name.
        metric: of the comparison, higher is better.
        means: each metric's mean over seeds.
        difference: to the table, paired; None for the table itself.
        interval: of the difference, 95 %.
        parameter_bytes: resident.
        flops_per_item: exact.
    """

    world: str
    variant: str
    metric: str
    means: dict[str, float]
    difference: float | None
    interval: tuple[float, float] | None
    parameter_bytes: int
    flops_per_item: float


class CallRow(Value, frozen=True):
    """One representation on one platform at one size of query.

    Args:
        network: data set.
        platform: name.
        representation: name.
        num_chips: that hold the model together.
        num_items: candidates of the call.
        bound_s: least time by the roofline, nothing else counted.
        expected_s: with the assumptions of the reproduction.
        bound_by: what the roofline's bound is made of.
        fits: whether the model fits into the memory.
    """

    network: str
    platform: str
    representation: str
    num_chips: int
    num_items: int
    bound_s: float
    expected_s: float
    bound_by: str
    fits: bool


class SimulatedServing(Value, frozen=True):
    """The serving experiment under one policy; means over replications.

    Args:
        rate_qps: offered.
        delivered_quality: mean accuracy over all queries, 0 where late or never answered.
        delivered_stderr: of it.
        violation_rate: share of queries late or never answered.
        tcp_per_s: correct predictions a second, as the paper counts them.
        corrected_tcp_per_s: of those in time, above the trivial predictor's.
        p99_s: 99th percentile of latency; inf where more than 1 % were never answered.
    """

    rate_qps: float
    delivered_quality: float
    delivered_stderr: float
    violation_rate: float
    tcp_per_s: float
    corrected_tcp_per_s: float
    p99_s: float


class PolicyRow(Value, frozen=True):
    """One way to serve on one design point.

    Args:
        design_point: such as `HW-1`.
        network: data set.
        policy: name.
        paths: kept ready.
        memory_bytes: they take, of all platforms.
        capacity_qps: highest load within utilisation and deadline, by routing.
        quality_at_capacity: mean accuracy there.
        tcp_ratio: throughput of correct predictions at capacity over that of the CPU's table; None
            where there is none.
        simulated: what the serving experiment delivered; None where it was not run.
        why_not: what falls short where no path is kept; else empty.
    """

    design_point: str
    network: str
    policy: str
    paths: tuple[str, ...]
    memory_bytes: int
    capacity_qps: float
    quality_at_capacity: float
    tcp_ratio: float | None
    simulated: SimulatedServing | None = None
    why_not: str = ""


class SweepPoint(Value, frozen=True):
    """One point of a sweep on one design point.

    Args:
        axis: what is changed.
        at: its value: candidates a query, seconds, or queries a second.
        design_point: where.
        network: data set.
        policy: name.
        delivered_quality: mean accuracy over all queries, 0 where late or never answered.
        violation_rate: share late or never answered.
        tcp_per_s: as the paper counts.
    """

    axis: Axis
    at: float
    design_point: str
    network: str
    policy: str
    delivered_quality: float
    violation_rate: float
    tcp_per_s: float


class RatioRow(Value, frozen=True):
    """A published ratio beside ours.

    Args:
        name: of the platform or design point.
        network: data set.
        what: the ratio is of.
        published: the paper's.
        bound: ours when nothing but the roofline counts.
        expected: ours with the assumptions of the reproduction.
        paths: that ours serves with.
    """

    name: str
    network: str
    what: str
    published: Published
    bound: float
    expected: float
    paths: tuple[str, ...]


class SensitivityRow(Value, frozen=True):
    """What one assumption does to one ratio, the others left as they are.

    Args:
        ratio: name of the platform or design point, and data set.
        assumption: name.
        unit: of its values.
        values: low, assumed, high.
        ratios: ours at each.
        explains: the value at which ours is the published ratio; None where none between low and
            high is.
    """

    ratio: str
    assumption: str
    unit: str
    values: tuple[float, float, float]
    ratios: tuple[float, float, float]
    explains: float | None


class DatasheetRow(Value, frozen=True):
    """One figure of a datasheet.

    Args:
        product: the maker's name.
        figure: which.
        value: in SI units.
        known: how.
        source: where.
    """

    product: str
    figure: str
    value: float
    known: str
    source: str


class MPRecReproduction(Value, frozen=True):
    """Everything `recfunnel reproduce mprec` shows.

    Args:
        assumptions: by name, with their values.
        sizes: memory and arithmetic; exact.
        quality: the paper's accuracies.
        measured_quality: ours, where results of the quality study are there.
        calls: every representation on every platform; modelled.
        policies: design points; routing and simulation on modelled times.
        sweeps: of the serving experiment; simulated.
        ratios: the headline figures.
        sensitivity: of each ratio.
        datasheets: every hardware figure used.
        notes: what could not be done, and what to keep in mind.
    """

    assumptions: dict[str, float]
    sizes: tuple[SizeRow, ...]
    quality: tuple[QualityRow, ...]
    measured_quality: tuple[MeasuredQuality, ...]
    calls: tuple[CallRow, ...]
    policies: tuple[PolicyRow, ...]
    sweeps: tuple[SweepPoint, ...]
    ratios: tuple[RatioRow, ...]
    sensitivity: tuple[SensitivityRow, ...]
    datasheets: tuple[DatasheetRow, ...]
    notes: tuple[str, ...] = ()
