"""Profiles of models on the simulated accelerator, from the layers of their graphs.

A call brings its candidates' ids over PCIe, fetches their rows, and runs the layers, one after the
other and in one piece: the plain sum. What sub-batches, reading ahead and stages on one chip would
hide is not seen from a station; `recfunnel accel explore` sees it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.results import LatencyProfile
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import POLICIES, DesignColumns
from recfunnel.hardware.accel.rows import RowDemand
from recfunnel.hardware.accel.times import unit_times
from recfunnel.hardware.accel.work import SCORE_BYTES, QueryWork, StageWork
from recfunnel.hardware.rpaccel import RPAccel
from recfunnel.profile.request import HAND_OVER, WAKE_UP, ProfileRequest
from recfunnel.runtime.timing import TOP_K

NOTE = "simulated: from the model's layers on a sub-array, nothing overlapped"


@dataclass(frozen=True, eq=False, slots=True)
class AcceleratedModel:
    """What a model asks of the accelerator.

    Args:
        work: of a stage of it.
        demand: rows it fetches.
    """

    work: StageWork
    demand: RowDemand


def accelerated_profiles(
    models: Mapping[str, AcceleratedModel], spec: RPAccel, request: ProfileRequest
) -> tuple[LatencyProfile, ...]:
    """A profile of each model, of `top_k`, `hand_over` and `wake_up`, one sample each.

    Args:
        models: every requested one.
        spec: the accelerator.
        request: sizes and threads; repetitions and time mean nothing here.

    Returns:
        For each number of threads, one profile a name.

    Raises:
        StudyError: a model without layers for it, or threads that form no sub-array.
    """
    profiles = []
    for threads in request.num_threads:
        spec.sub_array(threads)
        for model, sizes in request.sizes.items():
            if model not in models:
                raise StudyError(
                    f"{model!r} has no layers that platform {spec.name!r} could run; leave it out "
                    "of space.models"
                )
            seconds = call_s(models[model], spec, np.array(sizes, np.int64), threads)
            profiles.append(_profile(model, spec, threads, sizes, seconds))
        sizes = request.all_sizes
        chosen = select_s(spec, np.array(sizes, np.int64))
        profiles.append(_profile(TOP_K, spec, threads, sizes, chosen))
        link = np.array([2 * spec.chip.pcie.latency_s + 1 / spec.chip.clock_hz])
        profiles.append(_profile(HAND_OVER, spec, threads, (1,), link))
        cycle = np.array([1 / spec.chip.clock_hz])
        profiles.append(_profile(WAKE_UP, spec, threads, (1,), cycle))
    return tuple(profiles)


def call_s(
    model: AcceleratedModel, spec: RPAccel, num_items: IntArray, num_threads: int
) -> DoubleArray:
    """Seconds of calls (B,) on a sub-array of so many blocks with its share of the memories."""
    times = unit_times(
        _part(spec, num_threads),
        QueryWork(num_in=int(num_items.max()), stages=(_keeping_all(model.work),)),
        _columns(spec, num_items, num_threads),
        [model.demand],
    )
    own_dram_s = (times.dram + times.dram_latency_s)[:, 0, 0]
    rows_s = np.maximum(times.sram[:, 0, 0], own_dram_s)
    layers_s = times.array[:, 0, 0] + times.weights[:, 0, 0]
    return np.asarray(times.pcie_in[:, 0, 0] + rows_s + layers_s)


def select_s(spec: RPAccel, num_items: IntArray) -> DoubleArray:
    """Seconds (B,) to find the best: by the filter, or by the host after all scores went to it."""
    chip = spec.chip
    if spec.variant == "prior_art":
        sent = chip.pcie.latency_s + chip.pcie.occupied_s(num_items * SCORE_BYTES)
        return np.asarray(sent + chip.host.sort_latency_s + chip.host.sort_item_s * num_items)
    cycles = chip.topk.num_bins + -(-num_items // chip.topk.lanes)
    return np.asarray(cycles / chip.clock_hz)


def _part(spec: RPAccel, num_threads: int) -> Chip:
    """The chip with a sub-array's share of the bandwidth of DRAM; banks are shared as well."""
    share = num_threads / spec.num_cores
    dram = spec.chip.dram
    slower = msgspec.structs.replace(
        dram,
        bandwidth_bytes_per_s=dram.bandwidth_bytes_per_s * share,
        row_cycle_s=dram.row_cycle_s / share,
    )
    sram = spec.chip.embedding_sram
    ports = msgspec.structs.replace(sram, ports=max(1, int(sram.ports * share)))
    return msgspec.structs.replace(spec.chip, dram=slower, embedding_sram=ports)


def _columns(spec: RPAccel, num_items: IntArray, num_threads: int) -> DesignColumns:
    rows, cols = spec.sub_array(num_threads)
    number = num_items.size
    part = spec.chip.embedding_sram.capacity_bytes * num_threads // spec.num_cores
    no = np.zeros(number, np.bool_)

    def column(value: float) -> IntArray:
        return np.full((number, 1), value, np.int64)

    return DesignColumns(
        kept=np.stack([num_items, num_items], axis=1),
        rows=column(rows),
        cols=column(cols),
        copies=column(1),
        static_bytes=column(part),
        ahead_bytes=column(0),
        policy=column(POLICIES.index("global")),
        margin=np.ones((number, 1)),
        overshoot=np.ones((number, 1)),
        group=column(0),
        sub_batches=1,
        weights_preloaded=~no if spec.variant == "fission" else no,
        look_ahead=no,
        pipelined=no,
        partitioned=no,
    )


def _keeping_all(work: StageWork) -> StageWork:
    return msgspec.structs.replace(work, num_out=1)


def _profile(
    name: str, spec: RPAccel, threads: int, sizes: tuple[int, ...], seconds: DoubleArray
) -> LatencyProfile:
    return LatencyProfile(
        model=name,
        platform=spec.name,
        num_threads=threads,
        batch_sizes=np.array(sizes, np.int64),
        latency_s=np.asarray(seconds, np.float64).reshape(-1, 1),
        source="modelled",
        notes=(NOTE,),
    )
