"""Targets of a process that serves: steady calls, no allocation, no memory besides the model's."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from recfunnel.bench.process_results import Resident, Steadiness
from recfunnel.bench.results import EngineResult
from recfunnel.bench.verdict import Verdict

MOST_P99 = 1.5
MOST_RESIDENT = 1.05


def process_verdicts(result: EngineResult, models: Sequence[str]) -> Iterator[Verdict]:
    """For each model, measured or not.

    Args:
        result: of a run.
        models: names of their shapes.
    """
    steady = {each.model: each for each in result.steadiness}
    resident = {each.model: each for each in result.resident}
    for model in models:
        yield from _steady(model, steady.get(model))
    for model in models:
        yield _resident(model, resident.get(model))


def _steady(model: str, found: Steadiness | None) -> Iterator[Verdict]:
    def at_most(what: str, unit: str, target: float) -> Verdict:
        return Verdict(model=model, what=what, unit=unit, target=target, at_most=True)  # type: ignore[arg-type]

    every = at_most("p99 / median", "x", MOST_P99)
    kept = at_most("p99 / median, kept", "x", MOST_P99)
    quiet = at_most("p99 / median, no tick", "x", MOST_P99)
    allocations = at_most("allocations", "times", 0)
    faults = at_most("page faults", "times", 0)
    if found is not None:
        of_calls = f"{found.num_calls:,} calls"
        every = replace(
            every,
            measured=found.p99_s / found.median_s,
            beside=f"{of_calls}, B={found.num_candidates}",
        )
        share = found.num_kept / found.num_calls
        kept = replace(
            kept, measured=found.p99_kept_s / found.median_s, beside=f"{share:.1%} of calls"
        )
        if found.quiet_p99_s is not None and found.quiet_median_s is not None:
            quiet = replace(
                quiet,
                measured=found.quiet_p99_s / found.quiet_median_s,
                beside=f"{found.num_quiet:,} calls",
            )
        if found.allocations is not None:
            allocations = replace(allocations, measured=found.allocations, beside=of_calls)
        faults = replace(faults, measured=found.page_faults, beside=of_calls)
    yield from (every, kept, quiet, allocations, faults)


def _resident(model: str, found: Resident | None) -> Verdict:
    asked = Verdict(
        model=model, what="resident memory", unit="x", target=MOST_RESIDENT, at_most=True
    )
    if found is None:
        return asked
    return replace(asked, measured=found.ratio, beside=f"{found.held_bytes / 2**20:,.0f} MiB held")
