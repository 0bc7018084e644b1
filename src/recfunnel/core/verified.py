"""Prediction held against measurement at one load."""

import math

from recfunnel.core.results import Estimate
from recfunnel.core.spec import Value


class VerifiedLoad(Value, frozen=True):
    """Prediction against measurement at one load.

    Args:
        load_fraction: offered load over predicted capacity.
        rate_qps: offered load.
        predicted_p50_s: simulated median latency.
        measured_p50_s: median latency served for real; median over runs.
        predicted_p99_s: simulated 99th percentile.
        measured_p99_s: 99th percentile served for real; median over runs.
        predicted_throughput_qps: simulated answered queries a second.
        measured_throughput_qps: answered queries a second, served for real.
        num_queries: measured, over all runs that count.
        polluted: true when no run was left alone by the rest of the machine.
        notes: what disturbed it.
    """

    load_fraction: float
    rate_qps: float
    predicted_p50_s: Estimate
    measured_p50_s: Estimate
    predicted_p99_s: Estimate
    measured_p99_s: Estimate
    predicted_throughput_qps: Estimate
    measured_throughput_qps: Estimate
    num_queries: int = 0
    polluted: bool = False
    notes: tuple[str, ...] = ()

    @property
    def p50_error(self) -> float:
        """Predicted over measured median, less 1; nan where either is not finite."""
        return relative_error(self.predicted_p50_s.mean, self.measured_p50_s.mean)

    @property
    def p99_error(self) -> float:
        """Predicted over measured 99th percentile, less 1; nan where either is not finite."""
        return relative_error(self.predicted_p99_s.mean, self.measured_p99_s.mean)

    @property
    def throughput_error(self) -> float:
        """Predicted over measured throughput, less 1; nan where either is not finite."""
        return relative_error(self.predicted_throughput_qps.mean, self.measured_throughput_qps.mean)


def relative_error(predicted: float, measured: float) -> float:
    """Predicted over measured, less 1; nan where either is not finite or nothing was measured."""
    if not (math.isfinite(predicted) and math.isfinite(measured) and measured > 0):
        return math.nan
    return predicted / measured - 1
