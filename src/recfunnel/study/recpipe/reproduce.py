"""RecPipe's accelerator figures beside ours, put together."""

import difflib
from collections.abc import Sequence

from recfunnel.core.errors import StudyError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.hardware.artifact.faults import CORRECTED, FAULTS, PUBLISHED
from recfunnel.hardware.artifact.mappings import all_mappings, mapping, mapping_name
from recfunnel.hardware.artifact.waterfall import waterfall
from recfunnel.report.recpipe import (
    LoadRow,
    MappingRow,
    OursRow,
    RecPipeReproduction,
    StepRow,
    WaterfallRow,
)
from recfunnel.study.recpipe.best import best_rows
from recfunnel.study.recpipe.cache_study import (
    LOOKUPS_PER_SAMPLE,
    PUBLISHED_SAMPLES,
    study_caches,
)
from recfunnel.study.recpipe.chip import component_rows, energy_rows
from recfunnel.study.recpipe.our_model import alone_s, best_times, capacity_qps
from recfunnel.study.recpipe.ours_under_load import (
    kinds_of_figure_12,
    kinds_of_figure_13,
    ours_rows,
)
from recfunnel.study.recpipe.published import GAPS_MS, NDCG_BY_ITEMS, logged
from recfunnel.study.recpipe.systolic import systolic_rows
from recfunnel.study.recpipe.under_load import Effort, load_rows, mapped

FIGURES = ("10a", "10c", "11", "12", "13", "14")

ALL_MAPPINGS = ((1,), (4,), (16,), (64,), *all_mappings()[1:])
"""Those of figure 12, and the parted single stages that it leaves out."""

RATES_QPS = tuple(1000 / gap_ms for gap_ms in reversed(GAPS_MS))

WATERFALLS = ((1,), (4, 4), (16, 16), (16, 4, 16))

NOTES = {
    "": "Every figure but the published and logged ones is simulated; no such chip exists.",
    "10a": "The artifact's SCALE-Sim is version 1, ours has the closed forms of version 3; they "
    "differ in the filling of the array.",
    "10c": "FIFO keeps the published study's faults: it is called LRU, the back stage sees the "
    "front stage's first lookups, and the counted trace is the one that filled the cache. LRU "
    "keeps the last two, static rows only the second. The trace is drawn, not theirs.",
    "11": "Published powers are rounded before they are scaled; filters have one register instead "
    "of a buffer for scores. Energy of operations is CACTI's, recalled or assumed, and stated with "
    "its range.",
    "12": "The logged p95 is of processes that sleep; what that adds is simulated with times read "
    "from the same logs. p99 is with exponential gaps, mean and standard error over replications.",
    "13": "NDCG was measured on one stage of RM_large alone; the pipelines' own was not.",
    "14": "Published CPU and GPU values at 400 queries/s are of runs that answered 271 to 290.",
}


def reproduce_recpipe(
    figures: Sequence[str],
    effort: Effort = Effort(),  # noqa: B008, a frozen value
    cache_samples: int = PUBLISHED_SAMPLES // 16,
    progress: Progress = SILENT,
) -> RecPipeReproduction:
    """Price, simulate and compare.

    Args:
        figures: of `FIGURES`.
        effort: how much is simulated for figures 12 to 14.
        cache_samples: of the trace for figure 10c.
        progress: told about steps.

    Returns:
        What was asked for.

    Raises:
        StudyError: no figure or an unknown one.
    """
    check_figures(figures)
    loads: tuple[LoadRow, ...] = ()
    ours: tuple[OursRow, ...] = ()
    if {"12", "14"} & set(figures):
        loads = load_rows(logged(12), effort, progress)
        ours = ours_rows(kinds_of_figure_12(), RATES_QPS, effort, progress)
    return RecPipeReproduction(
        figures=tuple(figures),
        systolic=systolic_rows() if "10a" in figures else (),
        caches=study_caches(cache_samples, progress=progress) if "10c" in figures else (),
        cache_lookups=cache_samples * LOOKUPS_PER_SAMPLE if "10c" in figures else 0,
        components=component_rows() if "11" in figures else (),
        energies=energy_rows() if "11" in figures else (),
        loads=loads if "12" in figures else (),
        ours=ours if "12" in figures else (),
        mappings=_mappings() if "12" in figures else (),
        waterfalls=tuple(map(waterfall_row, WATERFALLS)) if "12" in figures else (),
        scaling=load_rows(logged(13), effort, progress) if "13" in figures else (),
        ours_scaling=_scaling(effort, progress) if "13" in figures else (),
        ndcg_by_items=tuple(NDCG_BY_ITEMS.items()) if "13" in figures else (),
        best=best_rows(loads, ours) if "14" in figures else (),
        notes=tuple(NOTES[name] for name in ("", *FIGURES) if not name or name in figures),
    )


def _scaling(effort: Effort, progress: Progress) -> tuple[OursRow, ...]:
    """Our model for every number of items of figure 13."""
    items = tuple(dict.fromkeys(run.items for run in logged(13)))
    rates = sorted({run.rate_qps for run in logged(13)})
    return ours_rows(kinds_of_figure_13(items), rates, effort, progress)


def check_figures(figures: Sequence[str]) -> None:
    """Refuse what is not there.

    Raises:
        StudyError: no figure or an unknown one, with the nearest.
    """
    known = ", ".join(FIGURES)
    if not figures:
        raise StudyError(f"no figure is asked for; give --figure, one or more of {known}, or --all")
    for figure in figures:
        if figure not in FIGURES:
            close = difflib.get_close_matches(figure, FIGURES, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise StudyError(f"no accelerator figure {figure!r}; {hint}known: {known}")


def _mappings() -> tuple[MappingRow, ...]:
    """The prior art, then every mapping."""
    return (mapping_row((1,), host_sort=True), *map(mapping_row, ALL_MAPPINGS))


def mapping_row(fission: Sequence[int], *, host_sort: bool = False) -> MappingRow:
    """A mapping of figure 12 without load, by each model."""
    theirs, corrected = (
        mapped(fission, faults=faults, host_sort=host_sort) for faults in (PUBLISHED, CORRECTED)
    )
    times = best_times(fission, host_sort=host_sort)
    return MappingRow(
        items=tuple(stage.num_items for stage in mapping(fission)),
        fission=tuple(fission),
        host_sort=host_sort,
        published_s=sum(theirs.service_s),
        published_qps=theirs.capacity_qps,
        corrected_s=sum(corrected.service_s),
        corrected_qps=corrected.capacity_qps,
        ours_s=alone_s(times),
        ours_qps=capacity_qps(times),
        sub_batches=times.array.shape[2],
    )


def waterfall_row(fission: Sequence[int]) -> WaterfallRow:
    """From the published model to the corrected one."""
    way = waterfall(mapping(fission))
    return WaterfallRow(
        mapping=mapping_name(fission),
        published_s=way.published_s,
        published_qps=way.published_qps,
        steps=tuple(
            StepRow(
                name=fault.name,
                fault=fault.fault,
                correction=fault.correction,
                cumulative_s=step.cumulative_s,
                alone_s=step.alone_s,
                kept_s=step.kept_s,
                cumulative_qps=step.cumulative_qps,
            )
            for fault, step in zip(FAULTS, way.steps, strict=True)
        ),
    )
