"""Energy of what happened: a component for each kind of operation, and leakage for the time."""

from recfunnel.core.spec import Value
from recfunnel.hardware.energy.access import USUAL, AccessEnergies
from recfunnel.hardware.energy.activity import Activity
from recfunnel.hardware.energy.blocks import LEAKAGE_W_PER_UM2
from recfunnel.hardware.energy.quantity import Quantity, banded


class Energy(Value, frozen=True):
    """Joules of one component, simulated.

    Args:
        name: of the component.
        energy_j: used.
        low_j: with the least plausible energy of an operation.
        high_j: with the most plausible one.
        source: of the energy of an operation.
    """

    name: str
    energy_j: float
    low_j: float
    high_j: float
    source: str


def leakage_w(area_um2: float) -> Quantity:
    """Power of a chip at rest: the published array's leakage for each area, of everything."""
    return banded(
        area_um2 * LEAKAGE_W_PER_UM2, "assumed", "the published array's leakage for each area"
    )


def energy_of(
    activity: Activity, area_um2: float, energies: AccessEnergies = USUAL
) -> tuple[Energy, ...]:
    """Energy, component by component; what happened twice costs twice.

    Args:
        activity: what happened.
        area_um2: of the chip, all of which leaks for the activity's time.
        energies: of the operations.

    Returns:
        One a component.
    """
    counted = (
        ("multiply-adds", activity.macs, energies.mac_j),
        ("registers", activity.hops, energies.hop_j),
        ("activation SRAM", activity.activation_bytes, energies.activation_byte_j),
        ("weight SRAM", activity.weight_bytes, energies.weight_byte_j),
        ("row SRAM", activity.row_bytes, energies.row_byte_j),
        ("DRAM transfers", activity.dram_bytes, energies.dram_byte_j),
        ("DRAM rows opened", activity.dram_activates, energies.dram_activate_j),
        ("SSD", activity.ssd_pages, energies.ssd_page_j),
        ("PCIe", activity.bus_bytes, energies.bus_byte_j),
        ("leakage", activity.time_s, leakage_w(area_um2)),
    )
    return tuple(
        Energy(
            name=name,
            energy_j=count * each.value,
            low_j=count * each.low,
            high_j=count * each.high,
            source=f"{each.known}: {each.source}",
        )
        for name, count, each in counted
    )


def total_j(energies: tuple[Energy, ...]) -> float:
    """Of all components."""
    return sum(energy.energy_j for energy in energies)
