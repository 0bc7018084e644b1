"""What an accelerator is built of, before anybody says how it is used."""

from recfunnel.core.spec import Value
from recfunnel.hardware.memory.checks import CAPACITY, CLOCK, COUNT, LATENCY, check
from recfunnel.hardware.memory.dram import Dram
from recfunnel.hardware.memory.pcie import Pcie
from recfunnel.hardware.memory.sram import Sram
from recfunnel.hardware.memory.ssd import Ssd
from recfunnel.hardware.systolic.sizes import SystolicArray
from recfunnel.hardware.topk.bins import check_bins
from recfunnel.hardware.topk.filter import Drain


class FilterHardware(Value, frozen=True):
    """The top-k filter behind each sub-array: two sets of counters and buffers, used in turn.

    Args:
        num_bins: counters.
        lanes: scores taken, and entries read, each cycle.
        drain: whether the whole buffer is read (`scan`) or only what is passed (`linked`).
    """

    num_bins: int = 16
    lanes: int = 1
    drain: Drain = "scan"

    def __post_init__(self) -> None:
        check_bins(self.num_bins)
        check("lanes of a filter", self.lanes, COUNT)


class Host(Value, frozen=True):
    """The machine that sorts where no filter does.

    Args:
        sort_latency_s: of any sort, waking up included.
        sort_item_s: of each score more; the published artifact has 0.35 ms for 4,096.
    """

    sort_latency_s: float = 0.0
    sort_item_s: float = 85e-9

    def __post_init__(self) -> None:
        check("latency of a sort", self.sort_latency_s, LATENCY)
        check("time to sort a score", self.sort_item_s, LATENCY)


class Chip(Value, frozen=True):
    """An accelerator with its memories and its link.

    Args:
        array: all processing elements.
        clock_hz: of array, filters and SRAM.
        word_bytes: of a weight and an activation; RPAccel's synthesis has 16 bits.
        weight_sram_bytes: for weights of all stages.
        activation_sram_bytes: for inputs and outputs of layers, each sub-array its share.
        embedding_sram: static rows and rows read ahead.
        dram: of embedding tables and weights.
        ssd: behind DRAM, where tables do not fit.
        pcie: to the host.
        lanes: multiply-adders that make dot interactions, each sub-array its share; None lets the
            array make them.
        topk: the filter of each sub-array.
        host: who sorts without a filter.
    """

    array: SystolicArray = SystolicArray(rows=128, cols=128)
    clock_hz: float = 1e9
    word_bytes: int = 2
    weight_sram_bytes: int = 4 * 2**20
    activation_sram_bytes: int = 4 * 2**20
    embedding_sram: Sram = Sram()
    dram: Dram = Dram()
    ssd: Ssd | None = None
    pcie: Pcie = Pcie()
    lanes: int | None = 1024
    topk: FilterHardware = FilterHardware()
    host: Host = Host()

    def __post_init__(self) -> None:
        check("clock", self.clock_hz, CLOCK)
        check("bytes of a word", self.word_bytes, (1, 16, ""))
        check("weight SRAM", self.weight_sram_bytes, CAPACITY)
        check("activation SRAM", self.activation_sram_bytes, CAPACITY)
        if self.lanes is not None:
            check("lanes for dot interactions", self.lanes, COUNT)
