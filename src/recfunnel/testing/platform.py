"""What every kind of platform keeps to; subclass `PlatformContract` and set `spec`."""

import math
from typing import Any

from recfunnel.core.model import ModelCost
from recfunnel.core.platform import Platform, platforms
from recfunnel.core.spec import to_builtins
from recfunnel.hardware.cost import fits, latency_s


class PlatformContract:
    """Tests of a `PlatformSpec`.

    `spec` is the spec under test: any `Spec` that plays the role.
    """

    spec: Any

    def test_the_spec_survives_being_written_and_read(self) -> None:
        """As plain data with its kind."""
        assert platforms.parse(to_builtins(self.spec)) == self.spec

    def test_it_describes_a_machine_that_can_exist(self) -> None:
        """Every figure is above 0 and finite."""
        platform = self.spec.build()
        assert isinstance(platform, Platform)
        assert platform.name
        assert platform.description
        assert platform.num_cores >= 1
        for figure in (
            platform.memory_bytes,
            platform.bandwidth_bytes_per_s,
            platform.compute_flops_per_s,
        ):
            assert 0 < figure < math.inf
        assert 0 <= platform.launch_overhead_s < math.inf

    def test_more_work_never_takes_less_time(self) -> None:
        """And more threads never take more."""
        platform = self.spec.build()
        cost = ModelCost(
            flops_per_query=1e6, flops_per_item=5e4, read_bytes_per_item=2e3, parameter_bytes=1
        )
        times_s = [latency_s(cost, platform, items, 1) for items in (0, 1, 10, 1000)]
        assert times_s == sorted(times_s)
        assert latency_s(cost, platform, 1000, platform.num_cores) <= times_s[-1]

    def test_a_model_fits_up_to_the_last_byte(self) -> None:
        """And not one byte further."""
        platform = self.spec.build()
        full = ModelCost(
            flops_per_query=0,
            flops_per_item=1,
            read_bytes_per_item=1,
            parameter_bytes=platform.memory_bytes,
        )
        over = ModelCost(
            flops_per_query=0,
            flops_per_item=1,
            read_bytes_per_item=1,
            parameter_bytes=platform.memory_bytes + 1,
        )
        assert fits(full, platform) is None
        shortfall = fits(over, platform)
        assert shortfall is not None
        assert shortfall.needed == shortfall.available + 1
