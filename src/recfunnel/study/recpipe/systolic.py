"""Figure 10a: the three networks on square arrays, weights staying."""

from recfunnel.hardware.artifact.constants import CRITEO, NUM_LANES, PublishedNetwork
from recfunnel.hardware.artifact.timing import joined_layers_cycles
from recfunnel.hardware.systolic.network import NetworkShape, dlrm_shape, network_cycles
from recfunnel.report.recpipe import SystolicRow
from recfunnel.study.recpipe.published import SYSTOLIC_CYCLES

NUM_ITEMS = 4096
NUM_TABLES = 26


def systolic_rows() -> tuple[SystolicRow, ...]:
    """Every network on every array."""
    return tuple(_row(CRITEO[name], side) for name in CRITEO for side in SYSTOLIC_CYCLES[name])


def _row(network: PublishedNetwork, side: int) -> SystolicRow:
    published_cycles, published_utilisation = SYSTOLIC_CYCLES[network.name][side]
    joined = dlrm_shape(network.bottom, network.top, NUM_TABLES, "cat")
    cycles = _cycles(joined, side, overlap=False)
    return SystolicRow(
        network=network.name,
        side=side,
        published_cycles=published_cycles,
        published_utilisation=published_utilisation,
        artifact_cycles=round(joined_layers_cycles(network, NUM_ITEMS, side)),
        cycles=cycles,
        utilisation=NUM_ITEMS * joined.macs / (cycles * side * side),
        overlapped_cycles=_cycles(joined, side, overlap=True),
        true_cycles=_cycles(
            dlrm_shape(network.bottom, network.top, NUM_TABLES), side, overlap=True
        ),
    )


def _cycles(shape: NetworkShape, side: int, *, overlap: bool) -> int:
    found = network_cycles(shape, NUM_ITEMS, side, side, overlap=overlap, num_lanes=NUM_LANES)
    return int(found)
