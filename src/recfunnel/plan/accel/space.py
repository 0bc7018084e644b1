"""Every design of a space, as columns.

An array is divided among stages in eighths, and each stage's part is cut into as many squares of
one side as it holds; or all stages work in turn on the same squares. Each stage's part of the
embedding SRAM is in quarters.

Letters: D designs, S stages.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from recfunnel.core.arrays import BoolArray, IntArray
from recfunnel.hardware.accel.design import POLICIES, DesignColumns, Policy
from recfunnel.plan.accel.problem import AccelPipeline, AccelSpace
from recfunnel.plan.mappings import compositions

ARRAY_PARTS = 8
SRAM_PARTS = 4


def pipelines(
    models: Sequence[str], space: AccelSpace, num_in: int, num_answers: int
) -> tuple[AccelPipeline, ...]:
    """Every pipeline of models that grow costlier and keep-counts that fall.

    Args:
        models: cheapest first.
        space: stages and keep-counts.
        num_in: candidates.
        num_answers: of the last stage.
    """
    counts = sorted({n for n in space.keep_counts if num_answers <= n < num_in}, reverse=True)
    found = []
    for num_stages in range(1, space.max_stages + 1):
        for chosen in _rising(len(models), num_stages):
            names = tuple(models[i] for i in chosen)
            found += [
                AccelPipeline(models=names, kept=(num_in, *kept, num_answers))
                for kept in _falling(counts, num_stages - 1)
            ]
    return tuple(found)


def _rising(num: int, length: int) -> Iterator[tuple[int, ...]]:
    return (t for t in product(range(num), repeat=length) if all(np.diff(t) > 0))


def _falling(counts: Sequence[int], length: int) -> Iterator[tuple[int, ...]]:
    return (t for t in product(counts, repeat=length) if all(np.diff(t) < 0))


def cuts(num_stages: int, array_side: int, sides: Sequence[int]) -> IntArray:
    """(N, S, 3), side and number of each stage's sub-arrays, and the stage whose they are."""
    fitting = [side for side in sides if side <= array_side]
    elements = array_side**2
    found: dict[tuple[tuple[int, int, int], ...], None] = {}
    for side in fitting:
        copies = elements // side**2
        found[tuple((side, copies, 0) for _ in range(num_stages))] = None
    if num_stages > 1:
        for shares in compositions(ARRAY_PARTS, num_stages):
            for chosen in product(fitting, repeat=num_stages):
                copies_of = [
                    share * elements // (ARRAY_PARTS * side**2)
                    for share, side in zip(shares, chosen, strict=True)
                ]
                if min(copies_of) >= 1:
                    uses = zip(chosen, copies_of, range(num_stages), strict=True)
                    found[tuple(uses)] = None
    return np.array(list(found), np.int64).reshape(-1, num_stages, 3)


def divisions(num_stages: int, capacity_bytes: int, static_eighths: Sequence[int]) -> IntArray:
    """(N, S, 2), bytes of static cache and of look-ahead buffer of each stage."""
    quarters = compositions(SRAM_PARTS, num_stages)
    parts = [(p, e) for p in quarters for e in product(static_eighths, repeat=num_stages)]
    bytes_of = [
        [
            (part * capacity_bytes * eighths // (8 * SRAM_PARTS), part, eighths)
            for part, eighths in zip(*each, strict=True)
        ]
        for each in parts
    ]
    return np.array(
        [[(s, p * capacity_bytes // SRAM_PARTS - s) for s, p, _ in each] for each in bytes_of],
        np.int64,
    ).reshape(-1, num_stages, 2)


def policies_of(num_stages: int, space: AccelSpace, sub_batches: int) -> list[tuple[Policy, ...]]:
    """Policies of all stages: the same before every stage, and the host everywhere or nowhere.

    With one sub-batch a filter's policies do not differ, so only one of them is looked at.
    """
    chips = [p for p in space.policies if p != "host"]
    chosen = chips[:1] if sub_batches == 1 else chips
    hosts: list[Policy] = ["host"] if "host" in space.policies else []
    ways = [on_chip(policy, num_stages) for policy in chosen]
    return list(dict.fromkeys([*ways, *((host,) * num_stages for host in hosts)]))


def on_chip(policy: Policy, num_stages: int) -> tuple[Policy, ...]:
    """Policies of stages that filter on the chip.

    Behind the last stage nobody waits for a sub-batch's share, and cutting by share would lose good
    answers where candidates are not in random order: it answers by the threshold of all.
    """
    return (*(policy,) * (num_stages - 1), "global")


def all_designs(
    pipeline: AccelPipeline,
    policies: Sequence[Policy],
    sub_batches: int,
    overshoot: Sequence[float],
    space: AccelSpace,
    chip: tuple[int, int],
) -> DesignColumns:
    """Every cut with every division of the embedding SRAM.

    Args:
        pipeline: models and keep-counts.
        policies: of each stage.
        sub_batches: of the query.
        overshoot: (S,), candidates passed for each one wanted.
        space: what is combined.
        chip: side of the array, and bytes of embedding SRAM.

    Returns:
        D designs that fit the array and the memory.
    """
    num_stages = len(pipeline.models)
    ways = cuts(num_stages, chip[0], space.sub_array_sides)
    shares = divisions(num_stages, chip[1], space.static_eighths)
    cut = np.repeat(ways, len(shares), axis=0)
    memory = np.tile(shares, (len(ways), 1, 1))
    number = len(cut)
    everywhere: BoolArray = np.ones(number, np.bool_)
    return DesignColumns(
        kept=np.tile(np.array(pipeline.kept, np.int64), (number, 1)),
        rows=cut[:, :, 0],
        cols=cut[:, :, 0],
        copies=cut[:, :, 1],
        static_bytes=memory[:, :, 0],
        ahead_bytes=memory[:, :, 1],
        policy=np.tile([POLICIES.index(policy) for policy in policies], (number, 1)),
        margin=np.full((number, num_stages), space.margin),
        overshoot=np.tile(np.array(overshoot, np.float64), (number, 1)),
        group=cut[:, :, 2],
        sub_batches=sub_batches,
        weights_preloaded=everywhere,
        look_ahead=everywhere,
        pipelined=everywhere,
        partitioned=~everywhere,
    )
