"""Service time over batch sizes, measured or modelled."""
