"""Caches one lookup at a time in plain Python, to hold the compiled ones against."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence

Oracle = Callable[[Sequence[int], int], list[bool]]
"""(lookups, capacity) -> whether each hits."""


def lru(lookups: Sequence[int], capacity: int) -> list[bool]:
    held: OrderedDict[int, None] = OrderedDict()
    found = []
    for row in lookups:
        found.append(row in held)
        held[row] = None
        held.move_to_end(row)
        if len(held) > capacity:
            held.popitem(last=False)
    return found


def fifo(lookups: Sequence[int], capacity: int) -> list[bool]:
    queue: deque[int] = deque(maxlen=capacity)
    found = []
    for row in lookups:
        found.append(row in queue)
        if row not in queue:
            queue.append(row)
    return found


def lfu(lookups: Sequence[int], capacity: int) -> list[bool]:
    uses: dict[int, tuple[int, int]] = {}  # row -> lookups since it came in, time of the last
    found = []
    for now, row in enumerate(lookups):
        found.append(row in uses)
        if row not in uses and len(uses) == capacity:
            del uses[min(uses, key=lambda held: uses[held])]
        uses[row] = (uses.get(row, (0, 0))[0] + 1, now)
    return found


def belady(lookups: Sequence[int], capacity: int) -> list[bool]:
    upcoming: dict[int, int] = {}
    next_lookup = [0] * len(lookups)
    for now in reversed(range(len(lookups))):
        next_lookup[now] = upcoming.get(lookups[now], len(lookups))
        upcoming[lookups[now]] = now
    held: dict[int, int] = {}
    found = []
    for now, row in enumerate(lookups):
        found.append(row in held)
        if row not in held and len(held) == capacity:
            del held[max(held, key=lambda other: held[other])]
        held[row] = next_lookup[now]
    return found


def s3fifo(lookups: Sequence[int], capacity: int) -> list[bool]:
    small_places = max(1, int(capacity * 0.1))
    ghost_places = int(capacity * 0.9)
    small: list[int] = []
    main: list[int] = []
    ghost: list[int] = []
    uses: Counter[int] = Counter()
    found, was_full = [], False
    for row in lookups:
        found.append(row in small or row in main)
        if found[-1]:
            uses[row] += 1
            continue
        known = row in ghost
        if known:
            ghost.remove(row)
        while len(small) + len(main) == capacity:
            was_full = True
            if len(main) > capacity - small_places or not small:
                oldest = main.pop(0)
                if uses[oldest]:
                    main.append(oldest)
                    uses[oldest] = min(uses[oldest], 3) - 1
            else:
                oldest = small.pop(0)
                if uses[oldest] >= 2:
                    main.append(oldest)
                    uses[oldest] = 0
                elif ghost_places:
                    ghost = [*ghost, oldest][-ghost_places:]
        to_main = known or (not was_full and len(small) >= small_places)
        (main if to_main else small).append(row)
        uses[row] = 0
    return found


def static(lookups: Sequence[int], capacity: int, num_warm_up: int) -> list[bool]:
    """Whether each lookup after the warm-up hits."""
    counts = Counter(lookups[:num_warm_up])
    hot = sorted(counts, key=lambda row: (-counts[row], row))[:capacity]
    return [row in hot for row in lookups[num_warm_up:]]


ORACLES: dict[str, Oracle] = {
    "lru": lru,
    "fifo": fifo,
    "lfu": lfu,
    "s3fifo": s3fifo,
    "belady": belady,
}
