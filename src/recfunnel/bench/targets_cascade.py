"""Targets of the cascade: 4096 candidates to RM_small, the best 256 of them to RM_large."""

from collections.abc import Iterator

from msgspec.structs import replace

from recfunnel.bench.results import (
    CASCADE,
    STAGES,
    BackendResult,
    EngineResult,
    GroupResult,
    Ratio,
    our_cascade,
    ratio,
)
from recfunnel.bench.verdict import Verdict

FORMS: tuple[tuple[str, float], ...] = (
    (our_cascade("compiled", "bfloat16", "bfloat16"), 0.35e-3),
    (our_cascade("compiled", "int8", "bfloat16"), 0.35e-3),
    (our_cascade("hoisted", "bfloat16", "bfloat16"), 0.9e-3),
)
"""Ours, and the seconds it may take."""

COMPARED = tuple(name for name, _ in FORMS if "compiled" in name)
OVER_DLRM, OVER_BEST = 60.0, 30.0


def cascade_verdicts(result: EngineResult) -> Iterator[Verdict]:
    """Of one query through both stages, in one call of ours.

    Args:
        result: of a run.
    """
    group = next((group for group in result.groups if group.model == CASCADE), None)
    for name, most_s in FORMS:
        asked = Verdict(model=CASCADE, what=_short(name), unit="s", target=most_s, at_most=True)
        ours = None if group is None else group.backend(name)
        if group is not None and ours is not None:
            rounds_s = ours.timing.rounds_s
            asked = replace(
                asked,
                measured=ours.timing.median_s,
                spread=(min(rounds_s), max(rounds_s)),
                beside=f"{group.num_items:,} items",
            )
        yield asked
    dlrm, best = (None, None) if group is None else (_dlrm(group), best_stages(group))
    for name in COMPARED:
        yield _over("dlrm", OVER_DLRM, name, group, dlrm)
        yield _over("best", OVER_BEST, name, group, best)


def _short(name: str) -> str:
    return name.removeprefix("ours, ").replace(",", "")


def best_stages(group: GroupResult) -> BackendResult | None:
    """The fastest library for each stage, put together; None without libraries.

    Args:
        group: of the cascade.
    """
    found = [
        min(
            (b for b in group.backends if b.way == "library" and b.name.endswith(stage)),
            key=lambda b: b.timing.median_s,
            default=None,
        )
        for stage in STAGES
    ]
    first, second = found
    if first is None or second is None:
        return None
    names = [each.name.removesuffix(end) for each, end in zip((first, second), STAGES, strict=True)]
    pairs = zip(first.timing.rounds_s, second.timing.rounds_s, strict=True)
    together = replace(
        first.timing,
        rounds_s=tuple(map(sum, pairs)),
        p99_s=first.timing.p99_s + second.timing.p99_s,
    )
    return replace(first, name=" + ".join(dict.fromkeys(names)), timing=together)


def _dlrm(group: GroupResult) -> BackendResult | None:
    ends = tuple(STAGES)
    return next(
        (
            b
            for b in group.backends
            if b.way == "library" and "dlrm" in b.name and not b.name.endswith(ends)
        ),
        None,
    )


def _over(
    what: str, least: float, name: str, group: GroupResult | None, other: BackendResult | None
) -> Verdict:
    end = _short(name).removeprefix("compiled ")
    asked = Verdict(model=CASCADE, what=f"over {what}, {end}", unit="x", target=least)
    ours = None if group is None else group.backend(name)
    if ours is None or other is None:
        return asked
    found: Ratio = ratio(ours, other)
    return replace(asked, measured=found.median, spread=found.spread, beside=other.name)
