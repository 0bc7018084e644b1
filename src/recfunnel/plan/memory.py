"""Memory a path needs: every server holds every model its stages call."""

from collections.abc import Sequence

from recfunnel.core.pipeline import Path, Pipeline, stage_scorers
from recfunnel.plan.inputs import PlanInputs
from recfunnel.plan.mappings import stages_of


def station_bytes(pipeline: Pipeline, sizes: Sequence[int], inputs: PlanInputs) -> tuple[int, ...]:
    """Bytes one server of each station needs.

    Args:
        pipeline: all stages.
        sizes: how many consecutive stages each station runs.
        inputs: of the plan.

    Returns:
        One number a station.
    """
    scorers = stage_scorers(pipeline, inputs.all_score_inputs)
    return tuple(
        sum(inputs.model_bytes.get(model, 0) for model in {m for i in own for m in scorers[i]})
        for own in stages_of(sizes)
    )


def path_bytes(path: Path, inputs: PlanInputs) -> int:
    """Bytes of all servers together."""
    stations = path.mapping.stations
    each = station_bytes(path.pipeline, [s.num_stages for s in stations], inputs)
    return sum(s.num_servers * size for s, size in zip(stations, each, strict=True))


def fits(path: Path, inputs: PlanInputs) -> bool:
    """Whether the platform's memory holds it."""
    return path_bytes(path, inputs) <= inputs.platform.memory_bytes
