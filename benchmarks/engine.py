"""The engine beside every installed library, and its targets: `recfunnel bench engine`.

    python benchmarks/engine.py [--quick] [--model RM_small ...] [--part plain ...] [--out FOLDER]

All options are those of the command. The full size takes some minutes a model, one model in memory
at a time (RM_large: 4 GiB of tables; with a catalogue of ten million items 15 GiB).
"""

import sys

from recfunnel.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command(["bench", "engine", *sys.argv[1:]]))
