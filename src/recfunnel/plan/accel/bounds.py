"""Which designs meet the bounds, and which bound it is where none does."""

import math
from collections.abc import Iterator

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray
from recfunnel.core.results import Shortfall
from recfunnel.plan.accel.evaluate import Priced
from recfunnel.plan.accel.problem import AccelTarget

Bound = tuple[str, str, float, bool, tuple[str, ...]]
"""What is bound, its unit, the bound, whether more is better, and what would help."""


class Bounds:
    """Bounds in a fixed order: area, power, NDCG, load, p99.

    Of each the best value is remembered among the designs that meet all before it, so that what
    nothing meets can be told with both numbers.

    Args:
        target: the bounds.
    """

    def __init__(self, target: AccelTarget) -> None:
        self.target = target
        self._best: dict[str, float] = {}

    def admits(self, priced: Priced, ndcg: float) -> BoolArray:
        """(D,), designs that meet every bound but that of p99, which takes a simulation."""
        allowed: BoolArray = np.ones(priced.area_mm2.size, np.bool_)
        values = (
            priced.area_mm2,
            priced.power_w,
            np.full(priced.area_mm2.size, ndcg),
            priced.limit_qps,
        )
        for bound, own in zip(self._bounds(), values, strict=False):
            allowed &= self._meets(bound, own, allowed)
        return allowed

    def admits_p99(self, p99_s: float) -> bool:
        """Whether a simulated design meets the last bound."""
        *_, last = self._bounds()
        alone: BoolArray = np.ones(1, np.bool_)
        return bool(self._meets(last, np.array([p99_s]), alone)[0])

    def shortfall(self) -> Shortfall | None:
        """The first bound that nothing met, of those that something was held against."""
        for name, unit, limit, more, remedies in self._bounds():
            best = self._best.get(name)
            if best is None or (best >= limit if more else best <= limit):
                continue
            return Shortfall(
                requirement=name, needed=limit, available=best, unit=unit, remedies=remedies
            )
        return None

    def _meets(self, bound: Bound, own: DoubleArray, so_far: BoolArray) -> BoolArray:
        name, _, limit, more, _ = bound
        if so_far.any():
            best = float(own[so_far].max() if more else own[so_far].min())
            known = self._best.get(name, best)
            self._best[name] = max(known, best) if more else min(known, best)
        return np.asarray(own >= limit if more else own <= limit)

    def _bounds(self) -> Iterator[Bound]:
        target = self.target
        yield (
            "area of the chip",
            "mm2",
            _or(target.max_area_mm2, math.inf),
            False,
            ("a smaller array", "less SRAM", "a larger area"),
        )
        yield (
            "power of the chip",
            "W",
            _or(target.max_power_w, math.inf),
            False,
            ("a smaller array", "fewer sub-arrays", "a higher power"),
        )
        yield (
            "NDCG of what is answered",
            "",
            _or(target.min_ndcg, 0.0),
            True,
            ("better models", "higher keep-counts", "a lower NDCG"),
        )
        yield (
            f"throughput at {target.rate_qps:g} queries/s",
            "queries/s",
            target.rate_qps,
            True,
            ("a lower load", "a larger area", "lower keep-counts"),
        )
        yield (
            f"p99 latency at {target.rate_qps:g} queries/s",
            "s",
            _or(target.max_p99_s, math.inf),
            False,
            ("a lower load", "a longer deadline", "a larger area"),
        )


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
