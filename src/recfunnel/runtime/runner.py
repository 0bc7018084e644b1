"""The quickest way to run a station's stages."""

from recfunnel.runtime.cascade import OneByOne, StageRunner


def quickest(stages: OneByOne) -> StageRunner:
    """Stages in one native call where every model they call can; else as they are given.

    Args:
        stages: of a cascade whose models are loaded.
    """
    try:
        from recfunnel.runtime.native_stages import fused
    except ImportError:  # not built: then no model of theirs runs natively either
        return stages
    return fused(stages)
