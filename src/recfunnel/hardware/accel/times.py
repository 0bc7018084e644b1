"""How long every unit of an accelerator takes for every sub-batch, for many designs at once.

Letters: D designs, S stages, B sub-batches. Seconds throughout; nothing here waits for anything.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.hardware.accel.batches import sub_batch_sizes
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import GLOBAL, HOST, DesignColumns
from recfunnel.hardware.accel.rows import RowDemand
from recfunnel.hardware.accel.streams import weight_bytes_moved
from recfunnel.hardware.accel.work import ANSWER_BYTES, SCORE_BYTES, QueryWork, StageWork
from recfunnel.hardware.systolic.network import network_cycles


class UnitTimes(NamedTuple):
    """What each sub-batch takes of each unit; the form that compiled loops read.

    Args:
        num_items: int64 (D, S, B), candidates.
        pcie_in: (D, S, B), ids coming in: of the first stage, and behind a host that sorts.
        sram: (D, S, B), all ports, reading every row and writing those that were fetched.
        dram: (D, S, B), the channel, by rows.
        ssd: (D, S, B).
        weights: (D, S, B), the channel, by weights that are streamed.
        array: (D, S, B), a sub-array.
        topk: (D, S, B), a filter, after the sub-batch's last score.
        after: (D, S), a filter, after the query's last score.
        sort: (D, S), the host.
        pcie_out: (D, S), scores or answers going out behind a stage.
        need_bytes: (D, S, B), of the look-ahead buffer; at most all of it.
        room_bytes: (D, S), the look-ahead buffer.
        ahead: bool (D, S), whether rows are fetched ahead.
        barrier: bool (D, S), whether the next stage waits for the last sub-batch.
        host: bool (D, S), whether the host sorts behind it.
        copies: int64 (D, S), sub-arrays.
        group: int64 (D, S), whose sub-arrays.
        channel: int64 (D, S), of DRAM: 0 where it is shared, else the stage's own.
        preloaded: bool (D,), whether a stage's streamed weights come behind the stage before.
        pcie_latency_s: of either direction.
        dram_latency_s: of rows and weights.
        ssd_latency_s: of rows.
    """

    num_items: IntArray
    pcie_in: DoubleArray
    sram: DoubleArray
    dram: DoubleArray
    ssd: DoubleArray
    weights: DoubleArray
    array: DoubleArray
    topk: DoubleArray
    after: DoubleArray
    sort: DoubleArray
    pcie_out: DoubleArray
    need_bytes: DoubleArray
    room_bytes: DoubleArray
    ahead: BoolArray
    barrier: BoolArray
    host: BoolArray
    copies: IntArray
    group: IntArray
    channel: IntArray
    preloaded: BoolArray
    pcie_latency_s: float
    dram_latency_s: float
    ssd_latency_s: float

    @property
    def num_designs(self) -> int:
        """D."""
        return int(self.copies.shape[0])

    def one(self, design: int) -> "UnitTimes":
        """The times of one design, still with a dimension for designs."""
        return self._changed(lambda array: array[design : design + 1])

    def in_one_layout(self) -> "UnitTimes":
        """The same, every array contiguous, so that loops are compiled once."""
        return self._changed(np.ascontiguousarray)

    def _changed(self, change: Callable[[Any], Any]) -> "UnitTimes":
        arrays = self._asdict().items()
        return self._replace(**{k: change(v) for k, v in arrays if not isinstance(v, float)})


def unit_times(
    chip: Chip, work: QueryWork, designs: DesignColumns, demands: Sequence[RowDemand]
) -> UnitTimes:
    """Price every sub-batch of every stage on every unit.

    Args:
        chip: what is built.
        work: networks and tables of the stages; how many candidates they read and keep is the
            designs' own.
        designs: D.
        demands: (S,), what each stage's sub-batches fetch.

    Returns:
        Seconds.

    Raises:
        StudyError: stages missing, rows on an SSD that is not there, or an activation SRAM that
            does not hold one candidate.
    """
    if not len(work.stages) == len(demands) == designs.num_stages:
        raise StudyError(
            f"{len(work.stages)} stages, {len(demands)} demands for rows and uses for "
            f"{designs.num_stages} stages; give one of each a stage"
        )
    sizes, answers = sub_batch_sizes(designs)
    rows = [_rows(chip, work.stages[s], each, s, designs, sizes) for s, each in enumerate(demands)]
    sram, dram, ssd, need = (np.stack(part, axis=1) for part in zip(*rows, strict=True))
    arrays = [_array(chip, each, designs, sizes, s) for s, each in enumerate(work.stages)]
    cycles, blocks = (np.stack(part, axis=1) for part in zip(*arrays, strict=True))
    shares = _channel_shares(designs)
    room = designs.ahead_bytes.astype(np.float64)
    streamed = weight_bytes_moved(chip, work, designs, blocks)
    host = designs.policy == HOST
    topk, after = _filters(chip, designs, sizes, answers)
    times = UnitTimes(
        num_items=sizes,
        pcie_in=_pcie_in(chip, work, host, sizes),
        sram=sram,
        dram=dram / shares,
        ssd=ssd,
        weights=chip.dram.stream_s(streamed) / shares,
        array=cycles / chip.clock_hz,
        topk=topk / chip.clock_hz,
        after=after / chip.clock_hz,
        sort=np.where(host, _sort(chip, sizes), 0.0),
        pcie_out=_pcie_out(chip, host, sizes, answers),
        need_bytes=np.minimum(need, room[:, :, np.newaxis]),
        room_bytes=room,
        ahead=designs.look_ahead[:, np.newaxis] & (designs.ahead_bytes > 0),
        barrier=~designs.pipelined[:, np.newaxis] | (designs.policy == GLOBAL) | host,
        host=host,
        copies=designs.copies,
        group=designs.group,
        channel=np.where(designs.partitioned[:, np.newaxis], np.arange(designs.num_stages), 0),
        preloaded=designs.weights_preloaded,
        pcie_latency_s=chip.pcie.latency_s,
        dram_latency_s=chip.dram.latency_s,
        ssd_latency_s=chip.ssd.latency_s if chip.ssd else 0.0,
    )
    return times.in_one_layout()


def joined(parts: Sequence[UnitTimes]) -> UnitTimes:
    """Designs of several tables in one, or kinds of query on one design.

    Args:
        parts: of the same chip, with as many stages and sub-batches.

    Returns:
        All of them, in that order.

    Raises:
        StudyError: none, or of different chips, stages or sub-batches.
    """
    if not parts:
        raise StudyError("no times to join; give one or more")
    shapes = sorted({part.array.shape[1:] for part in parts})
    if len(shapes) > 1:
        raise StudyError(
            f"times of {' and '.join(str(s[0]) for s in shapes)} stages and "
            f"{' and '.join(str(s[1]) for s in shapes)} sub-batches; join those of one number"
        )
    first = parts[0]
    arrays: dict[str, Any] = {}
    for name, value in first._asdict().items():
        if not isinstance(value, float):
            arrays[name] = np.concatenate([getattr(part, name) for part in parts])
        elif any(getattr(part, name) != value for part in parts):
            raise StudyError(f"times of different latencies ({name}); join those of one chip")
    return first._replace(**arrays)


def _rows(
    chip: Chip,
    work: StageWork,
    demand: RowDemand,
    stage: int,
    designs: DesignColumns,
    sizes: IntArray,
) -> tuple[DoubleArray, DoubleArray, DoubleArray, DoubleArray]:
    """(D, B) each: SRAM, DRAM, SSD, and bytes of buffer, for one stage's rows."""
    num_items = sizes[:, stage]
    held = designs.static_bytes[:, stage, np.newaxis] // work.vector_bytes
    fetched = demand.fetched(num_items, held)
    lookups = num_items * work.num_tables
    sram = chip.embedding_sram.access_s(lookups + fetched, work.vector_bytes, chip.clock_hz)
    on_ssd = np.minimum(demand.from_ssd(num_items), fetched)
    if on_ssd.any() and chip.ssd is None:
        raise StudyError(f"rows of stage {stage} lie on an SSD, and the chip has none; give it one")
    ssd = chip.ssd.read_s(on_ssd) if chip.ssd else np.zeros_like(fetched)
    dram = chip.dram.gather_s(fetched - on_ssd, work.vector_bytes)
    return sram, dram, ssd, fetched * work.vector_bytes


