"""Which unit works for which sub-batch of one query, and when: what a picture of it shows."""

from collections.abc import Iterator

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.spec import Value
from recfunnel.hardware.accel.times import UnitTimes
from recfunnel.simulate.accel_query import (
    COPY,
    DRAM_END,
    FINISH,
    PASSED,
    READY,
    SRAM_END,
    SSD_END,
    START,
    WEIGHTS_AT,
    query_steps,
)


class Span(Value, frozen=True):
    """A unit's work for one sub-batch.

    Args:
        unit: its name; sub-arrays and filters with stage and copy.
        stage: from 0.
        sub_batch: from 0; -1 for what is done once a stage.
        start_s: from the query's beginning.
        end_s: likewise.
    """

    unit: str
    stage: int
    sub_batch: int
    start_s: float
    end_s: float


def query_spans(times: UnitTimes) -> tuple[float, list[Span]]:
    """All work for one query.

    Args:
        times: of one design.

    Returns:
        Its latency, and its spans by stage and sub-batch.
    """
    latency_s, steps = query_steps(times)
    t = times.one(0)
    spans = []
    for s, b in np.ndindex(steps.shape[:2]):
        spans += list(_of_sub_batch(t, steps[s, b], s, b))
    last = steps.shape[0] - 1
    for s in range(steps.shape[0]):
        if t.after[0, s] > 0:
            end_s = float(steps[s, :, PASSED].max() + t.after[0, s])
            spans.append(_span(f"filter {s}.0", s, -1, end_s, float(t.after[0, s])))
        if t.pcie_out[0, s] > 0:
            end_s = latency_s - t.sort[0, s] if s == last else _sent_s(t, steps, s)
            spans.append(_span("PCIe out", s, -1, end_s - t.pcie_latency_s, t.pcie_out[0, s]))
    return latency_s, spans


def _sent_s(t: UnitTimes, steps: DoubleArray, s: int) -> float:
    """When a stage's scores have reached the host that sorts them."""
    first = steps[s + 1, 0, READY] - t.pcie_latency_s - t.pcie_in[0, s + 1, 0]
    return float(first - t.sort[0, s])


def _of_sub_batch(t: UnitTimes, step: DoubleArray, s: int, b: int) -> Iterator[Span]:
    copy = int(step[COPY])
    array, behind = f"array {t.group[0, s]}.{copy}", f"filter {t.group[0, s]}.{copy}"
    channel = "DRAM" if not t.channel.any() else f"DRAM {t.channel[0, s]}"
    weights_end_s = step[WEIGHTS_AT] - t.dram_latency_s
    for unit, end_s, length_s in (
        ("PCIe in", step[READY] - t.pcie_latency_s, t.pcie_in[0, s, b]),
        ("SRAM", step[SRAM_END], t.sram[0, s, b]),
        (channel, step[DRAM_END], t.dram[0, s, b]),
        (channel, weights_end_s, t.weights[0, s, b]),
        ("SSD", step[SSD_END], t.ssd[0, s, b]),
        (array, step[FINISH], step[FINISH] - step[START]),
        (behind, step[PASSED], t.topk[0, s, b]),
    ):
        if length_s > 0:
            yield _span(unit, s, b, float(end_s), float(length_s))


def _span(unit: str, stage: int, sub_batch: int, end_s: float, length_s: float) -> Span:
    return Span(
        unit=unit,
        stage=stage,
        sub_batch=sub_batch,
        start_s=float(end_s - length_s),
        end_s=float(end_s),
    )
