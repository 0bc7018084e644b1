"""What the MP-Rec paper reports, each figure with how it is known.

The paper's text could not be read for this: only its abstract, summaries by others and the authors'
artifact. Everything else is recalled, and how surely is said.
"""

from recfunnel.report.mprec import Certainty, Published

DOI = "10.1145/3582016.3582068"


def _published(value: float, known: Certainty, source: str) -> Published:
    return Published(value=value, known=known, source=source)


_RECALLED = "result tables"

SIZE_BYTES = {
    ("Kaggle", "table"): _published(2.16e9, "recalled, sure", _RECALLED),
    ("Kaggle", "dhe"): _published(126e6, "recalled, sure", _RECALLED),
    ("Kaggle", "hybrid"): _published(2.29e9, "recalled, sure", _RECALLED),
    ("Terabyte", "table"): _published(12.59e9, "recalled", _RECALLED),
    ("Terabyte", "dhe"): _published(123e6, "recalled, unsure", _RECALLED),
    ("Terabyte", "hybrid"): _published(12.70e9, "recalled", _RECALLED),
}
"""By data set and representation."""

ACCURACY = {
    ("Kaggle", "table"): _published(0.7879, "recalled, sure", _RECALLED),
    ("Kaggle", "dhe"): _published(0.7894, "recalled", _RECALLED),
    ("Kaggle", "hybrid"): _published(0.7898, "recalled, sure", _RECALLED),
    ("Terabyte", "table"): _published(0.8081, "recalled, sure", _RECALLED),
    ("Terabyte", "dhe"): _published(0.8099, "recalled", _RECALLED),
    ("Terabyte", "hybrid"): _published(0.8103, "recalled, sure", _RECALLED),
}
"""Share of right answers at the threshold 0.5."""

TRIVIAL_ACCURACY = {
    "Kaggle": _published(0.744, "recalled", "click rate of 25.6 %"),
    "Terabyte": _published(0.79, "recalled", "click rate after sub-sampling 0.875 of negatives"),
}
"""Of always saying no click."""

ACCURACY_GAIN = {
    "Kaggle": _published(0.0019, "found", "abstract"),
    "Terabyte": _published(0.0022, "found", "abstract"),
}
"""Of the best representation over the table."""

SPEED_UP = {
    ("HW-1", "Kaggle"): _published(2.49, "found", "abstract"),
    ("HW-1", "Terabyte"): _published(3.76, "found", "abstract"),
    ("tpu_v3_chip", "Kaggle"): _published(3.12, "recalled, unsure", "a TPU point; which is not"),
    ("tpu_v3_board", "Kaggle"): _published(11.13, "recalled, unsure", "a TPU point; which is not"),
    ("ipu_pod16", "Kaggle"): _published(
        16.65, "found", "abstract, custom accelerators; that it is the IPU-POD16 is recalled"
    ),
}
"""Throughput of correct predictions over the table on the CPU, by platform and data set."""

CPU_SLOWDOWN = {
    "dhe": _published(10.0, "recalled, unsure", "order of magnitude"),
    "hybrid": _published(10.0, "recalled, unsure", "order of magnitude"),
    "select": _published(2.0, "recalled, unsure", "order of magnitude"),
}
"""Time of a representation over the table's, both on the CPU."""

NUM_QUERIES, RATE_QPS, MEAN_SIZE, DEADLINE_S = 10_000, 1000.0, 128, 0.010
"""The serving experiment: lognormal sizes; each recalled."""

HW_MEMORY_BYTES = {
    "HW-1": {"cpu": 32_000_000_000, "gpu": 32_000_000_000},
    "HW-2": {"cpu": 1_000_000_000, "gpu": 200_000_000},
}
"""Memory of the CPU-GPU design points, recalled. HW-3 is recalled, unsurely, as one of custom
accelerators: those stand in tables of their own."""