def _array(
    chip: Chip, work: StageWork, designs: DesignColumns, sizes: IntArray, stage: int
) -> tuple[DoubleArray, IntArray]:
    """(D, B) each: cycles of a sub-array, and equal blocks that its activations are cut into."""
    num_items = sizes[:, stage]
    rows, cols = designs.rows[:, stage, np.newaxis], designs.cols[:, stage, np.newaxis]
    room = chip.activation_sram_bytes * (rows * cols / chip.array.num_elements)
    fit = (room / (work.widest() * chip.word_bytes)).astype(np.int64)
    if fit.size and fit.min() < 1:
        raise StudyError(
            f"stage {stage} needs {work.widest() * chip.word_bytes} bytes of activations for a "
            f"candidate, its sub-array has {room.min():.0f}; give it more activation SRAM"
        )
    blocks = np.maximum(-(-num_items // fit), 1)
    at_once = np.maximum(-(-num_items // blocks), 1)
    cycles = np.zeros(num_items.shape)
    for overlap in (False, True):
        picked = designs.weights_preloaded == overlap
        if picked.any():
            cycles[picked] = _cycles(
                chip, work, at_once[picked], rows[picked], cols[picked], overlap=overlap
            )
    return np.where(num_items > 0, cycles * blocks, 0.0), blocks


def _cycles(
    chip: Chip,
    work: StageWork,
    num_items: IntArray,
    rows: IntArray,
    cols: IntArray,
    *,
    overlap: bool,
) -> IntArray:
    """(D, B). Runs that are as equal as they can be have two sizes, so two evaluations do."""
    lanes = None
    if chip.lanes is not None:
        lanes = np.maximum(chip.lanes * rows * cols // chip.array.num_elements, 1)

    def priced(num: IntArray, picked: Any = slice(None)) -> IntArray:
        own = None if lanes is None else lanes[picked]
        return network_cycles(
            work.shape, num, rows[picked], cols[picked], overlap=overlap, num_lanes=own
        )

    if num_items.shape[1] <= 2:
        return priced(num_items)
    least, most = num_items.min(axis=1, keepdims=True), num_items.max(axis=1, keepdims=True)
    cycles = np.where(num_items == most, priced(most), priced(least))
    others = ((num_items != least) & (num_items != most)).any(axis=1)
    if others.any():
        cycles[others] = priced(num_items[others], others)
    return cycles


def _filters(
    chip: Chip, designs: DesignColumns, sizes: IntArray, answers: IntArray
) -> tuple[DoubleArray, DoubleArray]:
    """Cycles (D, S, B) after each sub-batch and (D, S) after the last: bins walked, entries read.

    Taking scores is hidden behind the layer that makes them, at one a cycle or faster.
    """
    topk, policy = chip.topk, designs.policy
    passed = np.concatenate([sizes[:, 1:].sum(axis=2), answers[:, np.newaxis]], axis=1)
    if topk.drain == "scan":
        each, whole = sizes, sizes.sum(axis=2)
    else:
        each = -(-(passed[:, :, np.newaxis] * sizes) // np.maximum(sizes.sum(axis=2), 1)[..., None])
        whole = passed
    walks = topk.num_bins + -(-each // topk.lanes)
    by_run = ((policy != GLOBAL) & (policy != HOST))[:, :, np.newaxis] & (sizes > 0)
    once = np.where(policy == GLOBAL, topk.num_bins + -(-whole // topk.lanes), 0)
    return np.where(by_run, walks, 0).astype(np.float64), once.astype(np.float64)


def _pcie_in(chip: Chip, work: QueryWork, host: BoolArray, sizes: IntArray) -> DoubleArray:
    """(D, S, B). The first stage's candidates bring the ids that all stages look up."""
    times = np.zeros(sizes.shape)
    times[:, 0] = chip.pcie.occupied_s(sizes[:, 0] * max(s.input_bytes for s in work.stages))
    for stage in range(1, sizes.shape[1]):
        again = chip.pcie.occupied_s(sizes[:, stage] * work.stages[stage].input_bytes)
        times[:, stage] = np.where(host[:, stage - 1, np.newaxis], again, 0.0)
    return times


def _pcie_out(chip: Chip, host: BoolArray, sizes: IntArray, answers: IntArray) -> DoubleArray:
    """(D, S)."""
    num_bytes = np.where(host, sizes.sum(axis=2) * SCORE_BYTES, 0)
    num_bytes[:, -1] = np.where(host[:, -1], num_bytes[:, -1], answers * ANSWER_BYTES)
    return chip.pcie.occupied_s(num_bytes)


def _sort(chip: Chip, sizes: IntArray) -> DoubleArray:
    """(D, S), on the host."""
    scored = sizes.sum(axis=2)
    return np.asarray(chip.host.sort_latency_s + chip.host.sort_item_s * scored)


def _channel_shares(designs: DesignColumns) -> DoubleArray:
    """(D, S, 1), of the bandwidth that a stage's requests move at."""
    elements = (designs.rows * designs.cols * designs.copies).astype(np.float64)
    shares = elements / elements.sum(axis=1, keepdims=True)
    partitioned = designs.partitioned[:, np.newaxis]
    return np.where(partitioned, shares, 1.0)[:, :, np.newaxis]
