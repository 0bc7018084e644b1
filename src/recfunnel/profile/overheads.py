"""What a station's stages cost besides the scoring of their models: selecting, and the call itself.

Two ways to run a station. One by one, each stage selects after its models have scored. In one call,
where every model of every stage was timed inside such a call: their times then include selecting,
and the call is paid once.
"""

from collections.abc import Callable, Sequence

from recfunnel.core.pipeline import Pipeline
from recfunnel.core.results import LatencyProfile
from recfunnel.runtime.timing import FUSED_CALL, TOP_K


def overheads(
    pipeline: Pipeline,
    scorers: Sequence[tuple[str, ...]],
    stages: range,
    profile_of: Callable[[str], LatencyProfile],
) -> list[tuple[str, ...]]:
    """Names of the profiles that are added to those of the models, for each stage of a station.

    A model timed inside a call of all stages that shares its station with one that is not is called
    on its own: it pays the call, and what it selects is selected once more.

    Args:
        pipeline: all stages.
        scorers: the models each stage calls.
        stages: those of the station.
        profile_of: of a model, where the station runs.

    Returns:
        One tuple a stage of the station.
    """
    inside = [
        [profile_of(model).is_fused(pipeline.stages[index].num_in) for model in scorers[index]]
        for index in stages
    ]
    if all(map(all, inside)):
        return [() if number else (FUSED_CALL,) for number in range(len(inside))]
    return [(*[FUSED_CALL] * sum(fused), TOP_K) for fused in inside]
