"""The designs that RecPipe's claim is about: the prior art, RPAccel, and the steps between them.

All have the published array and memories. What overlaps and what filters is a switch each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from recfunnel.core.errors import StudyError
from recfunnel.hardware.accel.design import Design, Policy, StageUse
from recfunnel.plan.accel.problem import AccelPipeline
from recfunnel.plan.accel.space import on_chip

SUB_BATCHES = (1, 2, 4, 8, 16, 32)

POLICIES_BETWEEN: tuple[Policy, ...] = ("quota", "running")
"""That RPAccel's filter may have between stages; the paper does not say which."""

Cut = tuple[tuple[int, int], ...]
"""Side and number of each stage's square sub-arrays."""


@dataclass(frozen=True, slots=True)
class ClaimDesign:
    """A design in the words of the claim.

    Args:
        name: short.
        pipeline: models and keep-counts.
        cut: sub-arrays of each stage; one for all when the stages work on them in turn.
        policy: of all stages' filters.
        sub_batches: tried; the one that answers a lone query soonest is taken.
        static_share: of embedding SRAM that holds the hottest rows; the rest is read ahead into.
        weights_preloaded: see `Design`, as the following.
        look_ahead: overlap of fetching rows.
        pipelined: overlap of stages.
    """

    name: str
    pipeline: AccelPipeline
    cut: Cut
    policy: Policy = "running"
    sub_batches: tuple[int, ...] = SUB_BATCHES
    static_share: float = 0.5
    weights_preloaded: bool = True
    look_ahead: bool = True
    pipelined: bool = True

    @property
    def in_turn(self) -> bool:
        """Whether several stages share their sub-arrays."""
        return len(self.cut) < len(self.pipeline.models)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Of each stage."""
        num_stages = len(self.pipeline.models)
        if self.policy == "host":
            return (self.policy,) * num_stages
        return on_chip(self.policy, num_stages)

    @property
    def cut_name(self) -> str:
        """For people."""
        words = " + ".join(f"{copies}x{side}" for side, copies in self.cut)
        return f"{words} in turn" if self.in_turn else words

    def design(self, sub_batches: int, overshoot: Sequence[float], row_bytes: int) -> Design:
        """How the chip is used, with so many sub-batches.

        Args:
            sub_batches: of a query.
            overshoot: of each stage's filter.
            row_bytes: of embedding SRAM, divided equally between stages.

        Raises:
            StudyError: neither one cut for all stages nor one of each.
        """
        num_stages = len(self.pipeline.models)
        if len(self.cut) not in (1, num_stages):
            raise StudyError(f"{len(self.cut)} cuts for {num_stages} stages; give one, or one each")
        part = row_bytes // num_stages
        static = int(part * self.static_share)
        stages = []
        for stage in range(num_stages):
            side, copies = self.cut[0 if self.in_turn else stage]
            stages.append(
                StageUse(
                    rows=side,
                    cols=side,
                    copies=copies,
                    static_bytes=static,
                    ahead_bytes=part - static,
                    policy=self.policies[stage],
                    overshoot=overshoot[stage],
                    shares_with=0 if self.in_turn and stage else None,
                )
            )
        return Design(
            stages=tuple(stages),
            sub_batches=sub_batches,
            weights_preloaded=self.weights_preloaded,
            look_ahead=self.look_ahead,
            pipelined=self.pipelined,
        )


def prior_art(pipeline: AccelPipeline, side: int, name: str = "prior art") -> ClaimDesign:
    """One array, everything one after another, and a host that sorts."""
    return ClaimDesign(
        name=name,
        pipeline=pipeline,
        cut=((side, 1),),
        policy="host",
        sub_batches=(1,),
        static_share=1.0,
        weights_preloaded=False,
        look_ahead=False,
        pipelined=False,
    )


def steps_between(single: AccelPipeline, funnel: AccelPipeline, side: int) -> list[ClaimDesign]:
    """Prior art with a single stage or a funnel, and with what RPAccel adds to it."""
    first = prior_art(single, side)
    return [
        first,
        replace(first, name="+ filter on the chip", policy="quota"),
        ClaimDesign(name="+ all overlaps", pipeline=single, cut=((side, 1),)),
        prior_art(funnel, side, "funnel on the prior art"),
        replace(prior_art(funnel, side), name="funnel, filter on the chip", policy="quota"),
    ]


def fissioned(pipeline: AccelPipeline, side: int, name: str) -> list[ClaimDesign]:
    """Equal parts of the array for the stages, each cut into squares of half the side or less."""
    num_stages = len(pipeline.models)
    found = []
    for number in range(3**num_stages):
        sides = [side // 2 ** (1 + number // 3**s % 3) for s in range(num_stages)]
        copies = [side**2 // num_stages // own**2 for own in sides]
        if min(copies) >= 1:
            cut = tuple(zip(sides, copies, strict=True))
            found += [
                ClaimDesign(name=name, pipeline=pipeline, cut=cut, policy=policy)
                for policy in POLICIES_BETWEEN
            ]
    return found


def without_each(whole: ClaimDesign, sub_batches: int, side: int) -> list[ClaimDesign]:
    """A design, then the same with one feature switched off at a time, sub-batches fixed."""
    same = replace(whole, sub_batches=(sub_batches,), name="nothing")
    return [
        same,
        replace(same, name="sub-batches", sub_batches=(1,)),
        replace(same, name="look-ahead", look_ahead=False),
        replace(same, name="static cache", static_share=0.0),
        replace(same, name="filter on the chip", policy="host"),
        replace(same, name="fission", cut=((side, 1),)),
        replace(same, name="weights preloaded", weights_preloaded=False),
        replace(same, name="stages pipelined", pipelined=False),
    ]
