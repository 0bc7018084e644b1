"""Processors by name: those MP-Rec was evaluated on (Hsia et al., ASPLOS 2023), and the H200.

Decimal units where the source uses them. MP-Rec names its hardware by family only, so the exact
products are recalled. Figures that nothing public states are marked assumed and take part in the
sensitivity of every result made from them.
"""

import difflib

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.datasheet import Datasheet, Figure, Peak, Provenance

GB, TB, TERA, MICRO = 1e9, 1e12, 1e12, 1e-6
KIB, MIB, GIB = 2.0**10, 2.0**20, 2.0**30

_VOLTA = "huggingface.co/RajBhope/gpu-runtime-predictor, gpu_catalog.json"
_TPU = "cloud.google.com/tpu/docs/v3"
_IPU = "cambrian-ai.com/could-graphcores-second-chip-challenge-nvidia"
_IPU_NOTES = "thecharlieblake.co.uk/ipus, quoting Graphcore's product brief"
_BROADWELL = "hothardware.com, Xeon E5 v4 family debut"
_PAPER = "the processor of the authors' earlier DeepRecSys study"


def _figure(value: float, known: Provenance, source: str) -> Figure:
    return Figure(value=value, known=known, source=source)


BROADWELL = Datasheet(
    name="broadwell",
    product="Intel Xeon E5-2680 v4, one socket",
    memory_bytes=_figure(32 * GB, "recalled", "MP-Rec's HW-1: 32 GB of DRAM"),
    bandwidth_bytes_per_s=_figure(
        76.8 * GB, "derived", f"4 channels of DDR4-2400 ({_BROADWELL}), 8 bytes each"
    ),
    peaks=(
        Peak(
            precision="float32",
            flops_per_s=_figure(
                14 * 2.4e9 * 32,
                "recalled",
                f"14 cores at 2.4 GHz ({_PAPER}), 32 a cycle with AVX2 and FMA",
            ),
        ),
    ),
    on_chip_bytes=_figure(35 * MIB, "derived", f"2.5 MiB of L3 a core ({_BROADWELL}), 14 cores"),
    on_chip_bandwidth_bytes_per_s=_figure(
        14 * 2.4e9 * 16, "recalled", "about 16 bytes a cycle and core from L3"
    ),
    access_bytes=_figure(64, "recalled", "cache line"),
    launch_overhead_s=_figure(10 * MICRO, "assumed", "one operator of an eager framework"),
)

V100 = Datasheet(
    name="v100",
    product="NVIDIA Tesla V100 SXM2 32 GB",
    memory_bytes=_figure(34_058_272_768, "found", "the driver's answer, pastebin.com/AaFUPNi5"),
    bandwidth_bytes_per_s=_figure(900 * GB, "found", _VOLTA),
    peaks=(
        Peak(precision="float32", flops_per_s=_figure(15.7 * TERA, "found", _VOLTA)),
        Peak(precision="float16", flops_per_s=_figure(125 * TERA, "found", _VOLTA)),
    ),
    on_chip_bytes=_figure(
        6144 * KIB, "found", "L2, techrival.com, Volta Tesla V100 cards detailed"
    ),
    on_chip_bandwidth_bytes_per_s=_figure(2.2 * TB, "recalled", "L2 in published microbenchmarks"),
    access_bytes=_figure(32, "recalled", "sector of L2"),
    launch_overhead_s=_figure(
        20 * MICRO,
        "found",
        "one PyTorch kernel on a V100, groundy.com quoting NVIDIA's Nsight guide",
    ),
)

TPU_V3_CORE = Datasheet(
    name="tpu_v3_core",
    product="Google TPU v3, one TensorCore",
    memory_bytes=_figure(16 * GIB, "derived", f"half a chip's 32 GiB, {_TPU}"),
    bandwidth_bytes_per_s=_figure(450 * GB, "derived", f"half a chip's 900 GB/s, {_TPU}"),
    peaks=(
        Peak(
            precision="bfloat16",
            flops_per_s=_figure(61.5 * TERA, "derived", f"half a chip's 123 TFLOP/s, {_TPU}"),
        ),
        Peak(
            precision="float32",
            flops_per_s=_figure(
                61.5 * TERA / 6, "recalled", "six bfloat16 passes; the default is one"
            ),
        ),
    ),
    on_chip_bytes=_figure(16 * MIB, "recalled", "vector memory of a core"),
    on_chip_bandwidth_bytes_per_s=_figure(
        940e6 * 8 * 128 * 4, "recalled", "one vector of 8 x 128 floats a cycle at 940 MHz"
    ),
    access_bytes=_figure(32, "recalled", "burst of an HBM2 pseudo channel"),
    launch_overhead_s=_figure(50 * MICRO, "assumed", "one dispatch from the host"),
)

