"""Profiles computed from each model's stated work and a platform's stated speed.

Deterministic, labelled `modelled`, and a bound from below: the only profiles there can be for a
machine that is not at hand.
"""

from collections.abc import Mapping

import numpy as np

from recfunnel.core.model import ModelCost
from recfunnel.core.platform import Platform
from recfunnel.core.results import LatencyProfile
from recfunnel.hardware.cost import latency_s
from recfunnel.profile.request import HAND_OVER, WAKE_UP, ProfileRequest
from recfunnel.runtime.timing import TOP_K

_SELECTION = ModelCost(
    flops_per_query=0.0, flops_per_item=10.0, read_bytes_per_item=16.0, parameter_bytes=0
)
"""Work of a selection: each score is copied, compared a few times and read again."""


def modelled_profiles(
    costs: Mapping[str, ModelCost], platform: Platform, request: ProfileRequest
) -> tuple[LatencyProfile, ...]:
    """A profile of each model, of `top_k`, `hand_over` and `wake_up`, one sample each.

    Args:
        costs: work of each requested model.
        platform: the machine that is priced.
        request: sizes and threads; repetitions and time mean nothing here.

    Returns:
        For each number of threads, one profile a name.

    Raises:
        StudyError: more threads than the platform has cores.
    """
    profiles = []
    for threads in request.num_threads:
        work = {model: (costs[model], sizes) for model, sizes in request.sizes.items()}
        work[TOP_K] = (_SELECTION, request.all_sizes)
        work[HAND_OVER] = work[WAKE_UP] = (_SELECTION, (1,))
        for model, (cost, sizes) in work.items():
            seconds = [[latency_s(cost, platform, size, threads)] for size in sizes]
            profiles.append(
                LatencyProfile(
                    model=model,
                    platform=platform.name,
                    num_threads=threads,
                    batch_sizes=np.array(sizes, np.int64),
                    latency_s=np.array(seconds),
                    source="modelled",
                    notes=("computed from the model's work by the roofline, not measured",),
                )
            )
    return tuple(profiles)
