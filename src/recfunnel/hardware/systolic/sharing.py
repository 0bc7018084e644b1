"""What sub-arrays share or have to themselves: the way to DRAM, and the SRAM of weights.

Letters: P sub-arrays.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value

Sharing = Literal["shared", "partitioned"]
"""`partitioned`: each has its fixed part, used or not. `shared`: those that want it divide it."""


def finish_cycles(
    compute_cycles: ArrayLike,
    dram_words: ArrayLike,
    words_per_cycle: float,
    shares: Sequence[float],
    sharing: Sharing,
) -> DoubleArray:
    """When sub-arrays that begin together are done, moving words while they compute.

    A shared channel serves all that still have words to move at once, each in proportion to its
    share, and is never idle while any has (generalised processor sharing, Parekh and Gallager
    1993). A partitioned one gives each its share of the bandwidth and no more.

    Args:
        compute_cycles: (P,), of each if nothing had to be moved.
        dram_words: (P,), moved for each.
        words_per_cycle: of the whole channel.
        shares: (P,), each above 0; they are taken relative to their sum.
        sharing: of the channel.

    Returns:
        float64 (P,): the longer of computing and moving.

    Raises:
        StudyError: bandwidth or a share not above 0, a negative amount, or different lengths.
    """
    compute = np.asarray(compute_cycles, np.float64)
    words, weights = np.asarray(dram_words, np.float64), np.asarray(shares, np.float64)
    if not compute.shape == words.shape == weights.shape == (weights.size,):
        raise StudyError(
            f"{compute.size} computing times, {words.size} amounts of words and {weights.size} "
            "shares; give one of each a sub-array"
        )
    if not 0 < words_per_cycle < np.inf or not (weights > 0).all():
        raise StudyError("bandwidth and every share of it must be above 0")
    if not (compute >= 0).all() or not (words >= 0).all():
        raise StudyError("computing times and words must be 0 or more")
    if sharing == "partitioned":
        moving = words / (words_per_cycle * weights / weights.sum())
    else:
        moving = _shared_finish(words, weights) / words_per_cycle
    done: DoubleArray = np.maximum(compute, moving)
    return done


def _shared_finish(words: DoubleArray, weights: DoubleArray) -> DoubleArray:
    """When each is served by a channel of one word a cycle.

    Sorted by words per share, all that are left progress alike, so the channel has moved
    sum(min(words, level * weights)) words when the level reaches an amount's own.
    """
    levels = words / weights
    order = np.argsort(levels, kind="stable")
    done = np.concatenate([[0.0], np.cumsum(words[order])[:-1]])
    left = np.cumsum(weights[order][::-1])[::-1]
    finish = np.empty_like(words)
    finish[order] = done + levels[order] * left
    return finish


class StageWeights(Value, frozen=True):
    """The weights of one stage's network, and how many sub-arrays run it.

    Args:
        num_bytes: of one copy.
        num_sub_arrays: that work on this stage.
        share: of the SRAM, where it is partitioned: that of all its sub-arrays together.
    """

    num_bytes: int
    num_sub_arrays: int = 1
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.num_bytes < 0 or self.num_sub_arrays < 1 or not 0 < self.share <= 1:
            raise StudyError(
                f"weights of {self.num_bytes} bytes for {self.num_sub_arrays} sub-arrays with "
                f"{self.share:g} of the SRAM; bytes must be 0 or more, sub-arrays 1 or more, the "
                "share above 0 and at most 1"
            )


class WeightPlacement(Value, frozen=True):
    """Where each stage's weights are.

    Args:
        resident: loaded once and kept, one a stage.
        streamed_bytes: read from DRAM for each query, one a stage: 0 where resident, else of all
            copies that are needed.
    """

    resident: tuple[bool, ...]
    streamed_bytes: tuple[int, ...]


def place_weights(
    stages: Sequence[StageWeights], sram_bytes: int, sharing: Sharing, *, stream_bytes: int
) -> WeightPlacement:
    """Keep in SRAM what saves most reading of DRAM; the rest is streamed for every query.

    A stage's weights are kept whole or not at all. In a shared SRAM one copy serves all of a
    stage's sub-arrays, and streams of other stages pass through `stream_bytes` of it. In a
    partitioned one every sub-array needs a copy in its own part. All sets of stages are tried.

    Args:
        stages: 1 to 20.
        sram_bytes: of weights, in all.
        sharing: of the SRAM.
        stream_bytes: room that a stream takes; two tiles of the array, usually.

    Returns:
        What is kept.

    Raises:
        StudyError: no stage or more than 20, a negative size, or less room than a stream needs.
    """
    if not 1 <= len(stages) <= 20 or min(sram_bytes, stream_bytes) < 0:
        raise StudyError(
            f"{len(stages)} stages in {sram_bytes} bytes with {stream_bytes} for streams; give 1 "
            "to 20 stages and sizes of 0 or more"
        )
    if sharing == "partitioned":
        resident = tuple(_fits_alone(stage, sram_bytes, stream_bytes) for stage in stages)
    else:
        resident = _best_set([stage.num_bytes for stage in stages], sram_bytes, stream_bytes)
    copies = [1 if sharing == "shared" else stage.num_sub_arrays for stage in stages]
    return WeightPlacement(
        resident=resident,
        streamed_bytes=tuple(
            0 if kept else stage.num_bytes * copy
            for kept, stage, copy in zip(resident, stages, copies, strict=True)
        ),
    )


def _fits_alone(stage: StageWeights, sram_bytes: int, stream_bytes: int) -> bool:
    """Whether each sub-array's own part holds a copy; a stream must fit where it does not."""
    part = sram_bytes * stage.share / stage.num_sub_arrays
    if stage.num_bytes <= part:
        return True
    if part < stream_bytes:
        raise StudyError(_too_small(stream_bytes, part))
    return False


def _best_set(sizes: list[int], sram_bytes: int, stream_bytes: int) -> tuple[bool, ...]:
    """The stages to keep that leave fewest bytes to stream."""
    if sum(sizes) <= sram_bytes:
        return (True,) * len(sizes)
    room = sram_bytes - stream_bytes
    if room < 0:
        raise StudyError(_too_small(stream_bytes, sram_bytes))
    sets = np.arange(2 ** len(sizes))[:, np.newaxis] >> np.arange(len(sizes)) & 1
    kept = sets @ np.array(sizes, np.int64)
    best = int(np.argmax(np.where(kept <= room, kept, -1)))
    return tuple(bool(bit) for bit in sets[best])


def _too_small(stream_bytes: int, part: float) -> str:
    return (
        f"weights are streamed through {stream_bytes} bytes of SRAM, but only {part:.0f} are there;"
        " give it more SRAM or smaller tiles"
    )