IPU_GC200 = Datasheet(
    name="ipu_gc200",
    product="Graphcore Colossus MK2 GC200",
    memory_bytes=_figure(112 * GB, "derived", f"a quarter of an M2000's 448 GB, {_IPU}"),
    bandwidth_bytes_per_s=_figure(20 * GB, "recalled", "streaming memory of one IPU of an M2000"),
    peaks=(
        Peak(precision="float32", flops_per_s=_figure(62.5 * TERA, "found", _IPU)),
        Peak(precision="float16", flops_per_s=_figure(250 * TERA, "found", _IPU_NOTES)),
    ),
    on_chip_bytes=_figure(
        900 * MIB, "found", "graphcore.ai, Designing the Colossus Mk2 IPU at Hot Chips 2021"
    ),
    on_chip_bandwidth_bytes_per_s=_figure(47.5 * TB, "found", _IPU_NOTES),
    access_bytes=_figure(8, "recalled", "load of a tile"),
    launch_overhead_s=_figure(20 * MICRO, "assumed", "one call from the host over PCIe"),
)

H200 = Datasheet(
    name="h200",
    product="NVIDIA H200 SXM",
    memory_bytes=_figure(141 * GB, "found", "aiwiki.ai/wiki/nvidia_h200"),
    bandwidth_bytes_per_s=_figure(4.8 * TB, "found", "aiwiki.ai/wiki/nvidia_h200"),
    peaks=(
        Peak(precision="float32", flops_per_s=_figure(67 * TERA, "recalled", "maker's datasheet")),
        Peak(
            precision="tensorfloat32",
            flops_per_s=_figure(494 * TERA, "recalled", "maker's datasheet, dense"),
        ),
        Peak(
            precision="bfloat16",
            flops_per_s=_figure(989 * TERA, "recalled", "maker's datasheet, dense"),
        ),
    ),
    on_chip_bytes=_figure(50 * MIB, "recalled", "L2"),
    on_chip_bandwidth_bytes_per_s=_figure(5.5 * TB, "recalled", "L2 in published microbenchmarks"),
    access_bytes=_figure(32, "recalled", "sector of L2"),
    launch_overhead_s=_figure(20 * MICRO, "assumed", "as on a V100"),
)

DATASHEETS = {sheet.name: sheet for sheet in (BROADWELL, V100, TPU_V3_CORE, IPU_GC200, H200)}
"""Processors by name."""


class System(Value, frozen=True):
    """Chips of one kind that serve together.

    Args:
        name: short.
        chip: of which kind.
        num_chips: how many.
    """

    name: str
    chip: Datasheet
    num_chips: int = 1


SYSTEMS = {
    system.name: system
    for system in (
        *(System(name=name, chip=sheet) for name, sheet in DATASHEETS.items()),
        System(name="tpu_v3_chip", chip=TPU_V3_CORE, num_chips=2),
        System(name="tpu_v3_board", chip=TPU_V3_CORE, num_chips=8),
        System(name="ipu_m2000", chip=IPU_GC200, num_chips=4),
        System(name="ipu_pod16", chip=IPU_GC200, num_chips=16),
    )
}
"""Systems by name: every processor alone, a TPU v3 chip (two cores) and board (four chips), an
IPU-M2000 (four GC200) and an IPU-POD16 (four M2000)."""


def system(name: str) -> System:
    """A system by name.

    Raises:
        StudyError: no such system; the message lists what there is.
    """
    if name in SYSTEMS:
        return SYSTEMS[name]
    close = difflib.get_close_matches(name, SYSTEMS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise StudyError(f"no datasheet of {name!r}; known: {', '.join(SYSTEMS)}{hint}")
