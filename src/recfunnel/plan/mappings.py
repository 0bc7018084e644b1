"""Which mappings a plan looks at: stages grouped into stations, cores shared out among them."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, combinations, pairwise, product

from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Mapping, Station

MAX_SHARES = 8
"""Cores are shared out in at most this many equal units; see `enumerate_mappings`."""


def enumerate_mappings(
    num_stages: int,
    num_cores: int,
    *,
    platform: str = "cpu",
    thread_counts: Sequence[int] = (1,),
) -> tuple[Mapping, ...]:
    """Every way to run the stages on the cores, short ones first.

    Consecutive stages are grouped into stations (every grouping). Each station gets a share of the
    cores and a thread count, and as many servers as fit. No mapping leaves cores idle that would
    make one more server: without overtaking a further server makes no query later, since each
    still starts in order of arrival and at a moment when at least as many servers are free.

    Up to 8 cores every such use is listed. With more, shares come in eighths of the machine, so
    the number of mappings (35 shares of 4 stations, times threads) does not grow with it; the best
    share differs from the best listed one by at most an eighth of the cores.

    Args:
        num_stages: of the pipeline.
        num_cores: that stations share.
        platform: name of the machine.
        thread_counts: cores one server may use for one query.

    Returns:
        The mappings; empty when no thread count fits the cores.

    Raises:
        StudyError: no stage or no core.
    """
    if num_stages < 1 or num_cores < 1:
        raise StudyError(f"{num_stages} stages on {num_cores} cores; both must be at least 1")
    found: dict[Mapping, None] = {}
    for num_stations in range(1, min(num_stages, num_cores) + 1):
        uses = list(_core_uses(num_stations, num_cores, tuple(thread_counts)))
        for sizes in compositions(num_stages, num_stations):
            for servers, threads in uses:
                stations = tuple(
                    Station(platform=platform, num_stages=n, num_servers=s, num_threads=t)
                    for n, s, t in zip(sizes, servers, threads, strict=True)
                )
                found[Mapping(stations=stations)] = None
    return tuple(found)


def compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Every way to write `total` as an ordered sum of `parts` numbers above 0."""
    for cuts in combinations(range(1, total), parts - 1):
        edges = (0, *cuts, total)
        yield tuple(b - a for a, b in pairwise(edges))


def stages_of(sizes: Sequence[int]) -> tuple[range, ...]:
    """Stage indices of each station, from how many stages each runs."""
    ends = list(accumulate(sizes))
    return tuple(range(end - size, end) for end, size in zip(ends, sizes, strict=True))


def _core_uses(
    num_stations: int, num_cores: int, thread_counts: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Servers and threads of each station, each use once."""
    seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    units = min(num_cores, MAX_SHARES)
    for shares in compositions(units, num_stations):
        cores = _cores_of(shares, num_cores)
        for threads in product(thread_counts, repeat=num_stations):
            if any(t > c for t, c in zip(threads, cores, strict=True)):
                continue
            servers = [c // t for c, t in zip(cores, threads, strict=True)]
            use = (_fill(servers, threads, num_cores), threads)
            if use not in seen:
                seen.add(use)
                yield use


def _cores_of(shares: tuple[int, ...], num_cores: int) -> tuple[int, ...]:
    """Whole cores in proportion to the shares; they sum to all cores."""
    units = sum(shares)
    edges = [0]
    for share in shares:
        edges.append(edges[-1] + share)
    marks = [edge * num_cores // units for edge in edges]
    return tuple(b - a for a, b in pairwise(marks))


def _fill(servers: list[int], threads: tuple[int, ...], num_cores: int) -> tuple[int, ...]:
    """Turn left-over cores into servers, first station first."""
    left = num_cores - sum(s * t for s, t in zip(servers, threads, strict=True))
    filled = list(servers)
    for index, num_threads in enumerate(threads):
        filled[index] += left // num_threads
        left %= num_threads
    return tuple(filled)


def uses_cores_together(mapping: Mapping) -> bool:
    """Whether some server has several cores for one query; sub-batches gain nothing elsewhere."""
    return any(station.num_threads > 1 for station in mapping.stations)


def may_overtake(mapping: Mapping) -> bool:
    """Whether queries can reach a later station in another order than they arrived in."""
    return any(station.num_servers > 1 for station in mapping.stations[:-1])
