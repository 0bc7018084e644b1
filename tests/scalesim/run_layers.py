"""Simulate a few layers with SCALE-Sim and write what it reports as CSV.

python run_layers.py OUT.csv      # in an environment with scalesim==3.0.0 and numpy<2.4

Runs without recfunnel; `make scalesim` makes the environment and compares the result with
layers.csv, whose rows are held against the closed forms by tests/test_hardware_systolic.py.
"""

import contextlib
import csv
import io
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

from scalesim.layout_utils import layouts
from scalesim.scale_config import scale_config
from scalesim.single_layer_sim import single_layer_sim
from scalesim.topology_utils import topologies

# Layers of RecPipe's DLRM (M, N, K) and shapes that no fold divides.
LAYERS = ((1, 64, 13), (33, 4, 64), (64, 1, 64), (16, 64, 355), (7, 31, 29), (100, 16, 64))
ARRAYS = ((8, 8), (16, 16), (32, 8), (8, 32))
DATAFLOWS = ("ws", "os", "is")
COLUMNS = (
    *("M", "N", "K", "rows", "cols", "dataflow", "cycles", "util_pct"),
    *("input_words", "weight_words", "output_words"),
)

CONFIG = """[general]
run_name = layer
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {cols}
IfmapSramSzkB = 512
FilterSramSzkB = 512
OfmapSramSzkB = 512
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Dataflow = {dataflow}
ReadRequestBuffer = 32
WriteRequestBuffer = 32
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 1
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 1
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
"""


def main() -> None:
    """Write one row for each layer, array and dataflow."""
    with Path(sys.argv[1]).open("w", newline="") as file:
        file.write("# SCALE-Sim 3.0.0, numpy < 2.4, interface bandwidth CALC; by run_layers.py\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for layer, array, dataflow in itertools.product(LAYERS, ARRAYS, DATAFLOWS):
            writer.writerow((*layer, *array, dataflow, *simulate(layer, array, dataflow)))


def simulate(layer: tuple[int, int, int], array: tuple[int, int], dataflow: str) -> tuple[Any, ...]:
    """Cycles, utilisation in percent, and SRAM words of inputs, weights and outputs."""
    m, n, k = layer
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder)
        text = CONFIG.format(rows=array[0], cols=array[1], dataflow=dataflow)
        (path / "array.cfg").write_text(text)
        (path / "layers.csv").write_text(f"Layer,M,N,K,\nlayer,{m},{n},{k},\n")
        config, topology = scale_config(), topologies()
        config.read_conf_file(str(path / "array.cfg"))
        topology.load_arrays(str(path / "layers.csv"), mnk_inputs=True)
        run = single_layer_sim()
        run.set_params(
            layer_id=0,
            config_obj=config,
            topology_obj=topology,
            layout_obj=layouts(),
            verbose=False,
        )
        run.run()
        _, cycles, stalls, util, *_ = run.get_compute_report_items()
        detail = run.get_detail_report_items()
    if stalls:
        raise RuntimeError(f"{layer} on {array} stalled for {stalls} cycles")
    words = (int(detail[2]), int(detail[5]), int(detail[8]))
    return int(cycles), f"{float(util):.12g}", *words


if __name__ == "__main__":
    main()
