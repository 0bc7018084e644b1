"""What a model's work costs on a platform: the roofline, and whether it fits at all."""

from recfunnel.core.errors import StudyError
from recfunnel.core.model import ModelCost
from recfunnel.core.platform import Platform
from recfunnel.core.results import Shortfall


def latency_s(cost: ModelCost, platform: Platform, num_items: int, num_threads: int = 1) -> float:
    """Least time of one model call, by the roofline of Williams, Waterman and Patterson (2009).

    Launch overhead plus the longer of computing and reading. Computing takes the threads' share of
    the cores' peak; bandwidth is not divided, because one core can draw most of it while the
    others rest. A bound from below: a real call reaches neither peak.

    Args:
        cost: work of one query.
        platform: where.
        num_items: candidates in the call, 0 or more.
        num_threads: cores it may use, 1 to the platform's.

    Returns:
        Seconds.

    Raises:
        StudyError: fewer items than 0, or threads the platform has no cores for.
    """
    if num_items < 0:
        raise StudyError(f"a call has {num_items} items, must be 0 or more")
    if not 1 <= num_threads <= platform.num_cores:
        raise StudyError(
            f"{num_threads} threads on platform {platform.name!r}, which has {platform.num_cores} "
            f"cores; use 1 to {platform.num_cores}"
        )
    share = num_threads / platform.num_cores
    flops = cost.flops_per_query + cost.flops_per_item * num_items
    compute_s = flops / (platform.compute_flops_per_s * share)
    read_s = cost.read_bytes_per_item * num_items / platform.bandwidth_bytes_per_s
    return platform.launch_overhead_s + max(compute_s, read_s)


def fits(cost: ModelCost, platform: Platform) -> Shortfall | None:
    """Whether the platform's memory holds the model.

    Returns:
        None when it does, else what is missing.
    """
    if cost.parameter_bytes <= platform.memory_bytes:
        return None
    return Shortfall(
        requirement=f"memory for the model's parameters on {platform.name!r}",
        needed=float(cost.parameter_bytes),
        available=float(platform.memory_bytes),
        unit="bytes",
        remedies=(
            "a smaller embedding dimension",
            "hashed or computed embeddings",
            "a platform with more memory",
        ),
    )
