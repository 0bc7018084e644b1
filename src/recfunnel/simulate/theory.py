"""Mean waiting times that queueing theory knows exactly, to hold the simulator against.

All are for Poisson arrivals and first come, first served, in seconds and queries a second. ρ is
the offered load per server: arrival rate · mean service time / servers, below 1.
"""

import math

from recfunnel.core.errors import StudyError


def offered_load(rate_qps: float, service_s: float, num_servers: int = 1) -> float:
    """ρ, the share of time a server works.

    Raises:
        StudyError: ρ is 1 or more, or not above 0: there is no steady state to speak of.
    """
    rho = rate_qps * service_s / num_servers
    if not 0 < rho < 1:
        raise StudyError(
            f"the offered load is {rho:.3f} of capacity, must be between 0 and 1; capacity is "
            f"{num_servers / service_s:.6g} queries/s"
        )
    return rho


def mg1_wait_s(rate_qps: float, service_s: float, service_cv2: float) -> float:
    """Mean wait of M/G/1: ρ / (1 - ρ) · (1 + CV²) / 2 · service (Pollaczek 1930, Khinchine 1932).

    Args:
        rate_qps: arrivals.
        service_s: mean service time.
        service_cv2: variance of the service time over its squared mean.
    """
    rho = offered_load(rate_qps, service_s)
    return rho / (1 - rho) * (1 + service_cv2) / 2 * service_s


def mm1_wait_s(rate_qps: float, service_s: float) -> float:
    """Mean wait of M/M/1, exponential service: ρ / (1 - ρ) · service."""
    return mg1_wait_s(rate_qps, service_s, 1.0)


def md1_wait_s(rate_qps: float, service_s: float) -> float:
    """Mean wait of M/D/1, constant service: half of M/M/1."""
    return mg1_wait_s(rate_qps, service_s, 0.0)


def erlang_c(rate_qps: float, service_s: float, num_servers: int) -> float:
    """Probability that a query of M/M/c has to wait (Erlang 1917).

    By way of Erlang's loss formula and its recursion, which neither overflows nor loses digits:
    B(0) = 1, B(k) = a B(k-1) / (k + a B(k-1)); C = B / (1 - ρ (1 - B)), with a = c ρ.
    """
    rho = offered_load(rate_qps, service_s, num_servers)
    offered = rho * num_servers
    loss = 1.0
    for servers in range(1, num_servers + 1):
        loss = offered * loss / (servers + offered * loss)
    return loss / (1 - rho * (1 - loss))


def mmc_wait_s(rate_qps: float, service_s: float, num_servers: int) -> float:
    """Mean wait of M/M/c: C / (c (1 - ρ)) · service."""
    rho = offered_load(rate_qps, service_s, num_servers)
    waits = erlang_c(rate_qps, service_s, num_servers)
    return waits * service_s / (num_servers * (1 - rho))


def mm1_latency_quantile_s(rate_qps: float, service_s: float, quantile: float) -> float:
    """Quantile of the latency (wait and service) of M/M/1, which is exponential."""
    rho = offered_load(rate_qps, service_s)
    return -math.log(1 - quantile) * service_s / (1 - rho)
