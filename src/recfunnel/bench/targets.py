"""What the engine must reach, and whether it did: the cells of the engine's target table.

Ratios against libraries in the same run decide; they hold on any machine. Times and rates are those
of the machine the targets were set on (one Zen 4 core with AVX-512 and BF16).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from recfunnel.bench.results import (
    ON_ONE_CORE,
    SIDE_BY_SIDE,
    EngineResult,
    GroupResult,
    Precision,
    Way,
    our_name,
    our_scan,
    ratio,
)
from recfunnel.bench.shapes import Setting
from recfunnel.bench.targets_cascade import cascade_verdicts
from recfunnel.bench.targets_process import process_verdicts
from recfunnel.bench.verdict import Verdict

MANY_ITEMS, MOST_ITEMS = 10**6, 10**7
LARGEST_ERROR = 1e-5
SPEED_UP_OF_TWO = 1.8
USUAL = 1024
"""Candidates of a query, of most targets."""


@dataclass(frozen=True, slots=True)
class RatioTarget:
    """How many times faster than a library.

    Args:
        model: name of the shape.
        way: how ours scores.
        precision: of ours.
        least: the ratio asked for.
        among: precisions of the libraries it is held against; empty for the best of any.
        library: held against this one instead.
        largest: on the largest catalogue.
    """

    model: str
    way: Way
    precision: Precision
    least: float
    among: tuple[Precision, ...] = ()
    library: str = ""
    largest: bool = False


def _ratio_targets() -> Iterator[RatioTarget]:
    dlrm = (
        # plain fp32, plain bf16, hoisted bf16, compiled bf16 at 10^6 and at 10^7, fp32 at 10^6
        ("RM_small", 2.5, 4.0, 9.0, 30.0, 18.0, 17.0),
        ("RM_med", 3.0, 4.5, 7.0, 13.0, 10.0, 7.0),
        ("RM_large", 1.7, 2.0, 9.0, 14.0, 12.0, 11.0),
    )
    exact: tuple[Precision, ...] = ("float32",)
    low: tuple[Precision, ...] = ("bfloat16", "int8")
    for model, plain, plain16, hoisted16, many16, most16, many in dlrm:
        yield RatioTarget(model, "plain", "float32", plain, exact)
        yield RatioTarget(model, "plain", "bfloat16", plain16, low if model == "RM_large" else ())
        yield RatioTarget(model, "hoisted", "bfloat16", hoisted16)
        yield RatioTarget(model, "compiled", "bfloat16", many16)
        yield RatioTarget(model, "compiled", "bfloat16", most16, largest=True)
        yield RatioTarget(model, "compiled", "float32", many, exact)
    yield RatioTarget("NeuMF_large", "hoisted", "float32", 4.0, library="torch eager")
    yield RatioTarget("NeuMF_large", "hoisted", "bfloat16", 4.0, ("bfloat16",))


RATIOS: tuple[RatioTarget, ...] = tuple(_ratio_targets())

SCANS = {"RM_small": 32e6, "RM_med": 8.5e6, "RM_large": 4.2e6}
"""Items a second over a whole catalogue of 10^6, bfloat16, the best 256 kept on the way."""

ONE_CANDIDATE: tuple[tuple[str, Way, Precision, float], ...] = (
    ("RM_small", "plain", "float32", 8e-6),
    ("RM_large", "plain", "float32", 25e-6),
    ("RM_small", "compiled", "bfloat16", 4e-6),
    ("RM_large", "compiled", "bfloat16", 10e-6),
)


def verdicts(result: EngineResult) -> tuple[Verdict, ...]:
    """Every cell of the target table, measured or not."""
    return (
        *(_ratio(result, target) for target in RATIOS),
        *(_scan(result, model, least) for model, least in SCANS.items()),
        *(_one(result, *target) for target in ONE_CANDIDATE),
        *(_two_cores(result, model) for model in SCANS),
        *cascade_verdicts(result),
        *process_verdicts(result, tuple(SCANS)),
        _exact(result),
    )


def find_group(
    result: EngineResult,
    model: str,
    setting: Setting,
    num_candidates: int,
    *,
    largest: bool = False,
    num_threads: int = 1,
) -> GroupResult | None:
    """The group measured so.

    Args:
        result: of a run.
        model: name of the shape.
        setting: of the group.
        num_candidates: of a query.
        largest: on the largest catalogue, not the usual one.
        num_threads: cores.

    Returns:
        It, or None when it was not measured.
    """
    for group in result.groups:
        if (
            (group.model, group.setting) == (model, setting)
            and (group.num_candidates, group.num_threads) == (num_candidates, num_threads)
            and group.largest == largest
        ):
            return group
    return None


def _ratio(result: EngineResult, target: RatioTarget) -> Verdict:
    setting: Setting = "plain" if target.way == "plain" else "catalogue"
    group = find_group(result, target.model, setting, USUAL, largest=target.largest)
    items = MOST_ITEMS if target.largest else MANY_ITEMS
    what = _named(target.way, target.precision)
    if setting == "catalogue" and target.model != "NeuMF_large":
        what += f", {_short(items if group is None else group.num_items)}"
    asked = Verdict(model=target.model, what=what, unit="x", target=target.least)
    if group is None:
        return asked
    ours = group.backend(our_name(target.way, target.precision))
    other = group.fastest_library(target.among)
    if target.library:
        other = group.backend(target.library)
    if ours is None or other is None:
        return asked
    found = ratio(ours, other)
    return replace(asked, measured=found.median, spread=found.spread, beside=other.name)


def _short(count: int) -> str:
    for scale, unit in ((10**6, "M"), (10**3, "k")):
        if count >= scale:
            return f"{count / scale:.3g}{unit}"
    return f"{count}"


def _named(way: Way, precision: Precision) -> str:
    return our_name(way, precision).removeprefix("ours, ").replace(",", "")


def _scan(result: EngineResult, model: str, least: float) -> Verdict:
    asked = Verdict(model=model, what="scan bf16", unit="items/s", target=least)
    for group in result.groups:
        ours = group.backend(our_scan("bfloat16")) if group.model == model else None
        if ours is not None:
            rates = [group.num_candidates / seconds for seconds in ours.timing.rounds_s]
            return replace(
                asked,
                measured=group.items_per_s(ours),
                spread=(min(rates), max(rates)),
                beside=f"{_short(group.num_items)} items",
            )
    return asked


def _one(
    result: EngineResult, model: str, way: Way, precision: Precision, most_s: float
) -> Verdict:
    what = f"B=1 {_named(way, precision)}"
    setting: Setting = "plain" if way == "plain" else "catalogue"
    group = find_group(result, model, setting, 1)
    found = None if group is None else group.backend(our_name(way, precision))
    asked = Verdict(model=model, what=what, unit="s", target=most_s, at_most=True)
    if found is None:
        return asked
    rounds_s = found.timing.rounds_s
    spread = min(rounds_s), max(rounds_s)
    return replace(asked, measured=found.timing.median_s, spread=spread)


def _two_cores(result: EngineResult, model: str) -> Verdict:
    name = our_name("plain", "float32")
    what = "two cores fp32"
    asked = Verdict(model=model, what=what, unit="x", target=SPEED_UP_OF_TWO)
    group = find_group(result, model, "plain", USUAL, num_threads=2)
    one = None if group is None else group.backend(f"{name}{ON_ONE_CORE}")
    two = None if group is None else group.backend(name)
    if group is None or one is None or two is None:
        return asked
    found = ratio(two, one)
    alone = group.backend(name + SIDE_BY_SIDE)
    beside = "" if alone is None else f"limit {ratio(alone, one).median:.2f}x"
    return replace(asked, measured=found.median, spread=found.spread, beside=beside)


def _exact(result: EngineResult) -> Verdict:
    errors = [
        backend.error
        for group in result.groups
        for backend in group.backends
        if backend.way != "library" and backend.precision == "float32"
    ]
    what = "error of fp32"
    asked = Verdict(model="all", what=what, unit="", target=LARGEST_ERROR, at_most=True)
    return replace(asked, measured=max(errors), beside="of ours") if errors else asked
