"""The ranking engine, compiled from `native/`."""

def isa() -> str:
    """Name of the instruction set in use: the best this processor runs, or RECFUNNEL_ISA's."""
