"""Service times of MP-Rec's models on the hardware of its evaluation, all modelled."""

from dataclasses import dataclass
from math import log

import numpy as np

from recfunnel.core.arrays import IntArray
from recfunnel.core.model import ModelCost
from recfunnel.core.platform import Platform
from recfunnel.core.servable import PathStation, ServablePath, ServiceTimes
from recfunnel.hardware.cost import Roofs, on_chip_shares, roofs
from recfunnel.hardware.datasheets import System
from recfunnel.study.mprec.assumptions import Assumptions
from recfunnel.study.mprec.published import MEAN_SIZE
from recfunnel.study.mprec.shapes import Network, Representation, cost, num_codes_per_item

GRID = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Sizes of queries that are priced; linear in between, none beyond."""

LARGEST_OVER_MEAN = 8

EAGER = ("broadwell", "v100", "h200")
"""Hardware that runs a framework operator by operator; the rest runs compiled graphs."""

OPERATORS_OF_A_STACK = 13
"""Launches of one computed feature: seven of the published encoder, two a layer."""

_CORE_CYCLES_PER_S = 14 * 2.4e9


@dataclass(frozen=True, slots=True)
class Machine:
    """A system as it serves one model.

    Args:
        system: chips.
        name: of the platform.
        group: chips that hold one copy of the model.
        platform: one group.
        num_servers: groups; each works on one query.
        memory_bytes: of all groups; what copies of models may take, each group's times as many.
    """

    system: System
    name: str
    group: int
    platform: Platform
    num_servers: int
    memory_bytes: int


def machine(
    system: System,
    work: ModelCost,
    assumptions: Assumptions,
    *,
    name: str | None = None,
    memory_bytes: int | None = None,
) -> Machine:
    """Spread copies of a model over a system.

    Chips whose own memory is meant to hold the model (an IPU) work in the smallest groups that do;
    if even all do not, all together stream the rest. Others hold a copy each.

    Args:
        system: chips.
        work: of the model.
        assumptions: efficiencies.
        name: of the platform; the system's when None.
        memory_bytes: less than there is.
    """
    group = _group(system, work) if system.chip.name.startswith("ipu") else 1
    eager_cpu = system.chip.name == "broadwell"
    spec = system.chip.roofline(
        num_chips=group,
        memory_bytes=memory_bytes,
        compute_efficiency=(
            assumptions.cpu_efficiency if eager_cpu else assumptions.chip_efficiency
        ),
        bandwidth_efficiency=assumptions.bandwidth_efficiency,
    )
    platform = spec.build()
    return Machine(
        system=system,
        name=name or system.name,
        group=group,
        platform=platform,
        num_servers=system.num_chips // group,
        memory_bytes=platform.memory_bytes,
    )


def _group(system: System, work: ModelCost) -> int:
    sizes = [n for n in (1, 2, 4, 8, 16) if n <= system.num_chips]
    for size in sizes:
        if on_chip_shares(work, system.chip.roofline(num_chips=size).build()) == (1.0, 1.0):
            return size
    return sizes[-1]


def call_roofs(on: Machine, work: ModelCost, num_items: int) -> Roofs:
    """The roofline of one call; its arithmetic by all cores."""
    return roofs(work, on.platform, num_items, on.platform.num_cores)


def call_s(
    on: Machine,
    network: Network,
    representation: Representation,
    num_items: int,
    assumptions: Assumptions,
) -> float:
    """Expected time of one call."""
    took_s = call_roofs(on, cost(network, representation), num_items).total_s
    if on.system.chip.name in EAGER:
        took_s += assumptions.operator_s * num_operators(network, representation)
    else:
        took_s += assumptions.host_call_s
    if on.system.chip.name == "broadwell":
        cycles = assumptions.encoder_cycles * num_codes_per_item(representation)
        return took_s + num_items * cycles / _CORE_CYCLES_PER_S
    return took_s + num_items * assumptions.item_bytes / assumptions.link_bytes_per_s


def num_operators(network: Network, representation: Representation) -> int:
    """Launches of an eager framework: lookups, stacks, two a layer of both networks, two joins."""
    stored = 26 * representation.tables - representation.computed * representation.instead
    layers = len(network.bottom) - 1 + len(network.top)
    hot = representation.computed if representation.hot_bytes else 0
    return stored + OPERATORS_OF_A_STACK * representation.computed + hot + 2 * layers + 2


def service_times(
    on: Machine, network: Network, representation: Representation, assumptions: Assumptions
) -> ServiceTimes:
    """Median and tail over the grid of sizes."""
    median_s = tuple(call_s(on, network, representation, n, assumptions) for n in GRID)
    return ServiceTimes(
        num_candidates=GRID,
        median_s=median_s,
        tail_s=tuple(assumptions.tail_over_median * s for s in median_s),
        source="modelled",
    )


def servable(
    on: Machine,
    network: Network,
    representation: Representation,
    quality: float,
    assumptions: Assumptions,
) -> ServablePath:
    """One representation on one platform as a path."""
    station = PathStation(
        platform=on.name,
        service=service_times(on, network, representation, assumptions),
        num_servers=on.num_servers,
    )
    return ServablePath(
        name=f"{representation.name} on {on.name}",
        quality=quality,
        stations=(station,),
        resident_bytes=((on.name, cost(network, representation).parameter_bytes),),
    )


def query_sizes(
    assumptions: Assumptions, rng: np.random.Generator, num_queries: int, mean: float = MEAN_SIZE
) -> IntArray:
    """(N,) lognormal sizes of a mean, cut at eight times that as DeepRecSys's generator does."""
    sigma = assumptions.size_sigma
    drawn = np.exp(log(mean) - sigma**2 / 2 + sigma * rng.standard_normal(num_queries))
    most = min(LARGEST_OVER_MEAN * mean, GRID[-1])
    return np.clip(np.ceil(drawn - 0.5), 1, most).astype(np.int64)
