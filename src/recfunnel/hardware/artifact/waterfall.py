"""From the published model to the corrected one, a fault at a time."""

from collections.abc import Sequence

from recfunnel.core.spec import Value
from recfunnel.hardware.artifact.faults import CORRECTED, FAULTS, PUBLISHED
from recfunnel.hardware.artifact.timing import Stage, capacity_qps, service_times, total_s


class Step(Value, frozen=True):
    """What one correction does.

    Args:
        name: of the fault.
        cumulative_s: service time of all stages with this fault and all before it corrected.
        alone_s: with this one alone corrected.
        kept_s: with this one alone kept.
        cumulative_qps: capacity with this fault and all before it corrected.
    """

    name: str
    cumulative_s: float
    alone_s: float
    kept_s: float
    cumulative_qps: float


class Waterfall(Value, frozen=True):
    """All of them.

    Args:
        published_s: service time of all stages in the published model.
        published_qps: its capacity.
        steps: in order.
        corrected_s: with every fault corrected; the last step's.
    """

    published_s: float
    published_qps: float
    steps: tuple[Step, ...]
    corrected_s: float


def waterfall(stages: Sequence[Stage]) -> Waterfall:
    """Correct one fault after another.

    Steps depend on the order; `alone_s` and `kept_s` say how much.

    Args:
        stages: of a pipeline.

    Returns:
        The way, each service time without waiting.

    Raises:
        StudyError: no stage.
    """
    before = service_times(stages, PUBLISHED)
    steps, faults = [], PUBLISHED
    for fault in FAULTS:
        faults = faults.without(fault.name)
        times = service_times(stages, faults)
        others = PUBLISHED.without(*(each.name for each in FAULTS if each is not fault))
        steps.append(
            Step(
                name=fault.name,
                cumulative_s=total_s(times),
                alone_s=total_s(service_times(stages, PUBLISHED.without(fault.name))),
                kept_s=total_s(service_times(stages, others)),
                cumulative_qps=capacity_qps(stages, times),
            )
        )
    return Waterfall(
        published_s=total_s(before),
        published_qps=capacity_qps(stages, before),
        steps=tuple(steps),
        corrected_s=total_s(service_times(stages, CORRECTED)),
    )
