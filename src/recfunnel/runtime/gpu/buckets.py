"""Sizes that calls are rounded up to, so that few CUDA graphs serve all of them."""

LEAST = 8
"""Smallest size of a call; below it, more rows cost a GPU nothing."""


def bucket_of(size: int) -> int:
    """The smallest of 8, 12, 16, 24, 32, 48, ... that holds `size`: at most half as much again."""
    power = LEAST
    while power < size:
        power *= 2
    half_way = power // 4 * 3
    return half_way if half_way >= max(size, LEAST) else power


def buckets_up_to(size: int) -> tuple[int, ...]:
    """All sizes up to the one that holds `size`; none for 0."""
    found: list[int] = []
    while not found or found[-1] < size:
        found.append(bucket_of(found[-1] + 1 if found else 1))
    return tuple(found) if size > 0 else ()
